//! Which spans are model calls, which are tool calls, and which of the one asked for which of the
//! other.

use std::collections::{BTreeMap, BTreeSet};

use super::assemble::session_of;
use super::item::Sender;
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
    pub(super) fn new(trace: &Trace<'_>, sender: &Sender) -> Self {
        let mut models = model_calls(trace);
        let mut orphans = Vec::new();
        let mut free = Free::new(trace, sender, &models);
        let mut left = Vec::new();
        // Ids first, so that no run takes by its name what another has by its id.
        for place in tool_spans(trace) {
            match free.by_id(place).and_then(|found| asked(&mut models, found)) {
                Some(asked) => asked.span = Some(place),
                None => left.push(place),
            }
        }
        if !left.is_empty() {
            free.name(&models);
        }
        for place in left {
            if let Some(found) = free.by_name(place)
                && let Some(asked) = asked(&mut models, found)
            {
                asked.span = Some(place);
                asked.inferred = true;
            } else if let Some(model) = free.nearest(&models, place) {
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

/// A call by the place of its model call among the model calls, and its own place there.
type At = (usize, usize);

fn asked(models: &mut [ModelCall], (model, number): At) -> Option<&mut Asked> {
    models.get_mut(model)?.calls.get_mut(number)
}

/// For each model call the calls of one tool, and what they were given.
type Named = BTreeMap<usize, BTreeMap<usize, Option<known::Words>>>;

/// The calls of which no run was found yet. A run belongs to a call of its own session.
struct Free<'a> {
    trace: &'a Trace<'a>,
    /// The session of each span.
    sessions: Vec<String>,
    /// When each model call began, in order.
    starts: Vec<u64>,
    /// The model calls of each session.
    models: BTreeMap<String, Vec<usize>>,
    by_id: BTreeMap<(String, String), Vec<At>>,
    /// By session and tool.
    by_name: BTreeMap<(String, String), Named>,
}

impl<'a> Free<'a> {
    fn new(trace: &'a Trace<'a>, sender: &Sender, models: &[ModelCall]) -> Self {
        let sessions = (0..trace.seen.len()).map(|place| session_of(trace, place, sender));
        let mut free = Self {
            trace,
            sessions: sessions.collect(),
            starts: models.iter().map(|model| start(trace, model.place)).collect(),
            models: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        for (place, model) in models.iter().enumerate() {
            let session = free.session(model.place);
            free.models.entry(session.clone()).or_default().push(place);
            for (number, Asked { call, .. }) in model.calls.iter().enumerate() {
                if let Some(id) = &call.id {
                    let same = free.by_id.entry((session.clone(), id.clone())).or_default();
                    same.push((place, number));
                }
            }
        }
        free
    }

    /// Finds what is left by the names of the tools.
    fn name(&mut self, models: &[ModelCall]) {
        for (place, model) in models.iter().enumerate() {
            let session = self.session(model.place);
            let left = model.calls.iter().enumerate().filter(|(_, asked)| asked.span.is_none());
            for (number, Asked { call, .. }) in left {
                let same = self.by_name.entry((session.clone(), call.name.clone())).or_default();
                let given = call.arguments.as_ref().and_then(known::arguments);
                same.entry(place).or_default().insert(number, given);
            }
        }
    }

    fn session(&self, place: usize) -> String {
        self.sessions.get(place).cloned().unwrap_or_default()
    }

    /// How many model calls began before a run, or with it.
    fn before(&self, run: usize) -> usize {
        let at = start(self.trace, run);
        self.starts.partition_point(|start| *start <= at)
    }

    /// The call with the run's id. Where ids are used again the latest counts that was asked for before.
    fn by_id(&mut self, run: usize) -> Option<At> {
        let id = self.trace.seen.get(run).and_then(Seen::call_id)?;
        let before = self.before(run);
        let same = self.by_id.get_mut(&(self.sessions.get(run)?.clone(), id))?;
        let latest = same.partition_point(|(model, _)| *model < before).checked_sub(1)?;
        Some(same.remove(latest))
    }

    /// The call of the run's tool, of the latest model call before the run: with the same arguments if
    /// there is one, else the first.
    fn by_name(&mut self, run: usize) -> Option<At> {
        let own = own_call(self.trace, run);
        let given = own.arguments.as_ref().and_then(known::arguments);
        let before = self.before(run);
        let same = self.by_name.get_mut(&(self.sessions.get(run)?.clone(), own.name))?;
        let (model, calls) = same.range_mut(..before).next_back()?;
        let model = *model;
        let exact = calls.iter().find(|(_, words)| given.is_some() && **words == given);
        let number = *exact.or_else(|| calls.iter().next())?.0;
        calls.remove(&number);
        if calls.is_empty() {
            same.remove(&model);
        }
        Some((model, number))
    }

    /// The latest model call that began before a tool that nobody is known to have asked for, and did
    /// not say what it asked for.
    fn nearest(&self, models: &[ModelCall], run: usize) -> Option<usize> {
        let of_session = self.models.get(self.sessions.get(run)?)?;
        let before = self.before(run);
        let latest = of_session.partition_point(|model| *model < before).checked_sub(1)?;
        let found = *of_session.get(latest)?;
        models.get(found).filter(|model| !is_captured(&model.output)).map(|_| found)
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
            agents
                .filter(|call| is_captured(&call.input(trace)) && is_captured(&call.output))
                .take(1),
        );
    }
    found
}

fn places<'t>(trace: &'t Trace<'t>, role: Role) -> impl Iterator<Item = usize> + 't {
    (0..trace.seen.len()).filter(move |place| trace.role(*place) == Some(role))
}

fn model_call(trace: &Trace<'_>, place: usize, inner: Option<usize>) -> ModelCall {
    let output = best(trace, place, inner, Seen::output);
    let calls = output
        .iter()
        .flat_map(Message::calls)
        .map(|call| Asked { call: call.clone(), span: None, inferred: false, is_guess: false })
        .collect();
    ModelCall { place, inner, output, calls }
}

/// What the spans of a call say that says most.
fn best<'t>(
    trace: &Trace<'t>,
    place: usize,
    inner: Option<usize>,
    says: impl Fn(&Seen<'t>) -> Vec<Message>,
) -> Vec<Message> {
    let told = std::iter::once(place).chain(inner).filter_map(|place| trace.seen.get(place));
    let all: Vec<Vec<Message>> = told.map(says).collect();
    let best = all.iter().position(|messages| is_captured(messages));
    let best = best.or_else(|| all.iter().position(|messages| !messages.is_empty()));
    best.and_then(|best| all.into_iter().nth(best)).unwrap_or_default()
}

impl ModelCall {
    /// What went in. It is read when it is needed: histories are long, and every call repeats one.
    pub(super) fn input(&self, trace: &Trace<'_>) -> Vec<Message> {
        best(trace, self.place, self.inner, Seen::input)
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
