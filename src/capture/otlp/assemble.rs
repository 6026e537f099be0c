//! From items that belong together to records.
//!
//! A trace is walked through in the order of its model calls. Each of them repeats what was said
//! before, so its messages are compared with what the session has already: what is new becomes a
//! record, what is known becomes a cause. Then come the tools that it asked for, what they did, and
//! what they gave back.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::coding;
use super::draft::{self, Parts};
use super::item::{Item, Sender};
use super::known::{Conversation, Known};
use super::mapping::{Field, Role};
use super::messages::{Answer, Message, Part, Voice};
use super::network::Network;
use super::plan::{Asked, ModelCall, Plan};
use super::tell::{INFORMED_MAX, causes, tool_calls, usage, words_of};
use super::trace::{Seen, Trace};
use crate::record::data::{
    ErrorReport, Model, ModelOutput, Prompt, PromptRole, Status, ToolResult,
};
use crate::record::{Cause, Draft, RecordId, Rel};

/// The sessions that items belong to. [`Known`] must have them before [`assemble`] is asked.
pub fn sessions(items: &[Item], sender: &Sender) -> BTreeSet<String> {
    let trace = Trace::new(items);
    let spans = (0..trace.seen.len()).map(|place| session_of(&trace, place, sender));
    let logs = trace.stray.iter().filter_map(|(_, log)| coding::session(log, sender));
    spans.chain(logs).collect()
}

/// Makes records of items that belong together, each with an id that depends on the items alone, in
/// an order in which causes come before effects. Records that `known` has already are left out, so
/// items that are given again give nothing; `known` has the new ones afterwards.
pub fn assemble(items: &[Item], sender: &Sender, known: &mut Known) -> Vec<Draft> {
    let trace = Trace::new(items);
    let plan = Plan::new(&trace, sender);
    let looked = (0..trace.seen.len()).filter(|place| trace.role(*place) == Some(Role::Retrieval));
    let retrievals = looked.map(|place| (place, session_of(&trace, place, sender))).collect();
    let mut teller = Teller {
        trace: &trace,
        network: Network::new(&trace),
        sender,
        known,
        told: Vec::new(),
        waiting: Vec::new(),
        retrievals,
        retrieved: BTreeMap::new(),
    };
    teller.catalogs();
    for place in &plan.orphans {
        teller.tool(*place, 0, &Asked::of_run(&trace, *place), None);
    }
    for model in &plan.models {
        teller.model(model);
    }
    teller.settle(u64::MAX);
    teller.calls_of_nobody();
    teller.rest();
    teller.logs();
    teller.told
}

/// Whether nothing among the items says what it belongs to: calls over the network outside any
/// conversation. They wait for a trace that [`covers`] them.
pub fn is_loose(items: &[Item]) -> bool {
    let trace = Trace::new(items);
    !trace.seen.is_empty()
        && trace.seen.iter().all(|seen| seen.role.is_none())
        && trace.seen.iter().any(Seen::is_outside_call)
}

/// Whether the loose items of one trace fell, in the same program, into a tool call of another.
pub fn covers(trace: &[Item], loose: &[Item]) -> bool {
    let (trace, loose) = (Trace::new(trace), Trace::new(loose));
    loose.seen.iter().any(|call| {
        span_around(&trace, call, Role::Tool).is_some()
            || span_around(&trace, call, Role::Model).is_some()
    })
}

/// The only span of this role, of the same program, that a call falls into.
pub(super) fn span_around(trace: &Trace<'_>, call: &Seen<'_>, role: Role) -> Option<usize> {
    let within = |place: &usize| {
        trace.seen.get(*place).is_some_and(|around| {
            around.role == Some(role)
                && around.span.start_ns <= call.span.start_ns
                && call.span.end_ns <= around.span.end_ns
                && around.resource == call.resource
        })
    };
    let mut around = (0..trace.seen.len()).filter(within);
    around.next().filter(|_| around.next().is_none())
}

/// The session that a span belongs to. Where nobody names one the trace is all that holds its records
/// together.
pub(super) fn session_of(trace: &Trace<'_>, place: usize, sender: &Sender) -> String {
    let named = trace.said(place, Field::Session);
    named.or_else(|| sender.session.as_ref().map(|session| session.id.to_string())).unwrap_or_else(
        || {
            let id = trace.seen.get(place).map_or("", |seen| &*seen.span.trace_id);
            format!("trace:{id}")
        },
    )
}

/// A result that is told when somebody repeats it, because the run itself did not say it.
pub(super) struct Waiting {
    pub(super) session: String,
    pub(super) invocation: RecordId,
    /// The span in which the tool ran.
    pub(super) run: usize,
    pub(super) call_id: Option<String>,
    pub(super) informed_by: Vec<RecordId>,
    pub(super) inferred: bool,
}

/// Tells one trace.
pub(super) struct Teller<'a, 'k> {
    pub(super) trace: &'a Trace<'a>,
    pub(super) network: Network,
    pub(super) sender: &'a Sender,
    pub(super) known: &'k mut Known,
    pub(super) told: Vec<Draft>,
    pub(super) waiting: Vec<Waiting>,
    /// Where documents were looked for, and in which session.
    retrievals: Vec<(usize, String)>,
    /// Which of them were told.
    retrieved: BTreeMap<usize, RecordId>,
}

/// The causes that a walk through a history came upon.
#[derive(Default)]
struct Window {
    /// What the model was answering.
    trigger: Option<RecordId>,
    /// The results in front of it.
    results: Vec<RecordId>,
    inferred: bool,
}

impl Teller<'_, '_> {
    pub(super) fn conversation(&mut self, place: usize) -> &mut Conversation {
        let session = session_of(self.trace, place, self.sender);
        self.known.conversation(&session)
    }

    /// Tells a model call, and what came of it.
    fn model(&mut self, model: &ModelCall) {
        let Some(seen) = self.trace.seen.get(model.place) else { return };
        let input = model.input(self.trace);
        if input.is_empty() {
            self.settle(seen.span.start_ns);
        }
        let mut window = self.window(model, &input, seen);
        if window.trigger.is_none() {
            window = self.guess(model.place, seen);
        }
        let retrieved = self.retrievals(model.place, seen);
        window.results.extend(retrieved);
        let output = self.output(model, seen, &window);
        for (number, asked) in model.calls.iter().enumerate() {
            self.tool(model.place, number, asked, output.as_ref());
        }
    }

    /// Walks through what went into a model: tells what is new, and finds what is known.
    fn window(&mut self, model: &ModelCall, input: &[Message], seen: &Seen<'_>) -> Window {
        let own = draft::id(&seen.span.trace_id, &seen.span.span_id, "o");
        let own = own.as_ref().map_or("", RecordId::as_str);
        let conversation = self.conversation(model.place);
        let repeated = conversation.repeated(input, own, &seen.span.trace_id);
        let mut window = Window { inferred: repeated.inferred, ..Window::default() };
        let mut open: Vec<usize> = Vec::new();
        for (index, message) in input.iter().enumerate() {
            let known = repeated.records.get(index).cloned().flatten();
            if message.role == Voice::Assistant {
                let output = known.or_else(|| self.heard(model.place, index, message, &window));
                let conversation = self.conversation(model.place);
                open = output.map(|output| conversation.calls_of(&output)).unwrap_or_default();
                continue;
            }
            for (number, part) in message.parts.iter().enumerate() {
                if let Part::Result(answer) = part {
                    let at = (index, number);
                    if let Some(result) = self.repeated_result(model.place, at, answer, &mut open) {
                        window.trigger = Some(result.clone());
                        window.results.push(result);
                    }
                }
            }
            if message.speaks() {
                let prompt = known.or_else(|| self.prompt(model.place, index, message));
                if message.role == Voice::User {
                    window.trigger = prompt.or(window.trigger);
                } else if window.trigger.is_none() {
                    window.trigger = prompt;
                }
            }
        }
        window
    }

    /// Tells a prompt.
    fn prompt(&mut self, place: usize, index: usize, message: &Message) -> Option<RecordId> {
        let role = match message.role {
            Voice::System => PromptRole::System,
            Voice::Developer => PromptRole::Developer,
            Voice::User | Voice::Assistant | Voice::Tool => PromptRole::User,
        };
        let seen = self.trace.seen.get(place)?;
        let mut content = Parts::new();
        words_of(message, &mut content);
        let data = Prompt { channel: None, origin: None, role };
        let part = format!("p{index}");
        self.tell((place, &part, seen.span.start_ns), data, content, (&[], false))
    }

    /// Tells what a history says of an output that nobody saw.
    fn heard(
        &mut self,
        place: usize,
        index: usize,
        message: &Message,
        window: &Window,
    ) -> Option<RecordId> {
        let calls: Vec<_> = message.calls().collect();
        if message.text().is_none() && calls.is_empty() {
            return None;
        }
        let seen = self.trace.seen.get(place)?;
        let trigger = window.trigger.clone()?;
        let unknown = || draft::name("unknown");
        let data = ModelOutput {
            finish_reasons: unknown().into_iter().collect(),
            model: Model {
                provider: unknown()?,
                requested: unknown()?,
                response_id: None,
                served: None,
            },
            tool_calls: tool_calls(calls.iter().copied()),
            usage: None,
        };
        let mut content = Parts::new();
        words_of(message, &mut content);
        let causes = causes(Some(&trigger), &window.results);
        let at = (place, &*format!("h{index}"), seen.span.start_ns);
        let output = self.tell(at, data, content, (&causes, true))?;
        for (number, call) in calls.into_iter().enumerate() {
            let part = format!("h{index}.c{number}");
            let asked = Asked { call: call.clone(), span: None, inferred: true, is_guess: false };
            self.invocation((place, &part), &asked, Some(&output));
        }
        Some(output)
    }

    /// Finds the result that a message of a history repeats, or tells it now. Calls are found by their
    /// ids; where ids are missing or do not fit, by the tool's name, in order, among the calls of the
    /// output before.
    fn repeated_result(
        &mut self,
        place: usize,
        (index, number): (usize, usize),
        answer: &Answer,
        open: &mut Vec<usize>,
    ) -> Option<RecordId> {
        let conversation = self.conversation(place);
        let by_id = answer.id.as_deref().and_then(|id| {
            let fits = |place: &usize| {
                conversation
                    .calls
                    .get(*place)
                    .is_some_and(|call| call.call_id.as_deref() == Some(id))
            };
            let near = open.iter().copied().find(fits);
            near.or_else(|| conversation.latest_call(id))
        });
        let by_name = || {
            let fits = |place: &&usize| {
                let call = conversation.calls.get(**place);
                call.is_some_and(|call| answer.name.as_ref().is_none_or(|name| *name == call.tool))
            };
            open.iter().find(fits).copied()
        };
        let found = by_id.or_else(by_name)?;
        open.retain(|place| *place != found);
        let call = conversation.calls.get(found)?.clone();
        if let Some(result) = call.result {
            return Some(result);
        }
        let session = session_of(self.trace, place, self.sender);
        let waits = self
            .waiting
            .iter()
            .position(|waiting| waiting.session == session && waiting.invocation == call.id);
        if let Some(waits) = waits {
            let waiting = self.waiting.remove(waits);
            return self.result(&waiting, Some(answer));
        }
        let seen = self.trace.seen.get(place)?;
        let part = format!("r{index}.{number}");
        let inferred = by_id.is_none();
        let data = ToolResult {
            call_id: call.call_id.as_deref().and_then(draft::name),
            duration_ms: None,
            error_type: None,
            status: if answer.failed { Status::Error } else { Status::Unknown },
        };
        let mut content = Parts::new();
        content.add("result", answer.result.as_ref());
        let completes = [Cause { id: call.id, rel: Rel::Completes }];
        self.tell((place, &part, seen.span.start_ns), data, content, (&completes, inferred))
    }

    /// What a model call that does not say what went in must have answered: the latest result of the
    /// trace, else its latest prompt, else a prompt of which nothing is known.
    fn guess(&mut self, place: usize, seen: &Seen<'_>) -> Window {
        let trace_id = seen.span.trace_id.clone();
        let conversation = self.conversation(place);
        let results: Vec<RecordId> = conversation
            .calls
            .iter()
            .filter(|call| call.span.as_ref().is_some_and(|(trace, _)| *trace == trace_id))
            .filter_map(|call| call.result.clone())
            .collect();
        let prompt = conversation
            .prompts
            .iter()
            .rev()
            .find(|said| said.trace.as_ref() == Some(&trace_id) && !said.system);
        let trigger = results.last().cloned().or_else(|| prompt.map(|said| said.id.clone()));
        let inferred = trigger.is_some();
        let hidden = Message::of(Voice::User, vec![Part::Hidden]);
        let trigger = trigger.or_else(|| self.prompt(place, 0, &hidden));
        Window { trigger, results, inferred }
    }

    /// Tells what a model answered, or that it failed to.
    fn output(&mut self, model: &ModelCall, seen: &Seen<'_>, window: &Window) -> Option<RecordId> {
        let told = std::iter::once(model.place).chain(model.inner);
        let told: Vec<_> = told.filter_map(|place| self.trace.seen.get(place)).collect();
        let text = |field| told.iter().find_map(|seen| seen.text(field));
        let number = |field| told.iter().find_map(|seen| seen.number(field));
        let trigger = window.trigger.clone();
        if seen.span.failed && model.output.is_empty() {
            let error_type = draft::name(&seen.error_type().unwrap_or_default())?;
            let about = [Cause { id: trigger?, rel: Rel::About }];
            let at = (model.place, "e", seen.span.end_ns);
            let mut content = Parts::new();
            if !seen.span.status_message.is_empty() {
                content.put("message", &Value::from(seen.span.status_message.as_str()));
            }
            self.tell(at, ErrorReport { error_type }, content, (&about, window.inferred));
            return None;
        }
        let reasons =
            told.iter().map(|seen| seen.texts(Field::FinishReasons)).find(|all| !all.is_empty());
        let said =
            || model.output.iter().filter_map(|message| message.finish_reason.clone()).collect();
        let mut reasons: Vec<_> = reasons.unwrap_or_else(said);
        reasons.dedup();
        let unknown = || draft::name("unknown");
        let requested = text(Field::RequestedModel).and_then(|text| draft::name(&text));
        let data = ModelOutput {
            finish_reasons: match reasons
                .iter()
                .filter_map(|text| draft::name(text))
                .collect::<Vec<_>>()
            {
                none if none.is_empty() => unknown().into_iter().collect(),
                some => some.into(),
            },
            model: Model {
                provider: text(Field::Provider)
                    .and_then(|text| draft::name(&text))
                    .or_else(unknown)?,
                requested: requested.or_else(unknown)?,
                response_id: text(Field::ResponseId).and_then(|text| draft::name(&text)),
                served: text(Field::ServedModel).and_then(|text| draft::name(&text)),
            },
            tool_calls: tool_calls(model.output.iter().flat_map(Message::calls)),
            usage: usage(number),
        };
        let mut content = Parts::new();
        for message in &model.output {
            words_of(message, &mut content);
        }
        if !content.has()
            && model.output.iter().flat_map(Message::calls).any(|call| call.arguments.is_some())
        {
            // It said nothing, and asked for tools: that is all there was.
            content.put("text", &Value::from(""));
        }
        let causes = causes(trigger.as_ref(), &window.results);
        let at = (model.place, "o", seen.span.end_ns);
        self.tell(at, data, content, (&causes, window.inferred))
    }

    /// Documents that were looked for in this trace before a model call: the latest, as many as an
    /// output may name.
    fn retrievals(&mut self, place: usize, seen: &Seen<'_>) -> Vec<RecordId> {
        let before = seen.span.start_ns;
        let session = session_of(self.trace, place, self.sender);
        let trace = self.trace;
        let ended =
            |place: &usize| trace.seen.get(*place).is_some_and(|other| other.span.end_ns <= before);
        let mut looked: Vec<usize> = self
            .retrievals
            .iter()
            .rev()
            .filter(|(place, of)| *of == session && ended(place))
            .map(|(place, _)| *place)
            .take(INFORMED_MAX)
            .collect();
        looked.reverse();
        looked.into_iter().filter_map(|place| self.retrieved(place)).collect()
    }

    fn retrieved(&mut self, place: usize) -> Option<RecordId> {
        if let Some(told) = self.retrieved.get(&place) {
            return Some(told.clone());
        }
        let told = self.retrieval(place)?;
        self.retrieved.insert(place, told.clone());
        Some(told)
    }
}
