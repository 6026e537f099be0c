//! The answers in a sentence: what is known, and what is missing.

use super::words::{fact, named, noun, words_of};
use super::{Effects, Relation, Role, Step, bytes_at};
use crate::ledger::{Error, View, known};
use crate::record::identity::UserType;
use crate::record::{Data, Entry, Kind, User};

/// Untrusted inputs, API calls and scopes that are named; of others, the number is.
const NAMED_MAX: usize = 4;

/// Why a record came about: by what, for whom, allowed by what, and what could have influenced it.
/// `steps` start with the record and go down.
pub(super) fn of_why(view: &View, steps: &[Step], truncated: bool) -> Result<String, Error> {
    let Some(first) = steps.first() else { return Ok(String::new()) };
    let bytes = bytes_at(view, first.seq)?;
    let entry = known::parse(first.seq, &bytes)?;
    let mut sentence = capital(&noun(view, &entry)?);
    sentence.push_str(&reasons(view, &entry, steps)?);
    sentence.push_str(&authority(view, &entry, steps)?);
    sentence.push_str(&influences(view, first, steps)?);
    sentence.push('.');
    if truncated {
        sentence.push_str(" The walk ended at a bound: there is more behind it.");
    }
    Ok(sentence)
}

/// The records that set the first one off, one by one, as far as a prompt.
fn trunk(steps: &[Step]) -> Vec<&Step> {
    let mut trunk = Vec::new();
    let mut at = steps.first();
    while let Some(seq) = at.and_then(|step| step.set_off_by) {
        let place = steps.binary_search_by(|step| seq.cmp(&step.seq));
        at = place.ok().and_then(|place| steps.get(place));
        trunk.extend(at);
        if at.is_some_and(|step| step.kind == Kind::Prompt) {
            break;
        }
    }
    trunk
}

fn reasons(view: &View, entry: &Entry<'_>, steps: &[Step]) -> Result<String, Error> {
    let trunk = trunk(steps);
    let fact_of = |kind: Kind| -> Result<Option<String>, Error> {
        let Some(step) = trunk.iter().find(|step| step.kind == kind) else { return Ok(None) };
        let bytes = bytes_at(view, step.seq)?;
        Ok(Some(fact(&known::parse(step.seq, &bytes)?.data)))
    };
    let because = match (fact_of(Kind::ToolInvocation)?, fact_of(Kind::ModelOutput)?) {
        (Some(tool), Some(model)) => Some(format!("tool {tool} was invoked by model {model}")),
        (Some(tool), None) => Some(format!("tool {tool} was invoked")),
        (None, Some(model)) if entry.kind == Kind::ToolInvocation => {
            Some(format!("model {model} asked for it"))
        }
        (None, Some(model)) => Some(format!("of what model {model} said")),
        (None, None) => None,
    };
    let last = trunk.last().copied();
    if let Some(prompt) = last.filter(|step| step.kind == Kind::Prompt) {
        let bytes = bytes_at(view, prompt.seq)?;
        let prompt = known::parse(prompt.seq, &bytes)?;
        let words = words_of(view, &prompt)?.quoted();
        let whose = prompt.user.as_ref().map(|user| format!(" of {}", named(&user.id)));
        let whose = whose.unwrap_or_default();
        return Ok(match because {
            Some(because) => {
                format!(" happened because {because} answering the prompt {words}{whose}")
            }
            None => format!(" happened because of the prompt {words}{whose}"),
        });
    }
    let because = match (because, last) {
        (Some(because), _) => format!(" happened because {because}"),
        (None, Some(last)) => {
            let bytes = bytes_at(view, last.seq)?;
            let noun = noun(view, &known::parse(last.seq, &bytes)?)?;
            format!(" happened because of {noun} (seq {})", last.seq)
        }
        (None, None) if steps.len() > 1 => " was set off by nothing that is recorded".to_owned(),
        (None, None) => " has no recorded cause".to_owned(),
    };
    Ok(format!("{because}{}", origin(entry)))
}

/// Who is behind a record that no prompt led to.
fn origin(entry: &Entry<'_>) -> String {
    let Some(user) = entry.user.as_deref() else { return String::new() };
    let id = named(&user.id);
    if entry.kind == Kind::Prompt {
        return format!("; it was asked by {id}");
    }
    let of_the_user =
        [Kind::SessionStart, Kind::SessionEnd, Kind::DelegationGrant, Kind::DelegationRevoke];
    if of_the_user.contains(&entry.kind) {
        return format!("; it is of {id}");
    }
    match autonomous(user) {
        Some(trigger) => format!("; {trigger}"),
        None => {
            format!("; nobody is recorded as having asked for it, {id} is accountable")
        }
    }
}

/// What set an autonomous run off, if it is one.
fn autonomous(user: &User) -> Option<String> {
    let owner = user.owner.as_ref().map(|owner| format!(" (owner {})", named(owner)));
    let owner = owner.unwrap_or_default();
    let id = named(&user.id);
    if let Some(trigger) = &user.trigger {
        let (kind, name) = (trigger.r#type, named(&trigger.r#ref));
        return Some(format!("it was set off by the {kind} {name} of {id}{owner}"));
    }
    (user.r#type == UserType::Service).then(|| format!("it is of the service {id}{owner}"))
}

/// Under which grant a record was made.
fn authority(view: &View, entry: &Entry<'_>, steps: &[Step]) -> Result<String, Error> {
    let Some(delegation) = entry.delegation.as_deref() else {
        let needed = entry.kind.rules().delegation && entry.kind != Kind::Memory;
        return Ok(if needed { ", under no recorded delegation" } else { "" }.to_owned());
    };
    let under = format!(", under delegation {}", named(delegation));
    for step in steps.iter().filter(|step| step.role == Role::Delegation) {
        let bytes = bytes_at(view, step.seq)?;
        let grant = known::parse(step.seq, &bytes)?;
        let Data::DelegationGrant(grant) = &*grant.data else { continue };
        if *grant.delegation == **delegation {
            let scopes = grant.scopes.iter().map(|scope| named(scope));
            let scopes = listed(scopes, grant.scopes.len());
            return Ok(format!("{under} ({scopes}, until {})", grant.expires_at));
        }
    }
    Ok(format!("{under} (its grant was not found)"))
}

/// The untrusted inputs that a record could have been influenced by, the nearest first.
fn influences(view: &View, first: &Step, steps: &[Step]) -> Result<String, Error> {
    let inputs = steps.iter().filter(|step| step.role == Role::UntrustedInput);
    let mut inputs: Vec<_> = inputs.filter(|step| step.seq != first.seq).collect();
    inputs.sort_by_key(|step| (step.depth, step.seq));
    if inputs.is_empty() {
        return Ok("; no untrusted input is recorded".to_owned());
    }
    let mut nouns = Vec::new();
    for step in inputs.iter().take(NAMED_MAX) {
        let bytes = bytes_at(view, step.seq)?;
        let noun = noun(view, &known::parse(step.seq, &bytes)?)?;
        nouns.push(format!("{noun} (seq {})", step.seq));
    }
    let count = counted(inputs.len(), "untrusted input");
    let nouns = listed(nouns.into_iter(), inputs.len());
    Ok(format!("; {count} could have influenced it: {nouns}"))
}

/// What came of a record.
pub(super) fn of_effects(view: &View, effects: &Effects) -> Result<String, Error> {
    let Some(first) = effects.steps.first() else { return Ok(String::new()) };
    let bytes = bytes_at(view, first.seq)?;
    let entry = known::parse(first.seq, &bytes)?;
    let start = format!("{} (seq {})", capital(&noun(view, &entry)?), first.seq);
    if effects.steps.len() == 1 && !effects.truncated {
        return Ok(format!("{start} had no recorded effect."));
    }
    let sessions = counted(effects.sessions.len(), "session");
    let users = counted(usize::try_from(effects.users).unwrap_or(usize::MAX), "user");
    let is_same = |step: &&Step| step.edges.iter().any(|edge| edge.rel == Relation::SameDocument);
    let same = match effects.steps.iter().filter(is_same).count() {
        0 => String::new(),
        count => {
            format!(", as the same document is in {}", counted(count, "other record"))
        }
    };
    let calls = effects.sessions.iter().flat_map(|session| {
        session.api_calls.iter().map(|call| {
            let title = call.title.strip_prefix("api_call ").unwrap_or(&call.title);
            format!("{title} (seq {}, session {})", call.seq, named(&session.id))
        })
    });
    let calls = match calls.clone().count() {
        0 => "no API call followed".to_owned(),
        count => format!("{} followed: {}", counted(count, "API call"), listed(calls, count)),
    };
    let more =
        if effects.truncated { " The walk ended at a bound: there is more beyond it." } else { "" };
    Ok(format!("{start} reached {sessions} of {users}{same}; {calls}.{more}"))
}

/// The first few of a list, and how many more there are.
fn listed(items: impl Iterator<Item = String>, count: usize) -> String {
    let named: Vec<_> = items.take(NAMED_MAX).collect();
    let more = count.saturating_sub(named.len());
    let named = named.join(", ");
    if more == 0 { named } else { format!("{named} and {more} more") }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}", first.unwrap_or_default(), characters.as_str())
}
