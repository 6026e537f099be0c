//! The spans and log records of one trace, and what each of them says by the table.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::item::{Attributes, Item, Log, Span, SpanId, SpanKind, What};
use super::mapping::{Field, Role};
use super::messages::{self, Answer, Message, Part, Voice};
use super::read;
use crate::canon::digest::sha256;

/// The event that carries messages in today's conventions, on a span or as a log record.
const DETAILS: &str = "gen_ai.client.inference.operation.details";

/// A span, with the log records that were written in it.
pub(super) struct Seen<'a> {
    pub(super) span: &'a Span,
    pub(super) resource: &'a Attributes,
    pub(super) role: Option<Role>,
    logs: Vec<&'a Log>,
    /// The place of the span around it, if that is known.
    parent: Option<usize>,
}

/// What belongs together, in the order of start.
pub(super) struct Trace<'a> {
    pub(super) seen: Vec<Seen<'a>>,
    /// Log records that were written in no span that is known.
    pub(super) stray: Vec<(&'a Attributes, &'a Log)>,
    /// What all say that say anything, of the fields that are asked for everywhere.
    agreed: Vec<(Field, Option<String>)>,
}

/// Fields of which every record asks: who, in which session, which agent, under which grant.
const EVERYWHERE: [Field; 6] = [
    Field::User,
    Field::UserType,
    Field::Session,
    Field::Agent,
    Field::AgentVersion,
    Field::Delegation,
];

/// How many spans around one are looked at. Deeper nesting is no honest program's.
const AROUND_MAX: usize = 256;

impl<'a> Trace<'a> {
    /// Puts the items in order. Items that are given twice count once.
    pub(super) fn new(items: &'a [Item]) -> Self {
        let mut spans: Vec<(&Span, &Attributes)> = Vec::new();
        let mut logs: Vec<(&Log, &Attributes)> = Vec::new();
        for item in items {
            match &item.what {
                What::Span(span) => spans.push((span, &item.resource)),
                What::Log(log) => logs.push((log, &item.resource)),
            }
        }
        spans.sort_by_key(|(span, _)| (span.start_ns, &span.span_id));
        spans.dedup_by_key(|(span, _)| (&span.trace_id, &span.span_id));
        logs.sort_by_key(|(log, _)| log.time_ns);
        let places: BTreeMap<&SpanId, usize> =
            spans.iter().enumerate().map(|(place, (span, _))| (&span.span_id, place)).collect();
        let mut seen: Vec<Seen<'a>> = spans
            .iter()
            .enumerate()
            .map(|(place, (span, resource))| Seen {
                span,
                resource,
                role: read::role(&span.attributes),
                logs: Vec::new(),
                parent: span
                    .parent
                    .as_ref()
                    .and_then(|parent| places.get(parent).copied())
                    .filter(|parent| *parent != place),
            })
            .collect();
        let mut stray: Vec<(&Attributes, &Log)> = Vec::new();
        let mut met = BTreeSet::new();
        for (log, resource) in logs {
            if !met.insert(sha256(&[format!("{log:?}").as_bytes()])) {
                continue;
            }
            let place = log.span_id.as_ref().and_then(|id| places.get(id));
            match place.and_then(|place| seen.get_mut(*place)) {
                Some(seen) => seen.logs.push(log),
                None => stray.push((resource, log)),
            }
        }
        let mut trace = Self { seen, stray, agreed: Vec::new() };
        trace.agreed = EVERYWHERE.iter().map(|field| (*field, trace.agreed(*field))).collect();
        trace
    }

    /// The spans around one, from the nearest outwards.
    pub(super) fn around(&self, place: usize) -> impl Iterator<Item = usize> + '_ {
        let mut met = BTreeSet::from([place]);
        let mut next = self.seen.get(place).and_then(|seen| seen.parent);
        std::iter::from_fn(move || {
            // A circle of parents ends here.
            let here = next.filter(|place| met.insert(*place))?;
            next = self.seen.get(here).and_then(|seen| seen.parent);
            Some(here)
        })
        .take(AROUND_MAX)
    }

    /// The nearest span around one that stands for this.
    pub(super) fn inside(&self, place: usize, role: Role) -> Option<usize> {
        self.around(place).find(|outer| self.role(*outer) == Some(role))
    }

    pub(super) fn role(&self, place: usize) -> Option<Role> {
        self.seen.get(place)?.role
    }

    /// What the span, those around it, the log records, the rest of the trace and the program say, in
    /// this order. The rest of the trace counts only if it is of one mind.
    pub(super) fn said(&self, place: usize, field: Field) -> Option<String> {
        let near = std::iter::once(place).chain(self.around(place)).find_map(|place| {
            let seen = self.seen.get(place)?;
            let logged = || seen.logs.iter().find_map(|log| read::text(&log.attributes, field));
            read::text(&seen.span.attributes, field).or_else(logged)
        });
        let agreed = || {
            let known = self.agreed.iter().find(|(known, _)| *known == field);
            known.and_then(|(_, said)| said.clone())
        };
        near.or_else(agreed).or_else(|| {
            let resource = self.seen.get(place)?.resource;
            read::text(resource, field)
        })
    }

    /// What all say that say anything.
    fn agreed(&self, field: Field) -> Option<String> {
        let spans = self.seen.iter().flat_map(|seen| {
            let logs = seen.logs.iter().map(|log| &log.attributes);
            std::iter::once(&seen.span.attributes).chain(logs)
        });
        let stray = self.stray.iter().map(|(_, log)| &log.attributes);
        let mut said = spans.chain(stray).filter_map(|attributes| read::text(attributes, field));
        let first = said.next()?;
        said.all(|other| other == first).then_some(first)
    }
}

impl Seen<'_> {
    /// What the span, or a log record in it, says.
    pub(super) fn text(&self, field: Field) -> Option<String> {
        self.sources().find_map(|attributes| read::text(attributes, field))
    }

    pub(super) fn number(&self, field: Field) -> Option<u64> {
        self.sources().find_map(|attributes| read::number(attributes, field))
    }

    pub(super) fn texts(&self, field: Field) -> Vec<String> {
        let texts = self.sources().map(|attributes| read::texts(attributes, field));
        texts.into_iter().find(|texts| !texts.is_empty()).unwrap_or_default()
    }

    pub(super) fn value(&self, field: Field) -> Option<Value> {
        self.sources().find_map(|attributes| read::value(attributes, field))
    }

    /// The attributes that messages may stand in: of the span, of events on it, of log records.
    fn sources(&self) -> impl Iterator<Item = &Attributes> {
        let events = self.span.events.iter().filter(|event| event.name == DETAILS);
        let logs = self.logs.iter().filter(|log| log.event_name == DETAILS);
        std::iter::once(&self.span.attributes)
            .chain(events.map(|event| &event.attributes))
            .chain(logs.map(|log| &log.attributes))
    }

    /// Messages of a field, from the first source that sent any content, else from the first that
    /// says that there were messages.
    fn said(&self, field: Field, voice: Voice, older: Vec<Message>) -> Vec<Message> {
        let mut all: Vec<Vec<Message>> = self
            .sources()
            .flat_map(|attributes| read::values(attributes, field))
            .map(|value| messages::messages(value, voice))
            .filter(|messages| !messages.is_empty())
            .collect();
        if !older.is_empty() {
            all.push(older);
        }
        let best = all.iter().position(|messages| messages::is_captured(messages)).unwrap_or(0);
        if best < all.len() { all.swap_remove(best) } else { Vec::new() }
    }

    /// The messages that went into a model.
    pub(super) fn input(&self) -> Vec<Message> {
        let older = self.older(|name| match name {
            "gen_ai.system.message" => Some(Voice::System),
            "gen_ai.user.message" | "gen_ai.content.prompt" => Some(Voice::User),
            "gen_ai.assistant.message" => Some(Voice::Assistant),
            "gen_ai.tool.message" => Some(Voice::Tool),
            _ => None,
        });
        let mut input = self.said(Field::Input, Voice::User, older);
        if let Some(system) = self.value(Field::System) {
            let system = Message::of(Voice::System, messages::parts(&system));
            if !input.iter().any(|message| message.text() == system.text()) {
                input.insert(0, system);
            }
        }
        input
    }

    /// The messages that came out of a model.
    pub(super) fn output(&self) -> Vec<Message> {
        let older = self.older(|name| {
            matches!(name, "gen_ai.choice" | "gen_ai.content.completion")
                .then_some(Voice::Assistant)
        });
        let output = self.said(Field::Output, Voice::Assistant, older);
        if messages::is_captured(&output) || output.iter().any(|out| out.calls().next().is_some()) {
            return output;
        }
        let mut parts = Vec::new();
        if let Some(text) = self.sources().find_map(|from| read::value(from, Field::OutputText)) {
            parts.push(match text {
                Value::String(text) => Part::Text(text),
                Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_) => Part::Other(text),
            });
        }
        if let Some(Value::Array(calls)) = self.value(Field::OutputCalls) {
            let calls =
                calls.iter().filter_map(|value| messages::call(&read::opened(value.clone())));
            parts.extend(calls.map(Part::Call));
        }
        if parts.is_empty() { output } else { vec![Message::of(Voice::Assistant, parts)] }
    }

    /// Messages that stand in an event each, on the span or as log records: the names of OpenTelemetry
    /// before messages were attributes.
    fn older(&self, voice: impl Fn(&str) -> Option<Voice>) -> Vec<Message> {
        let events = self.span.events.iter().filter_map(|event| {
            voice(&event.name)
                .map(|voice| older(voice, event.attributes.clone().into_iter().collect()))
        });
        let found: Vec<Message> = events.flatten().collect();
        if !found.is_empty() {
            return found;
        }
        let logs = self.logs.iter().filter_map(|log| {
            let voice = voice(&log.event_name)?;
            let body = match &log.body {
                Value::Object(members) => members.clone(),
                Value::String(text) => {
                    Map::from_iter([("content".to_owned(), Value::from(text.as_str()))])
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Map::new(),
            };
            Some(older(voice, body))
        });
        logs.flatten().collect()
    }

    /// What the tool was given, and the call's id if it stands beside it.
    pub(super) fn arguments(&self) -> Option<Value> {
        let stated = self
            .sources()
            .flat_map(|attributes| read::values(attributes, Field::Arguments))
            .map(unwrapped_arguments)
            .next();
        stated
            .or_else(|| {
                let input = self.said(Field::Input, Voice::Tool, Vec::new());
                let call = input.iter().find_map(|message| message.calls().next())?;
                call.arguments.clone()
            })
            .or_else(|| {
                let event =
                    self.span.events.iter().find(|event| event.name == "gen_ai.tool.message")?;
                event.attributes.get("content").cloned().map(read::opened)
            })
    }

    /// What the tool gave back.
    pub(super) fn answer(&self) -> Option<Answer> {
        let stated = self.sources().flat_map(|attributes| read::values(attributes, Field::Result));
        if let Some(value) = stated.into_iter().next() {
            return Some(unwrapped_result(&value));
        }
        let output = self.said(Field::Output, Voice::Tool, Vec::new());
        if let Some(answer) = output.iter().flat_map(|message| &message.parts).find_map(as_answer) {
            return Some(answer);
        }
        let event = self.span.events.iter().find(|event| event.name == "gen_ai.choice")?;
        let result = event.attributes.get("message").cloned().map(read::opened)?;
        Some(Answer { result: Some(messages::plain(&result)), ..Answer::default() })
    }

    /// The id that the model gave the call, wherever the span holds it.
    pub(super) fn call_id(&self) -> Option<String> {
        self.text(Field::CallId)
            .or_else(|| self.answer()?.id)
            .or_else(|| {
                let arguments = read::value(&self.span.attributes, Field::Arguments)?;
                Some(arguments.get("kwargs")?.get("tool_call_id")?.as_str()?.to_owned())
            })
            .or_else(|| {
                let event =
                    self.span.events.iter().find(|event| event.name == "gen_ai.tool.message")?;
                event.attributes.get("id")?.as_str().map(str::to_owned)
            })
    }

    /// Whether it is a call to something outside the program that is neither a model nor a tool.
    pub(super) fn is_outside_call(&self) -> bool {
        let http = self.text(Field::Method).is_some() && self.text(Field::Url).is_some();
        let other = self.text(Field::Service).is_some() && self.text(Field::Operation).is_some();
        let side = matches!(self.span.kind, SpanKind::Client | SpanKind::Producer);
        self.role.is_none() && side && (http || other)
    }

    /// What went wrong, in a word.
    pub(super) fn error_type(&self) -> Option<String> {
        let exception = || {
            let event = self.span.events.iter().find(|event| event.name == "exception")?;
            event.attributes.get("exception.type")?.as_str().map(str::to_owned)
        };
        let failed = self.span.failed.then(|| "error".to_owned());
        self.text(Field::ErrorType).or_else(exception).or(failed)
    }
}

fn as_answer(part: &Part) -> Option<Answer> {
    match part {
        Part::Result(answer) => Some(answer.clone()),
        Part::Text(_) | Part::Hidden | Part::Call(_) | Part::Other(_) => None,
    }
}

/// One message of an event of its own.
fn older(voice: Voice, mut members: Map<String, Value>) -> Vec<Message> {
    if let Some(Value::String(text)) = members.get("message").cloned() {
        members.remove("message");
        members.insert("content".to_owned(), Value::String(text));
    }
    for name in ["gen_ai.prompt", "gen_ai.completion"] {
        if let Some(value) = members.remove(name) {
            return messages::messages(value, voice);
        }
    }
    let role = match voice {
        Voice::System => "system",
        Voice::Developer => "developer",
        Voice::User => "user",
        Voice::Assistant => "assistant",
        Voice::Tool => "tool",
    };
    if !members.contains_key("message") {
        members.insert("role".to_owned(), Value::from(role));
    }
    messages::messages(Value::Object(members), voice)
}

/// Arguments without what a framework wraps around them.
fn unwrapped_arguments(value: Value) -> Value {
    let Value::Object(members) = &value else { return value };
    if let (Some(inputs @ Value::Object(_)), true) =
        (members.get("inputs"), members.contains_key("input_str"))
    {
        return inputs.clone();
    }
    match (members.get("args"), members.get("kwargs"), members.len()) {
        (Some(Value::Array(args)), Some(kwargs @ Value::Object(_)), 2) if args.is_empty() => {
            kwargs.clone()
        }
        _ => value,
    }
}

/// A result without what a framework wraps around it.
fn unwrapped_result(value: &Value) -> Answer {
    let wrapped = value.as_object().filter(|members| members.contains_key("kwargs"));
    let inner = wrapped.and_then(|members| members.get("output")).unwrap_or(value);
    let is_message = inner.as_object().is_some_and(|members| {
        members.contains_key("tool_call_id")
            || members.contains_key("lc")
            || (members.contains_key("data") && members.get("type") == Some(&Value::from("tool")))
    });
    if is_message {
        let message = messages::messages(inner.clone(), Voice::Tool);
        if let Some(answer) = message.iter().flat_map(|message| &message.parts).find_map(as_answer)
        {
            return answer;
        }
    }
    Answer { result: Some(messages::plain(inner)), ..Answer::default() }
}
