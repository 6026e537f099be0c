//! What a record must be, given what the ledger holds: the one place for such rules.
//!
//! Rules that need the record alone are checked when it is parsed ([`crate::record::Event`]). A rule
//! here sees the record and its causes, and either refuses the record or names flags for it. It sees
//! nothing of how records are batched, so that no flag can depend on that.

use super::RefusedRecord;
use super::known::KnownRecord;
use crate::record::{Code, Event, FieldError, Flag, cause_allowed};

/// Decides about a record whose causes are known, in the order in which the record names them.
///
/// The answer is the flags that the record is sealed with beside its own, or why it is refused.
pub(super) fn judge(
    index: usize,
    event: &Event,
    causes: &[KnownRecord],
) -> Result<Vec<Flag>, RefusedRecord> {
    for (place, (named, cause)) in event.causes().iter().zip(causes).enumerate() {
        if !cause_allowed(event.kind(), named.rel, cause.kind) {
            let message = format!(
                "a record of kind {} cannot be linked by {} to a record of kind {}",
                event.kind(),
                named.rel,
                cause.kind
            );
            let pointer = format!("/causes/{place}");
            return Err(refuse(index, pointer, Code::CauseKindInvalid, &message));
        }
    }
    Ok(Vec::new())
}

/// The refusal of a record that names a cause the ledger does not have.
pub(super) fn cause_unknown(index: usize, place: usize) -> RefusedRecord {
    let message = "no record with this id is in the ledger or earlier in this request: send the \
                   cause first, or with it";
    refuse(index, format!("/causes/{place}/id"), Code::CauseUnknown, message)
}

/// The refusal of a record whose id belongs to another record.
pub(super) fn id_conflict(index: usize) -> RefusedRecord {
    let message = "the ledger has another record with this id: give this one an id of its own";
    refuse(index, "/id".to_owned(), Code::IdConflict, message)
}

/// The refusal of a record whose entry would exceed what a leaf can hold.
pub(super) fn entry_too_large(index: usize) -> RefusedRecord {
    let message = "the record without its content exceeds 65,535 bytes: name fewer causes, or move \
                   long values into content";
    refuse(index, String::new(), Code::EntryTooLarge, message)
}

fn refuse(index: usize, pointer: String, code: Code, message: &str) -> RefusedRecord {
    RefusedRecord { index, error: FieldError { pointer, code, message: message.to_owned() } }
}
