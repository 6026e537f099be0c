//! R7 and R8: what an agent does is within a grant that was alive.

use super::Case;
use crate::ledger::SubmitError;
use crate::ledger::known::Look;
use crate::ledger::state::Grant;
use crate::record::data::{ApiCall, DelegationGrant, LifetimeBasis, ToolInvocation};
use crate::record::text::ExternalId;
use crate::record::{Data, Flag, same_identity};

/// Grants that a grant may be a part of, one of the other.
const PARENTS_MAX: usize = 8;

/// Names what is wrong with the grant under which a record says that an agent acted, or with the grant
/// that it tells of.
pub(super) fn check(
    look: &Look<'_>,
    case: Case<'_>,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    if let Data::DelegationGrant(terms) = case.event.data() {
        return check_terms(look, case, terms, flags);
    }
    let data = case.event.data();
    let acts = matches!(data, Data::ToolInvocation(_) | Data::ApiCall(_) | Data::Handoff(_))
        || matches!(data, Data::Memory(memory) if memory.op.is_write());
    let Some(id) = case.event.delegation().filter(|_| acts) else { return Ok(()) };
    let grant = look.grant(id)?;
    let Some(terms) = &grant.terms else {
        flags.push(Flag::DelegationUnknown);
        return Ok(());
    };
    check_life(look, case, &grant, flags)?;
    check_parties(case, terms, flags);
    if let Data::ToolInvocation(invocation) = data {
        check_invocation(invocation, terms, flags);
        if terms.max_calls.is_some_and(|max| grant.calls >= max) {
            flags.push(Flag::CallsExceeded);
        }
    }
    if let Data::ApiCall(call) = data {
        check_call(call, terms, flags);
    }
    Ok(())
}

/// R7: the grant, and every one that it is a part of, was alive.
fn check_life(
    look: &Look<'_>,
    case: Case<'_>,
    grant: &Grant,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    let mut grant = grant.clone();
    for _ in 0..=PARENTS_MAX {
        let Some(terms) = &grant.terms else { return Ok(()) };
        // A request is stopped as soon as anybody said so.
        if grant.revoked.is_some_and(|revoked| case.is_request() || case.at() > revoked) {
            flags.push(Flag::DelegationRevoked);
            return Ok(());
        }
        if case.at() >= terms.expires_at || outlives_its_session(look, case, &grant, terms)? {
            flags.push(Flag::DelegationExpired);
            return Ok(());
        }
        let Some(parent) = &terms.parent else { return Ok(()) };
        grant = look.grant(parent)?;
    }
    Ok(())
}

/// Whether the grant ended with the session in which it was given.
fn outlives_its_session(
    look: &Look<'_>,
    case: Case<'_>,
    grant: &Grant,
    terms: &DelegationGrant,
) -> Result<bool, SubmitError> {
    let of_its_own = terms.lifetime_basis == LifetimeBasis::Grant
        && look.policy().grants_outlive_sessions == Some(true);
    let Some(session) = grant.session.as_ref().filter(|_| !of_its_own) else { return Ok(false) };
    Ok(look.session(session)?.is_some_and(|session| session.is_over(case.at())))
}

/// R8: the grant is this user's, for this agent.
fn check_parties(case: Case<'_>, terms: &DelegationGrant, flags: &mut Vec<Flag>) {
    check_subject(case, terms, flags);
    if let Some(agent) = case.event.agent() {
        let names = [Some(&agent.id), agent.instance_id.as_ref()];
        if !names.into_iter().flatten().any(|name| same_identity(name, &terms.delegate)) {
            flags.push(Flag::DelegateMismatch);
        }
    }
}

/// The grant is this user's, by any of the names that the user has.
fn check_subject(case: Case<'_>, terms: &DelegationGrant, flags: &mut Vec<Flag>) {
    let Some(user) = case.event.user() else { return };
    let names = [Some(&user.id), user.subject.as_ref(), user.pseudonym.as_ref()];
    if !names.into_iter().flatten().any(|name| same_identity(name, &terms.subject)) {
        flags.push(Flag::SubjectMismatch);
    }
}

fn check_invocation(invocation: &ToolInvocation, terms: &DelegationGrant, flags: &mut Vec<Flag>) {
    let approved = &terms.approved_tools;
    if !has_all(&terms.scopes, &invocation.scopes)
        || (!approved.is_empty() && !approved.contains(&invocation.tool))
    {
        flags.push(Flag::ScopeExceeded);
    }
    let allowed = &terms.allowed_effects;
    if !allowed.is_empty() && invocation.effect.is_some_and(|effect| !allowed.contains(&effect)) {
        flags.push(Flag::EffectExceeded);
    }
    let tasks = invocation.task_id.as_ref().zip(terms.task_id.as_ref());
    if tasks.is_some_and(|(one, other)| one != other) {
        flags.push(Flag::TaskMismatch);
    }
}

fn check_call(call: &ApiCall, terms: &DelegationGrant, flags: &mut Vec<Flag>) {
    if !has_all(&terms.scopes, &call.scopes) {
        flags.push(Flag::ScopeExceeded);
    }
    let for_it = match (&call.audience, &call.url) {
        (Some(audience), _) => terms.audience.contains(audience),
        (None, Some(url)) => {
            // Only an audience that is a URL says which URLs are its own.
            let mut urls = terms.audience.iter().filter(|audience| audience.contains("://"));
            let first = urls.next();
            first.is_none_or(|first| is_below(url, first) || urls.any(|next| is_below(url, next)))
        }
        (None, None) => true,
    };
    if !for_it {
        flags.push(Flag::AudienceMismatch);
    }
}

/// Whether a URL is the other one, or lies below it. Scheme and host are compared without case.
fn is_below(url: &str, base: &str) -> bool {
    let split = |url: &str| {
        let start = url.find("://").map_or(0, |place| place + 3);
        let end = url.get(start..).and_then(|rest| rest.find(['/', '?', '#']));
        let end = end.map_or(url.len(), |place| start + place);
        let (origin, path) = url.split_at_checked(end).unwrap_or((url, ""));
        (origin.to_ascii_lowercase(), path.to_owned())
    };
    let ((origin, path), (base_origin, base_path)) = (split(url), split(base));
    let base_path = base_path.trim_end_matches('/');
    let rest = path.strip_prefix(base_path);
    origin == base_origin
        && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

fn has_all(scopes: &[ExternalId], used: &[ExternalId]) -> bool {
    used.iter().all(|scope| scopes.contains(scope))
}

/// A grant that is a part of another one allows no more than that, and one that is told again no more
/// than it did.
fn check_terms(
    look: &Look<'_>,
    case: Case<'_>,
    terms: &DelegationGrant,
    flags: &mut Vec<Flag>,
) -> Result<(), SubmitError> {
    check_subject(case, terms, flags);
    let parent = terms.parent.as_ref().map(|parent| look.grant(parent)).transpose()?;
    let before = look.grant(&terms.delegation)?;
    if parent.as_ref().is_some_and(|parent| parent.terms.is_none()) {
        flags.push(Flag::DelegationUnknown);
    }
    let wider = [parent, Some(before)].into_iter().flatten().filter_map(|grant| grant.terms);
    if wider.into_iter().any(|of| is_wider(terms, &of)) {
        flags.push(Flag::DelegationWidened);
    }
    Ok(())
}

/// Whether a grant allows something that the other one does not.
fn is_wider(terms: &DelegationGrant, than: &DelegationGrant) -> bool {
    let within = |some: usize, of: usize, all: bool| of == 0 || (some > 0 && all);
    let effects = &terms.allowed_effects;
    let tools = &terms.approved_tools;
    terms.expires_at > than.expires_at
        || !has_all(&than.scopes, &terms.scopes)
        || !has_all(&than.audience, &terms.audience)
        || !within(
            effects.len(),
            than.allowed_effects.len(),
            effects.iter().all(|effect| than.allowed_effects.contains(effect)),
        )
        || !within(
            tools.len(),
            than.approved_tools.len(),
            tools.iter().all(|tool| than.approved_tools.contains(tool)),
        )
        || than.max_calls.is_some_and(|max| terms.max_calls.is_none_or(|calls| calls > max))
}
