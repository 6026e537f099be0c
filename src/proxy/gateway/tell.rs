//! What is told of an exchange with a model's API.

use serde_json::{Value, json};

use super::exchange::{Api, Exchange};
use super::parts::{Answered, Asked};
use super::{chat, messages, responses};
use crate::capture::otlp::{Attributes, Span, SpanKind};
use crate::proxy::machine::Ids;
use crate::proxy::sse::{Sink, Sse};

/// Events of one answer that are put together.
const EVENTS_MAX: usize = 200_000;
/// Bytes of a kind of error.
const ERROR_BYTES_MAX: usize = 64;

/// The span of an exchange.
pub(super) fn span(exchange: &Exchange, ids: &Ids, host: &str) -> Span {
    let asked = exchange.request.read().map(|body| asked(exchange.api, &body));
    let answered = exchange.response.read_answer(exchange.streamed, exchange.api);
    // What is told of a body that was not kept is that it was not.
    let missing = [asked.is_none(), answered.is_none()].into_iter().map(u32::from).sum();
    let (asked, answered) = (asked.unwrap_or_default(), answered.unwrap_or_default());
    let (trace_id, parent) = match exchange.around.clone() {
        Some((trace_id, parent)) => (trace_id, Some(parent)),
        None => (ids.trace(), None),
    };
    let mut attributes = exchange.who.attributes();
    let mut set = |name: &str, value: Value| drop(attributes.insert(name.to_owned(), value));
    set("gen_ai.operation.name", json!("chat"));
    set("gen_ai.provider.name", json!(exchange.api.provider()));
    set("server.address", json!(host));
    if let Some(status) = exchange.status {
        set("http.response.status_code", json!(status));
    }
    let error = error(exchange, &answered);
    if let Some(error) = &error {
        set("error.type", json!(error));
    }
    set_asked(&mut attributes, &asked);
    set_answered(&mut attributes, &answered);
    Span {
        trace_id,
        span_id: ids.span(),
        parent,
        name: format!("chat {}", asked.model.as_deref().unwrap_or("")).trim_end().to_owned(),
        kind: SpanKind::Client,
        start_ns: exchange.start_ns,
        end_ns: exchange.end_ns,
        attributes,
        events: Vec::new(),
        failed: error.is_some(),
        status_message: String::new(),
        dropped: missing,
    }
}

/// The kind of error with which an exchange ended. Messages of errors are not told: some repeat the key.
fn error(exchange: &Exchange, answered: &Answered) -> Option<String> {
    match exchange.status {
        None => Some("cancelled".to_owned()),
        Some(status) if !(200..300).contains(&status) => Some(status.to_string()),
        Some(_) if answered.error.is_some() => answered.error.clone(),
        Some(_) if !exchange.complete => Some("incomplete".to_owned()),
        Some(_) => None,
    }
}

fn set_asked(attributes: &mut Attributes, asked: &Asked) {
    let mut set = |name: &str, value: Value| drop(attributes.insert(name.to_owned(), value));
    if let Some(model) = &asked.model {
        set("gen_ai.request.model", json!(model));
    }
    for (name, list) in [
        ("gen_ai.system_instructions", &asked.instructions),
        ("gen_ai.input.messages", &asked.messages),
        ("gen_ai.tool.definitions", &asked.tools),
    ] {
        if !list.is_empty() {
            set(name, json!(Value::from(list.clone()).to_string()));
        }
    }
}

fn set_answered(attributes: &mut Attributes, answered: &Answered) {
    let mut set = |name: &str, value: Value| drop(attributes.insert(name.to_owned(), value));
    if !answered.messages.is_empty() {
        let messages = Value::from(answered.messages.clone()).to_string();
        set("gen_ai.output.messages", json!(messages));
    }
    if !answered.finish_reasons.is_empty() {
        set("gen_ai.response.finish_reasons", json!(answered.finish_reasons));
    }
    for (name, text) in
        [("gen_ai.response.id", &answered.id), ("gen_ai.response.model", &answered.model)]
    {
        if let Some(text) = text {
            set(name, json!(text));
        }
    }
    for (name, number) in [
        ("gen_ai.usage.input_tokens", answered.input_tokens),
        ("gen_ai.usage.output_tokens", answered.output_tokens),
    ] {
        if let Some(number) = number {
            set(name, json!(number));
        }
    }
}

fn asked(api: Api, body: &Value) -> Asked {
    match api {
        Api::Chat => chat::asked(body),
        Api::Responses => responses::asked(body),
        Api::Messages => messages::asked(body),
    }
}

/// What an answer says. `text` is its body, or its event stream.
pub(super) fn answered(api: Api, streamed: bool, text: &[u8]) -> Option<Answered> {
    let body = if streamed {
        let events = events(text);
        match api {
            Api::Chat => chat::put_together(&events),
            Api::Responses => responses::put_together(&events),
            Api::Messages => messages::put_together(&events),
        }
    } else {
        serde_json::from_slice(text).ok()?
    };
    Some(match api {
        Api::Chat => chat::answered(&body),
        Api::Responses => responses::answered(&body),
        Api::Messages => messages::answered(&body),
    })
}

#[derive(Default)]
struct Events {
    data: Vec<u8>,
    read: Vec<Value>,
}

impl Sink for Events {
    fn data(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
    }

    fn dispatch(&mut self) {
        let data = std::mem::take(&mut self.data);
        if self.read.len() < EVENTS_MAX {
            // `[DONE]` is no event, and what cannot be read says nothing.
            self.read.extend(serde_json::from_slice::<Value>(&data));
        }
    }
}

fn events(text: &[u8]) -> Vec<Value> {
    let (mut sse, mut events) = (Sse::default(), Events::default());
    sse.feed(text, &mut events);
    events.read
}

/// The kind of an error, if that is a word; anything longer may repeat what was sent.
pub(super) fn error_kind(error: &Value) -> String {
    let word = |name: &str| {
        let text = error.get(name)?.as_str()?;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c == '-';
        (text.len() <= ERROR_BYTES_MAX && !text.is_empty() && text.chars().all(plain))
            .then_some(text)
    };
    word("code").or_else(|| word("type")).unwrap_or("error").to_owned()
}
