//! What the log has of the sessions that telemetry belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::item::{SpanId, TraceId};
use super::messages::{Call, Message, Voice};
use crate::canon;
use crate::canon::digest::sha256;
use crate::record::data::PromptRole;
use crate::record::{Data, Draft, RecordId, Rel};

/// What is known of sessions: a fold over their records, in the order of the log. It decides which
/// messages of a repeated history are new, and which record a tool call already has.
#[derive(Clone, Debug, Default)]
pub struct Known {
    sessions: BTreeMap<String, Conversation>,
}

impl Known {
    /// Whether the session's records were noted.
    pub fn has(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    /// Begins a session of which the log has nothing yet, or whose records are noted next.
    pub fn begin(&mut self, session: &str) {
        self.conversation(session);
    }

    /// Notes a record of the log, with its id and with its content unless that was erased.
    pub fn note(&mut self, record: &Draft) {
        if let Some(session) = &record.session {
            self.conversation(&session.id.to_string()).note(record);
        }
    }

    /// Forgets a session, to be noted again when it is needed.
    pub fn forget(&mut self, session: &str) {
        self.sessions.remove(session);
    }

    pub(super) fn conversation(&mut self, session: &str) -> &mut Conversation {
        self.sessions.entry(session.to_owned()).or_default()
    }
}

/// What was said and done in one session. It holds digests of words, and only in memory: enough to
/// recognise them when they are repeated.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    ids: BTreeSet<String>,
    pub(super) prompts: Vec<Said>,
    pub(super) outputs: Vec<Said>,
    pub(super) calls: Vec<Invoked>,
    by_id: BTreeMap<String, usize>,
    by_span: BTreeMap<(TraceId, SpanId), usize>,
    /// What an answer that comes next would answer: the latest prompt or result.
    pub(super) latest: Option<RecordId>,
    /// The results since the latest prompt.
    pub(super) results: Vec<RecordId>,
}

/// Words, recognisable.
pub(super) type Words = [u8; 32];

/// A prompt or an output.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) id: RecordId,
    /// What it says, if the words are known.
    pub(super) words: Option<Words>,
    /// Whether it is what the operator says, and not the user.
    pub(super) system: bool,
    pub(super) trace: Option<TraceId>,
    /// Of an output, the places of the calls that it asked for.
    pub(super) calls: Vec<usize>,
}

/// A tool invocation.
#[derive(Clone, Debug)]
pub(super) struct Invoked {
    pub(super) id: RecordId,
    pub(super) call_id: Option<String>,
    pub(super) tool: String,
    pub(super) arguments: Option<Words>,
    pub(super) span: Option<(TraceId, SpanId)>,
    /// What it gave back.
    pub(super) result: Option<RecordId>,
}

/// What words are recognised by.
pub(super) fn words(text: &str) -> Words {
    sha256(&[text.trim().as_bytes()])
}

/// What arguments are recognised by.
pub(super) fn arguments(value: &Value) -> Option<Words> {
    canon::to_bytes(value).ok().map(|bytes| sha256(&[&bytes]))
}

impl Conversation {
    pub(super) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of most kinds nothing is recognised")]
    pub(super) fn note(&mut self, record: &Draft) {
        let Some(id) = record.id.clone() else { return };
        if !self.ids.insert(id.to_string()) {
            return;
        }
        let trace = record.trace.as_ref().map(|trace| trace.trace_id.clone());
        let text = || {
            let text = record.content.get("text")?.as_value().as_str()?;
            Some(words(text))
        };
        let cause =
            |rel| record.causes.iter().find(|cause| cause.rel == rel).map(|cause| cause.id.clone());
        match &record.data {
            Data::Prompt(prompt) => {
                let system = prompt.role != PromptRole::User;
                if !system {
                    self.latest = Some(id.clone());
                    self.results.clear();
                }
                self.prompts.push(Said { id, words: text(), system, trace, calls: Vec::new() });
            }
            Data::ModelOutput(_) => {
                self.outputs.push(Said {
                    id,
                    words: text(),
                    system: false,
                    trace,
                    calls: Vec::new(),
                });
            }
            Data::ToolInvocation(invocation) => {
                let output = cause(Rel::TriggeredBy);
                let said =
                    self.outputs.iter_mut().rev().find(|said| Some(&said.id) == output.as_ref());
                if let Some(said) = said {
                    said.calls.push(self.calls.len());
                }
                self.by_id.insert(id.to_string(), self.calls.len());
                if let Some(trace) = &record.trace {
                    let span = (trace.trace_id.clone(), trace.span_id.clone());
                    self.by_span.insert(span, self.calls.len());
                }
                self.calls.push(Invoked {
                    id,
                    call_id: invocation.call_id.as_ref().map(ToString::to_string),
                    tool: invocation.tool.to_string(),
                    arguments: record
                        .content
                        .get("arguments")
                        .and_then(|of| arguments(of.as_value())),
                    span: record
                        .trace
                        .as_ref()
                        .map(|trace| (trace.trace_id.clone(), trace.span_id.clone())),
                    result: None,
                });
            }
            Data::ToolResult(_) => {
                let completed = cause(Rel::Completes);
                self.latest = Some(id.clone());
                self.results.push(id.clone());
                let place = completed.and_then(|id| self.by_id.get(id.as_str()));
                if let Some(call) = place.and_then(|place| self.calls.get_mut(*place)) {
                    call.result.get_or_insert(id);
                }
            }
            _ => {}
        }
    }

    /// Notes in which span a tool ran.
    pub(super) fn ran(&mut self, invocation: &RecordId, span: (TraceId, SpanId)) {
        if let Some(place) = self.by_id.get(invocation.as_str()).copied() {
            if let Some(call) = self.calls.get_mut(place) {
                call.span = Some(span.clone());
            }
            self.by_span.insert(span, place);
        }
    }

    /// The call with this record.
    pub(super) fn call(&self, invocation: &RecordId) -> Option<&Invoked> {
        self.calls.get(*self.by_id.get(invocation.as_str())?)
    }

    /// The call that ran in a span.
    pub(super) fn ran_in(&self, span: &(TraceId, SpanId)) -> Option<&Invoked> {
        self.calls.get(*self.by_span.get(span)?)
    }

    /// The calls that an output asked for.
    pub(super) fn calls_of(&self, output: &RecordId) -> Vec<usize> {
        let said = self.outputs.iter().rev().find(|said| said.id == *output);
        said.map(|said| said.calls.clone()).unwrap_or_default()
    }

    /// For each message of a history, the output that it repeats, of those before one that may be told
    /// already. Both are compared from their ends, and keep their order: ids of calls are used again,
    /// words are said again, and histories are cut at their beginning.
    pub(super) fn repeated(&self, history: &[Message], own: &str) -> Vec<Option<RecordId>> {
        let told = self.outputs.iter().rposition(|said| *said.id == *own);
        let mut before = told.unwrap_or(self.outputs.len());
        let mut found = vec![None; history.len()];
        for (index, message) in history.iter().enumerate().rev() {
            if message.role != Voice::Assistant {
                continue;
            }
            let Some(place) = self.repeats(message, before) else { continue };
            // Some write one output down as several messages, one after the other.
            let goes_on = index.checked_sub(1).and_then(|index| history.get(index));
            let goes_on = goes_on.is_some_and(|message| message.role == Voice::Assistant);
            before = place + usize::from(goes_on);
            if let (Some(found), Some(said)) = (found.get_mut(index), self.outputs.get(place)) {
                *found = Some(said.id.clone());
            }
        }
        found
    }

    /// The latest output before a place that a message repeats: by its calls and their ids, by its words,
    /// by ids alone, by calls alone.
    fn repeats(&self, message: &Message, before: usize) -> Option<usize> {
        let outputs = self.outputs.get(..before)?;
        let words = message.text().map(|text| words(&text));
        let calls: Vec<_> = message
            .calls()
            .map(|call| (call, call.arguments.as_ref().and_then(arguments)))
            .collect();
        let asked = |said: &Said, same: &dyn Fn(&Invoked, &Call, Option<Words>) -> bool| {
            let known = || said.calls.iter().filter_map(|place| self.calls.get(*place));
            calls.iter().any(|(call, given)| known().any(|known| same(known, call, *given)))
        };
        let id = |known: &Invoked, call: &Call| call.id.is_some() && known.call_id == call.id;
        let given = |known: &Invoked, call: &Call, given: Option<Words>| {
            known.tool == call.name && known.arguments == given
        };
        let exact = outputs.iter().rposition(|said| {
            asked(said, &|known, call, words| id(known, call) && given(known, call, words))
        });
        exact
            .or_else(|| outputs.iter().rposition(|said| words.is_some() && said.words == words))
            .or_else(|| {
                outputs.iter().rposition(|said| asked(said, &|known, call, _| id(known, call)))
            })
            .or_else(|| outputs.iter().rposition(|said| asked(said, &given)))
    }
}
