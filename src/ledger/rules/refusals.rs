//! What a sender is told whose record is refused.

use crate::ledger::RefusedRecord;
use crate::record::{Code, FieldError, Flag};

/// The refusal of a record that names a cause the ledger does not have.
pub(in crate::ledger) fn cause_unknown(index: usize, place: usize) -> RefusedRecord {
    let message = "no record with this id is in the ledger or earlier in this request: send the \
                   cause first, or with it";
    refuse(index, format!("/causes/{place}/id"), Code::CauseUnknown, message)
}

/// The refusal of a record whose id belongs to another record.
pub(in crate::ledger) fn id_conflict(index: usize) -> RefusedRecord {
    let message = "the ledger has another record with this id: give this one an id of its own";
    refuse(index, "/id".to_owned(), Code::IdConflict, message)
}

/// The refusal of a record whose entry would exceed what a leaf can hold.
pub(in crate::ledger) fn entry_too_large(index: usize) -> RefusedRecord {
    let message = "the record without its content exceeds 65,535 bytes: name fewer causes, or move \
                   long values into content";
    refuse(index, String::new(), Code::EntryTooLarge, message)
}

/// Where the fault of a request is, and what to do about it.
pub(super) const fn explain(flag: Flag) -> (&'static str, &'static str) {
    match flag {
        Flag::AfterSessionEnd => {
            ("/session/id", "the session has ended: stop, and begin a new one")
        }
        Flag::ApprovalMissing => {
            ("/causes", "an effect like this needs a person's approval: ask for it, and name it")
        }
        Flag::ApprovalNotBound => {
            ("/causes", "the approval was given for something else: ask again, for just this")
        }
        Flag::AudienceMismatch => {
            ("/data/audience", "the grant's credential is for somebody else than is called")
        }
        Flag::CallsExceeded => ("/delegation", "the grant allows no further calls"),
        Flag::ContentIncomplete => {
            ("/source/captured", "the policy asks for all content: capture it in full")
        }
        Flag::DelegateMismatch => ("/delegation", "the grant is for another agent"),
        Flag::DelegationExpired => {
            ("/delegation", "the grant has ended: ask the user for a new one")
        }
        Flag::DelegationRevoked => ("/delegation", "the grant was taken back: stop"),
        Flag::DelegationUnknown => {
            ("/delegation", "the ledger has no such grant: send its delegation_grant first")
        }
        Flag::EffectExceeded => ("/data/effect", "the grant does not allow this effect"),
        Flag::ScopeExceeded => ("/data/scopes", "the grant does not have this scope or this tool"),
        Flag::SubjectMismatch => ("/delegation", "the grant is of another user"),
        Flag::TaskMismatch => ("/data/task_id", "the grant is for another task"),
        Flag::ToolDefinitionChanged => {
            ("/data/tool", "the tool is not what was approved: have its definition reviewed again")
        }
        Flag::ToolNotInCatalog => ("/data/tool", "the tool is not in the approved catalog"),
        Flag::AgentUsesUserToken
        | Flag::ArgumentsInvalid
        | Flag::Backdated
        | Flag::DelegationMissing
        | Flag::DelegationWidened
        | Flag::InfluencedByUntrusted
        | Flag::Late
        | Flag::OrphanApiCall
        | Flag::OrphanToolInvocation
        | Flag::RefusalBurst
        | Flag::SecretRedacted
        | Flag::ToolFirstUse => ("", "this cannot be requested"),
    }
}

pub(super) fn refuse(index: usize, pointer: String, code: Code, message: &str) -> RefusedRecord {
    RefusedRecord { index, error: FieldError { pointer, code, message: message.to_owned() } }
}
