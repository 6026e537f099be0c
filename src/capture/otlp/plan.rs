//! Which spans are model calls, which are tool calls, and which of the one asked for which of the
//! other.

use std::collections::{BTreeMap, BTreeSet};

use super::known;
use super::mapping::{Field, Role};
use super::messages::{Call, Message, is_captured};
use super::trace::{Seen, Trace};

/// What a trace tells, put in order.
pub(super) struct Plan {
    /// The model calls, in the order of start.
    pub(super) models: Vec<ModelCall>,
    /// The tool spans that nobody asked for.
    pub(super) orphans: Vec<usize>,
}

/// A model was asked, and answered.
pub(super) struct ModelCall {
    /// The span.
    pub(super) place: usize,
    /// A span within it that tells of the same call.
    pub(super) inner: Option<usize>,
    pub(super) input: Vec<Message>,
    pub(super) output: Vec<Message>,
    /// The tools that it asked for, in its order, and after them those that it must have asked for.
    pub(super) calls: Vec<Asked>,
}

/// A tool that a model asked for.
pub(super) struct Asked {
    pub(super) call: Call,
    /// The span in which the tool ran.
    pub(super) span: Option<usize>,
    /// Whether that it was this model call that asked for this run was worked out.
    pub(super) inferred: bool,
    /// Whether nothing but the run tells that the tool was asked for.
    pub(super) is_guess: bool,
}

impl Plan {
    pub(super) fn new(trace: &Trace<'_>) -> Self {
        let mut models = model_calls(trace);
        let mut orphans = Vec::new();
        let tools = tool_spans(trace);
        let mut left = Vec::new();
        // Ids first, so that no run takes by its name what another has by its id.
        for place in tools {
            let id = trace.seen.get(place).and_then(Seen::call_id);
            let start = start(trace, place);
            let asked = id.as_deref().and_then(|id| by_id(&mut models, trace, id, start));
            match asked {
                Some(asked) => asked.span = Some(place),
                None => left.push(place),
            }
        }
        for place in left {
            if let Some(asked) = by_name(&mut models, trace, place) {
                asked.span = Some(place);
                asked.inferred = true;
            } else if let Some(model) = nearest(trace, &models, place) {
                if let Some(model) = models.get_mut(model) {
                    model.calls.push(Asked::of_run(trace, place));
                }
            } else {
                orphans.push(place);
            }
        }
        Self { models, orphans }
    }
}

impl Asked {
    /// A run that nobody is seen to have asked for.
    pub(super) fn of_run(trace: &Trace<'_>, place: usize) -> Self {
        Self { call: own_call(trace, place), span: Some(place), inferred: true, is_guess: true }
    }
}

/// The call as the tool's own span tells it.
fn own_call(trace: &Trace<'_>, place: usize) -> Call {
    let seen = trace.seen.get(place);
    Call {
        id: seen.and_then(Seen::call_id),
        name: seen.and_then(|seen| seen.text(Field::Tool)).unwrap_or_default(),
        arguments: seen.and_then(Seen::arguments),
    }
}

fn start(trace: &Trace<'_>, place: usize) -> u64 {
    trace.seen.get(place).map_or(0, |seen| seen.span.start_ns)
}

/// The model calls. Of spans within one another that tell of one call the outer one counts; one around
/// several calls is no call of its own. Where no model is seen, an agent that tells what went in and
/// out stands for it.
fn model_calls(trace: &Trace<'_>) -> Vec<ModelCall> {
    let all: Vec<usize> = places(trace, Role::Model).collect();
    let mut within: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for place in &all {
        let outer = trace
            .around(*place)
            .take_while(|outer| trace.role(*outer) != Some(Role::Tool))
            .find(|outer| trace.role(*outer) == Some(Role::Model));
        if let Some(outer) = outer {
            within.entry(outer).or_default().push(*place);
        }
    }
    let merged: BTreeSet<usize> =
        within.values().filter(|inner| inner.len() == 1).flatten().copied().collect();
    let several = |place: &usize| within.get(place).is_some_and(|inner| inner.len() > 1);
    let mut found: Vec<ModelCall> = all
        .iter()
        .filter(|place| !merged.contains(place) && !several(place))
        .map(|place| {
            model_call(trace, *place, within.get(place).and_then(|inner| inner.first()).copied())
        })
        .collect();
    if found.is_empty() {
        let agents = places(trace, Role::Agent).map(|place| model_call(trace, place, None));
        found.extend(
            agents.filter(|call| is_captured(&call.input) && is_captured(&call.output)).take(1),
        );
    }
    found
}

fn places<'t>(trace: &'t Trace<'t>, role: Role) -> impl Iterator<Item = usize> + 't {
    (0..trace.seen.len()).filter(move |place| trace.role(*place) == Some(role))
}

fn model_call(trace: &Trace<'_>, place: usize, inner: Option<usize>) -> ModelCall {
    let told: Vec<_> =
        std::iter::once(place).chain(inner).filter_map(|place| trace.seen.get(place)).collect();
    let best = |all: Vec<Vec<Message>>| {
        let best = all.iter().position(|messages| is_captured(messages));
        let best = best.or_else(|| all.iter().position(|messages| !messages.is_empty()));
        best.and_then(|best| all.into_iter().nth(best)).unwrap_or_default()
    };
    let output = best(told.iter().map(|seen| seen.output()).collect());
    let calls = output
        .iter()
        .flat_map(Message::calls)
        .map(|call| Asked { call: call.clone(), span: None, inferred: false, is_guess: false })
        .collect();
    ModelCall {
        place,
        inner,
        input: best(told.iter().map(|seen| seen.input()).collect()),
        output,
        calls,
    }
}

/// The tool spans. A run that two instrumentations tell of, one within the other, is one run. What
/// stands in parentheses is no tool's name: some frameworks mark their own steps so.
fn tool_spans(trace: &Trace<'_>) -> Vec<usize> {
    let name = |place: usize| trace.seen.get(place).and_then(|seen| seen.text(Field::Tool));
    places(trace, Role::Tool)
        .filter(|place| name(*place).is_some_and(|name| !name.starts_with('(')))
        .filter(|place| {
            let outer = trace
                .around(*place)
                .take_while(|outer| trace.role(*outer) != Some(Role::Model))
                .find(|outer| trace.role(*outer) == Some(Role::Tool));
            outer.is_none_or(|outer| name(outer) != name(*place))
        })
        .collect()
}

/// The call with this id that no span was found for yet. Where ids are used again the latest counts
/// that was asked for before.
fn by_id<'a>(
    models: &'a mut [ModelCall],
    trace: &Trace<'_>,
    id: &str,
    before: u64,
) -> Option<&'a mut Asked> {
    let fits = |asked: &&mut Asked| asked.span.is_none() && asked.call.id.as_deref() == Some(id);
    models
        .iter_mut()
        .filter(|model| start(trace, model.place) <= before)
        .flat_map(|model| model.calls.iter_mut())
        .filter(fits)
        .last()
}

/// The call with the tool's name that no span was found for yet, of the latest model call before the
/// tool ran: with the same arguments if there is one, else the first.
fn by_name<'a>(
    models: &'a mut [ModelCall],
    trace: &Trace<'_>,
    place: usize,
) -> Option<&'a mut Asked> {
    let own = own_call(trace, place);
    let given = own.arguments.as_ref().and_then(known::arguments);
    let before = start(trace, place);
    let free = |asked: &Asked| asked.span.is_none() && asked.call.name == own.name;
    let model = models
        .iter_mut()
        .filter(|model| start(trace, model.place) <= before)
        .filter(|model| model.calls.iter().any(free))
        .last()?;
    let same = |asked: &Asked| asked.call.arguments.as_ref().and_then(known::arguments) == given;
    let exact = model.calls.iter().position(|asked| free(asked) && given.is_some() && same(asked));
    let found = exact.or_else(|| model.calls.iter().position(free))?;
    model.calls.get_mut(found)
}

/// The latest model call that began before a tool that nobody is known to have asked for, and did not
/// say what it asked for.
fn nearest(trace: &Trace<'_>, models: &[ModelCall], place: usize) -> Option<usize> {
    let before = start(trace, place);
    let silent = |model: &ModelCall| !is_captured(&model.output);
    models
        .iter()
        .rposition(|model| start(trace, model.place) <= before)
        .filter(|found| models.get(*found).is_some_and(silent))
}
