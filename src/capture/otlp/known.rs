//! What the log has of the sessions that telemetry belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::item::{SpanId, TraceId};
use super::messages::Call;
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
}

/// A tool invocation.
#[derive(Clone, Debug)]
pub(super) struct Invoked {
    pub(super) id: RecordId,
    pub(super) call_id: Option<String>,
    pub(super) tool: String,
    pub(super) arguments: Option<Words>,
    /// The output that asked for it.
    pub(super) output: Option<RecordId>,
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
                self.prompts.push(Said { id, words: text(), system, trace });
            }
            Data::ModelOutput(_) => {
                self.outputs.push(Said { id, words: text(), system: false, trace });
            }
            Data::ToolInvocation(invocation) => self.calls.push(Invoked {
                id,
                call_id: invocation.call_id.as_ref().map(ToString::to_string),
                tool: invocation.tool.to_string(),
                arguments: record.content.get("arguments").and_then(|of| arguments(of.as_value())),
                output: cause(Rel::TriggeredBy),
                span: record
                    .trace
                    .as_ref()
                    .map(|trace| (trace.trace_id.clone(), trace.span_id.clone())),
                result: None,
            }),
            Data::ToolResult(_) => {
                let completed = cause(Rel::Completes);
                let call =
                    self.calls.iter_mut().rev().find(|call| Some(&call.id) == completed.as_ref());
                if let Some(call) = call {
                    call.result.get_or_insert(id);
                }
            }
            _ => {}
        }
    }

    /// Notes in which span a tool ran.
    pub(super) fn ran(&mut self, invocation: &RecordId, span: (TraceId, SpanId)) {
        if let Some(call) = self.calls.iter_mut().rev().find(|call| call.id == *invocation) {
            call.span = Some(span);
        }
    }

    /// The calls that an output asked for.
    pub(super) fn calls_of<'a>(&'a self, output: &'a RecordId) -> impl Iterator<Item = usize> + 'a {
        let asked = move |(_, call): &(usize, &Invoked)| call.output.as_ref() == Some(output);
        self.calls.iter().enumerate().filter(asked).map(|(place, _)| place)
    }

    /// The output that a message of a history repeats: by the ids of its calls, by its words, by the
    /// calls themselves.
    pub(super) fn repeated(&self, text: Option<&str>, calls: &[&Call]) -> Option<RecordId> {
        let by_id = calls.iter().filter_map(|call| call.id.as_deref()).find_map(|id| {
            let asked =
                self.calls.iter().rev().find(|known| known.call_id.as_deref() == Some(id))?;
            asked.output.clone()
        });
        let by_words = || {
            let words = words(text?);
            self.outputs
                .iter()
                .rev()
                .find(|said| said.words == Some(words))
                .map(|said| said.id.clone())
        };
        let by_call = || {
            calls.iter().find_map(|call| {
                let given = call.arguments.as_ref().and_then(arguments);
                let same = |known: &&Invoked| known.tool == call.name && known.arguments == given;
                self.calls.iter().rev().find(same)?.output.clone()
            })
        };
        by_id.or_else(by_words).or_else(by_call)
    }
}
