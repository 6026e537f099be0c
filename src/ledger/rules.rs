//! What a record must be, given what the ledger holds: the one place for such rules (SPEC 2.9).
//!
//! Rules that need the record alone are checked when it is parsed ([`crate::record::Event`]). A rule
//! here sees the record, its causes and the state of what it names, and either refuses the record or
//! names flags for it. It sees nothing of how records are batched, so that no flag can depend on that.
//!
//! A record that cannot be attributed is refused. A request, which its sender can still stop, is
//! refused where the policy is strict. Whatever tells what has happened is sealed, with its flags.

mod approvals;
mod arguments;
mod grants;
mod refusals;
mod schemas;

use std::sync::Arc;
use std::time::Duration;

use super::known::{KnownRecord, Look};
use super::state::Session;
use super::{RefusedRecord, StoredPart, SubmitError};
use crate::record::data::{CatalogRule, Phase, Review, ToolInvocation};
use crate::record::source::ObservedBy;
use crate::record::{
    Captured, Code, Data, Event, Flag, Kind, Timestamp, cause_allowed, same_identity,
};

pub(super) use refusals::{cause_unknown, entry_too_large, id_conflict};
pub(super) use schemas::Schema;

/// How far a clock may be ahead of the server's (R16).
const SKEW_MAX: Duration = Duration::from_mins(5);
/// How long after its session's end what happened before may be told (R6).
const GRACE: Duration = Duration::from_mins(5);
/// How long after it happened something may be told without a flag (R16).
const BACKDATED_AFTER: Duration = Duration::from_hours(24);

/// A record that is to be judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    /// Its place in the request.
    pub(super) index: usize,
    pub(super) event: &'a Event,
    /// Its causes, in the order in which it names them.
    pub(super) causes: &'a [KnownRecord],
    /// The state of its session before it, if it has one.
    pub(super) session: Option<&'a Session>,
    /// Whether its content is not as it was sent, because secrets stood in it.
    pub(super) redacted: bool,
    /// When the batch is received.
    pub(super) received_at: Timestamp,
}

/// Earlier records, for the rules that have to read them.
pub(super) trait Evidence {
    /// The entry at this place, and its content.
    fn record(&self, seq: u64) -> Result<(Arc<[u8]>, Vec<StoredPart>), SubmitError>;
}

impl Case<'_> {
    /// Whether the sender waits for the answer, and can still stop what it asks for.
    fn is_request(&self) -> bool {
        let phase = if let Data::ToolInvocation(invocation) = self.event.data() {
            invocation.phase
        } else if let Data::ApiCall(call) = self.event.data() {
            call.phase
        } else {
            None
        };
        phase == Some(Phase::Requested)
    }

    /// The moment by which lifetimes are measured: of a request the server's own clock counts too.
    fn at(&self) -> Timestamp {
        let occurred_at = self.event.occurred_at();
        if self.is_request() { occurred_at.max(self.received_at) } else { occurred_at }
    }

    /// Whether it tells of other times, and by its nature comes late.
    fn is_imported(&self) -> bool {
        self.event.source().is_some_and(|source| source.observed_by == ObservedBy::Imported)
    }

    fn refuse(&self, pointer: &str, code: Code, message: &str) -> SubmitError {
        refusals::refuse(self.index, pointer.to_owned(), code, message).into()
    }
}

/// Decides about a record whose causes are known.
///
/// The answer is the flags that the record is sealed with beside its own, or why it is refused.
pub(super) fn judge(
    look: &Look<'_>,
    case: Case<'_>,
    evidence: &impl Evidence,
) -> Result<Vec<Flag>, SubmitError> {
    check_causes(case)?;
    if case.event.source().is_none() {
        // What the server writes is about others, and says nothing of its own.
        return Ok(Vec::new());
    }
    let mut flags = Vec::new();
    check_time(case, &mut flags)?;
    check_session(case, &mut flags)?;
    grants::check(look, case, &mut flags)?;
    check_catalog(look, case, &mut flags)?;
    arguments::check(look, case, evidence, &mut flags)?;
    approvals::check(look, case, evidence, &mut flags)?;
    check_captured(look, case, &mut flags);
    if case.is_request() && look.policy().is_strict() {
        let refusal = flags.iter().find_map(|flag| Some((*flag, flag.refusal()?)));
        if let Some((flag, code)) = refusal {
            let (pointer, message) = refusals::explain(flag);
            return Err(case.refuse(pointer, code, message));
        }
    }
    Ok(flags)
}

/// R5: every cause is of a kind that its relation can lead to.
fn check_causes(case: Case<'_>) -> Result<(), RefusedRecord> {
    let Case { index, event, causes, .. } = case;
    for (place, (named, cause)) in event.causes().iter().zip(causes).enumerate() {
        if !cause_allowed(event.kind(), named.rel, cause.kind) {
            let message = format!(
                "a record of kind {} cannot be linked by {} to a record of kind {}",
                event.kind(),
                named.rel,
                cause.kind
            );
            let pointer = format!("/causes/{place}");
            return Err(refusals::refuse(index, pointer, Code::CauseKindInvalid, &message));
        }
    }
    Ok(())
}

/// R16: nothing has happened yet that is still to come, and what is told late is marked.
fn check_time(case: Case<'_>, flags: &mut Vec<Flag>) -> Result<(), SubmitError> {
    let occurred_at = case.event.occurred_at();
    if occurred_at > case.received_at.saturating_add(SKEW_MAX) {
        let message = "this lies in the future by the server's clock: set the sender's clock";
        return Err(case.refuse("/occurred_at", Code::TimeInvalid, message));
    }
    if occurred_at.saturating_add(BACKDATED_AFTER) < case.received_at && !case.is_imported() {
        flags.push(Flag::Backdated);
    }
    Ok(())
}

/// R3 and R6: the session is the user's, and not over.
fn check_session(case: Case<'_>, flags: &mut Vec<Flag>) -> Result<(), SubmitError> {
    let event = case.event;
    // A remark on a session may be anybody's, at any time.
    if !event.kind().rules().session {
        return Ok(());
    }
    let Some(session) = case.session else { return Ok(()) };
    if let (Some(user), Some(of)) = (event.user(), &session.user) {
        let other_issuer =
            user.issuer.as_ref().zip(of.issuer.as_ref()).is_some_and(|(one, other)| one != other);
        if !same_identity(&user.id, &of.id) || other_issuer {
            let message = "the session is of another user: give each user sessions of their own";
            return Err(case.refuse("/user/id", Code::UserMismatch, message));
        }
    }
    if !matches!(event.kind(), Kind::SessionEnd | Kind::DelegationRevoke) {
        flags.extend(after_the_end(session, case));
    }
    Ok(())
}

/// What is wrong with a record of a session that may be over.
fn after_the_end(session: &Session, case: Case<'_>) -> Option<Flag> {
    if session.is_over(case.at()) {
        return Some(Flag::AfterSessionEnd);
    }
    // It happened before the end, as its sender says. After a while that is only a claim.
    let ended = session.ended?;
    let in_time = case.received_at <= ended.received_at.saturating_add(GRACE);
    Some(if in_time || case.is_imported() { Flag::Late } else { Flag::AfterSessionEnd })
}

/// R9 and R10: the tool is one that was approved, and is still what was approved.
fn check_catalog(
    look: &Look<'_>,
    case: Case<'_>,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    if let Data::ToolInvocation(invocation) = case.event.data() {
        flags.extend(of_tool(look, case.at(), invocation)?);
    }
    if let Data::ToolCatalogSnapshot(snapshot) = case.event.data() {
        let decided = snapshot.review_status.is_some_and(Review::is_decided);
        let catalog = look.catalog(&snapshot.server)?;
        let in_force = catalog.in_force(case.at()).filter(|_| !decided);
        let approved = in_force.and_then(|decision| decision.approved.as_ref());
        let changed = approved.is_some_and(|approved| {
            snapshot.tools.iter().any(|tool| {
                let digest = approved.tools.get(&tool.name);
                digest.is_some_and(|digest| *digest != tool.definition_digest)
            })
        });
        flags.extend(changed.then_some(Flag::ToolDefinitionChanged));
    }
    Ok(())
}

fn of_tool(
    look: &Look<'_>,
    at: Timestamp,
    invocation: &ToolInvocation,
) -> Result<Option<Flag>, SubmitError> {
    let needed = look.policy().catalog == Some(CatalogRule::Required);
    let missing = needed.then_some(Flag::ToolNotInCatalog);
    let Some(server) = &invocation.server else { return Ok(missing) };
    let catalog = look.catalog(server)?;
    let Some(decision) = catalog.in_force(at) else { return Ok(missing) };
    let approved = decision.approved.as_ref();
    let Some(digest) = approved.and_then(|approved| approved.tools.get(&invocation.tool)) else {
        return Ok(Some(Flag::ToolNotInCatalog));
    };
    let now = invocation.definition_digest.as_ref().or(catalog.offered(&invocation.tool));
    Ok(now.is_some_and(|now| now != digest).then_some(Flag::ToolDefinitionChanged))
}

/// R19: all content is there, where the policy asks for it.
fn check_captured(look: &Look<'_>, case: Case<'_>, flags: &mut Vec<Flag>) {
    let captured = case.event.source().and_then(|source| source.captured);
    let whole = matches!(captured, None | Some(Captured::Full));
    if look.policy().content_required == Some(true) && !whole {
        flags.push(Flag::ContentIncomplete);
    }
}
