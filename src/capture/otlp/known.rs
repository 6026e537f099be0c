//! What the log has of the sessions that telemetry belongs to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::draft;
use super::item::{SpanId, TraceId};
use crate::canon;
use crate::canon::digest::sha256;
use crate::record::data::{PromptRole, ToolInvocation};
use crate::record::{Captured, Data, Draft, RecordId, Rel};

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
    /// Every record, and the producer that it stands under.
    ids: BTreeMap<String, Option<String>>,
    pub(super) prompts: Vec<Said>,
    pub(super) outputs: Vec<Said>,
    pub(super) calls: Vec<Invoked>,
    /// The prompts that say the same, of all traces and of each.
    pub(super) same_prompts: BTreeMap<(SameWords, Option<TraceId>), BTreeSet<usize>>,
    /// The outputs that a message may be recognised by one thing to repeat.
    pub(super) marks: BTreeMap<Mark, BTreeSet<usize>>,
    by_output: BTreeMap<String, usize>,
    by_id: BTreeMap<String, usize>,
    /// The latest call with an id.
    by_call_id: BTreeMap<String, usize>,
    by_span: BTreeMap<(TraceId, SpanId), usize>,
    /// What an answer that comes next would answer: the latest prompt or result.
    pub(super) latest: Option<RecordId>,
    /// The results since the latest prompt.
    pub(super) results: Vec<RecordId>,
}

/// Words, recognisable.
pub(super) type Words = [u8; 32];

/// What a prompt says, if the words are known, and whether the operator says it.
pub(super) type SameWords = (Option<Words>, bool);

/// Something that an output is recognised by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// A call with its id, its tool and its arguments.
    Call(String, String, Option<Words>),
    Words(Words),
    /// The id of a call.
    CallId(String),
    /// A tool and its arguments.
    Given(String, Option<Words>),
}

/// A prompt or an output.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) id: RecordId,
    /// Its place among all records of the session.
    pub(super) order: usize,
    /// Whether it had words that nobody knows any more: they were erased, or are redacted.
    pub(super) gone: bool,
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
    pub(super) span: Option<(TraceId, SpanId)>,
    /// What it gave back.
    pub(super) result: Option<RecordId>,
}

/// What words are recognised by: by as much of them as a record keeps.
pub(super) fn words(text: &str) -> Words {
    sha256(&[draft::kept(text).trim().as_bytes()])
}

/// What arguments are recognised by.
pub(super) fn arguments(value: &Value) -> Option<Words> {
    canon::to_bytes(value).ok().map(|bytes| sha256(&[&bytes]))
}

impl Conversation {
    /// Whether a producer's record is there. One that somebody else wrote under the id is not it: the
    /// ledger says so.
    pub(super) fn has(&self, id: &str, producer: &str) -> bool {
        self.ids.get(id).is_some_and(|of| of.as_deref() == Some(producer))
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "of most kinds nothing is recognised")]
    pub(super) fn note(&mut self, record: &Draft) {
        let Some(id) = record.id.clone() else { return };
        if self.ids.contains_key(id.as_str()) {
            return;
        }
        let order = self.ids.len();
        let producer = record.source.as_ref().map(|source| source.producer.to_string());
        self.ids.insert(id.to_string(), producer);
        let trace = record.trace.as_ref().map(|trace| trace.trace_id.clone());
        let cause =
            |rel| record.causes.iter().find(|cause| cause.rel == rel).map(|cause| cause.id.clone());
        match &record.data {
            Data::Prompt(prompt) => {
                let system = prompt.role != PromptRole::User;
                if !system {
                    self.latest = Some(id.clone());
                    self.results.clear();
                }
                let (words, gone) = recognisable(record);
                for trace in [None, trace.clone()] {
                    let same = self.same_prompts.entry(((words, system), trace)).or_default();
                    same.insert(self.prompts.len());
                }
                self.prompts.push(Said { id, order, gone, system, trace, calls: Vec::new() });
            }
            Data::ModelOutput(_) => {
                let (words, gone) = recognisable(record);
                if let Some(words) = words {
                    self.mark(Mark::Words(words), self.outputs.len());
                }
                self.by_output.insert(id.to_string(), self.outputs.len());
                let system = false;
                self.outputs.push(Said { id, order, gone, system, trace, calls: Vec::new() });
            }
            Data::ToolInvocation(invocation) => {
                let output = cause(Rel::TriggeredBy);
                self.note_call(record, invocation, id, output.as_ref());
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

    fn note_call(
        &mut self,
        record: &Draft,
        invocation: &ToolInvocation,
        id: RecordId,
        output: Option<&RecordId>,
    ) {
        let call_id = invocation.call_id.as_ref().map(ToString::to_string);
        let tool = invocation.tool.to_string();
        let given = record.content.get("arguments");
        let arguments = given.and_then(|given| arguments(given.as_value()));
        let output = output.and_then(|output| self.by_output.get(output.as_str()).copied());
        if let Some((place, said)) =
            output.and_then(|place| Some((place, self.outputs.get_mut(place)?)))
        {
            said.calls.push(self.calls.len());
            if let Some(call_id) = call_id.clone() {
                self.mark(Mark::Call(call_id.clone(), tool.clone(), arguments), place);
                self.mark(Mark::CallId(call_id), place);
            }
            self.mark(Mark::Given(tool.clone(), arguments), place);
        }
        self.by_id.insert(id.to_string(), self.calls.len());
        if let Some(call_id) = call_id.clone() {
            self.by_call_id.insert(call_id, self.calls.len());
        }
        let span = record.trace.as_ref();
        let span = span.map(|trace| (trace.trace_id.clone(), trace.span_id.clone()));
        if let Some(span) = span.clone() {
            self.by_span.insert(span, self.calls.len());
        }
        self.calls.push(Invoked { id, call_id, tool, span, result: None });
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

    /// The latest call with an id.
    pub(super) fn latest_call(&self, call_id: &str) -> Option<usize> {
        self.by_call_id.get(call_id).copied()
    }

    /// The calls that an output asked for.
    pub(super) fn calls_of(&self, output: &RecordId) -> Vec<usize> {
        let said = self.place_of(output.as_str()).and_then(|place| self.outputs.get(place));
        said.map(|said| said.calls.clone()).unwrap_or_default()
    }

    /// The place of an output among the outputs.
    pub(super) fn place_of(&self, output: &str) -> Option<usize> {
        self.by_output.get(output).copied()
    }

    fn mark(&mut self, mark: Mark, output: usize) {
        self.marks.entry(mark).or_default().insert(output);
    }
}

/// The marker that stands in place of a secret.
const REDACTED: &str = "[redacted:";

/// What a prompt or an output says, and whether that is not known any more although it was.
fn recognisable(record: &Draft) -> (Option<Words>, bool) {
    let text = record.content.get("text").and_then(|text| text.as_value().as_str());
    if let Some(text) = text {
        let redacted = text.contains(REDACTED);
        return ((!redacted).then(|| words(text)), redacted);
    }
    let captured = record.source.as_ref().and_then(|source| source.captured);
    (None, record.content.is_empty() && captured != Some(Captured::Absent))
}
