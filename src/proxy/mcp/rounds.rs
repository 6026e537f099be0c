//! Calls that need several requests: the server answers with questions, and the client asks again with the
//! answers to them (MCP 2026-07-28).

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::dialogue::Call;
use super::message::{member, value};

/// Calls that wait for their next request.
const PARKED_MAX: usize = 256;
/// Questions of one answer that are told.
const QUESTIONS_MAX: usize = 64;
/// How long a client may take.
const PATIENCE_NS: u64 = 3_600_000_000_000;

/// Calls that were answered with questions.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    parked: BTreeMap<String, Parked>,
}

/// A call that was answered with questions.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) call: Call,
    /// The questions, as they are written, by the names under which they are answered.
    questions: BTreeMap<String, Box<RawValue>>,
    pub(super) asked_ns: u64,
}

/// A question and the answer to it, as they are written.
pub(super) type Answered = (Box<RawValue>, Box<RawValue>);

/// Whether a result is not one, but questions.
pub(super) fn is_incomplete(result: Option<&RawValue>) -> bool {
    value(member(result, "resultType")).as_str() == Some("input_required")
}

impl Rounds {
    /// Keeps a call until the client asks again. Gives one that has waited too long for that.
    pub(super) fn park(
        &mut self,
        call: Call,
        result: Option<&RawValue>,
        asked_ns: u64,
    ) -> Option<Parked> {
        let state = member(result, "requestState").map(RawValue::get);
        let key = state.map_or_else(|| call.repeated.clone(), str::to_owned);
        let questions = member(result, "inputRequests").map_or("{}", RawValue::get);
        let questions: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(questions).unwrap_or_default();
        let questions = questions.into_iter().take(QUESTIONS_MAX).collect();
        let again = self.parked.insert(key, Parked { call, questions, asked_ns });
        again.or_else(|| {
            let full = self.parked.len() > PARKED_MAX;
            let oldest = self.parked.iter().min_by_key(|(_, parked)| parked.asked_ns);
            let key = oldest.map(|(key, _)| key.clone()).filter(|_| full)?;
            self.parked.remove(&key)
        })
    }

    /// The call that a request goes on with, if it does, and what was answered to which question.
    pub(super) fn resume(
        &mut self,
        params: Option<&RawValue>,
        repeated: &str,
    ) -> Option<(Parked, Vec<Answered>)> {
        let state = member(params, "requestState").map(RawValue::get);
        let responses = member(params, "inputResponses");
        if state.is_none() && responses.is_none() {
            return None;
        }
        let mut parked = self.parked.remove(state.unwrap_or(repeated))?;
        let responses: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(responses.map_or("{}", RawValue::get)).unwrap_or_default();
        let answered = responses
            .into_iter()
            .filter_map(|(name, response)| Some((parked.questions.remove(&name)?, response)));
        let answered = answered.collect();
        Some((parked, answered))
    }

    /// Those that nobody went on with in time; all, if nothing follows.
    pub(super) fn give_up(&mut self, at_ns: u64, last: bool) -> Vec<Parked> {
        let is_due = |parked: &Parked| last || parked.asked_ns.saturating_add(PATIENCE_NS) <= at_ns;
        self.parked.extract_if(.., |_, parked| is_due(parked)).map(|(_, parked)| parked).collect()
    }
}

/// A question and its answer, written as a request and its response.
pub(super) fn as_messages(question: &RawValue, response: &RawValue) -> Option<(String, String)> {
    let method = value(member(Some(question), "method"));
    let params = member(Some(question), "params").map_or("{}", RawValue::get);
    let method = Value::String(method.as_str()?.to_owned());
    let request = format!("{{\"id\":0,\"method\":{method},\"params\":{params}}}");
    Some((request, format!("{{\"id\":0,\"result\":{}}}", response.get())))
}
