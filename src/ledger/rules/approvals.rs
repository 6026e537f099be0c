//! R12: a person's approval is there where it is needed, and was given for just this.

use super::{Case, Evidence};
use crate::canon::ContentDigest;
use crate::ledger::known::{self, Look};
use crate::ledger::{StoredPart, SubmitError};
use crate::record::data::{Decision, ToolInvocation};
use crate::record::{Data, Entry, Flag, Kind, Rel};

/// The content part that a tool is invoked with, and that an approval shows.
pub(super) const ARGUMENTS: &str = "arguments";

/// Names what is wrong with the approvals that an invocation rests on.
pub(super) fn check(
    look: &Look<'_>,
    case: Case<'_>,
    evidence: &impl Evidence,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    let Data::ToolInvocation(invocation) = case.event.data() else { return Ok(()) };
    let needed = invocation.effect.is_some_and(|effect| look.policy().approvals.contains(&effect));
    let (mut given, mut bound) = (false, false);
    for (cause, known) in case.event.causes().iter().zip(case.causes) {
        if cause.rel != Rel::AuthorizedBy || known.kind != Kind::HumanApproval {
            continue;
        }
        let (bytes, content) = evidence.record(known.seq)?;
        let approval = known::parse(known.seq, &bytes)?;
        let Data::HumanApproval(decision) = &*approval.data else { continue };
        if matches!(decision.decision, Decision::Approved | Decision::Modified) {
            given = true;
            bound = bound || is_bound(case, invocation, (&approval, &content), evidence)?;
        }
    }
    if given && !bound {
        flags.push(Flag::ApprovalNotBound);
    }
    if needed && !given {
        flags.push(Flag::ApprovalMissing);
    }
    Ok(())
}

/// Whether an approval is about these arguments: they are the ones that the person was shown, or else
/// those of the request that the approval is about.
fn is_bound(
    case: Case<'_>,
    invocation: &ToolInvocation,
    (approval, content): (&Entry<'_>, &[StoredPart]),
    evidence: &impl Evidence,
) -> Result<bool, SubmitError> {
    if let Some(same) = same_arguments(case, approval, content) {
        return Ok(same);
    }
    for about in approval.causes.iter().filter(|cause| cause.rel == Rel::About) {
        let (bytes, content) = evidence.record(about.seq)?;
        let request = known::parse(about.seq, &bytes)?;
        if let Data::ToolInvocation(requested) = &*request.data
            && requested.tool == invocation.tool
            && same_arguments(case, &request, &content) == Some(true)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether another record has the same arguments: compared by its salted digest of them, which is all
/// that has to be there. `None` if it has none.
fn same_arguments(case: Case<'_>, entry: &Entry<'_>, content: &[StoredPart]) -> Option<bool> {
    let place = entry.content.iter().position(|part| part.name == ARGUMENTS)?;
    let digest = entry.content.get(place)?.digest;
    let Some(StoredPart::Kept { salt, .. }) = content.get(place) else { return Some(false) };
    let mine = case.event.content().iter().find(|part| part.name == ARGUMENTS);
    Some(mine.is_some_and(|mine| ContentDigest::of(salt, &mine.bytes) == digest))
}
