//! What is told of one request and its answer.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::message::{Message, member, value};
use super::sampling;
use crate::capture::otlp::{Attributes, Span, SpanEvent, SpanKind};

/// Events of one span that are kept.
const EVENTS_MAX: usize = 32;
/// Bytes of an id that is told.
const ID_BYTES_MAX: usize = 256;
/// Bytes of a status message.
const MESSAGE_BYTES_MAX: usize = 500;

/// The requests that are told. The others pass and leave no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Initialize,
    ListTools,
    CallTool,
    ReadResource,
    GetPrompt,
    Elicit,
    Sample,
}

impl Kind {
    pub(super) fn of(method: &str) -> Option<Self> {
        Some(match method {
            "initialize" | "server/discover" => Self::Initialize,
            "tools/list" => Self::ListTools,
            "tools/call" => Self::CallTool,
            "resources/read" => Self::ReadResource,
            "prompts/get" => Self::GetPrompt,
            "elicitation/create" => Self::Elicit,
            "sampling/createMessage" => Self::Sample,
            _ => return None,
        })
    }

    /// Which side of the call the client is on: it answers what the server asks.
    pub(super) const fn span_kind(self) -> SpanKind {
        match self {
            Self::Elicit | Self::Sample => SpanKind::Server,
            Self::Initialize
            | Self::ListTools
            | Self::CallTool
            | Self::ReadResource
            | Self::GetPrompt => SpanKind::Client,
        }
    }
}

/// Notes what the request says. `whole` tells whether the message was kept as a whole.
pub(super) fn begin(span: &mut Span, kind: Kind, request: &Message<'_>, whole: bool) {
    let method = request.method.as_deref().unwrap_or("");
    let params = request.params();
    let text = |name: &str| params.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    span.kind = kind.span_kind();
    method.clone_into(&mut span.name);
    set(span, "mcp.method.name", json!(method));
    if let Some(id) = request.id().filter(|id| id.len() <= ID_BYTES_MAX) {
        set(span, "jsonrpc.request.id", json!(id.trim_matches('"')));
    }
    match kind {
        Kind::CallTool => {
            span.name = format!("tools/call {}", text("name"));
            set(span, "gen_ai.operation.name", json!("execute_tool"));
            set(span, "gen_ai.tool.name", json!(text("name")));
            let arguments = member(request.params, "arguments").map_or("{}", RawValue::get);
            content(span, "gen_ai.tool.call.arguments", arguments, whole);
        }
        Kind::ReadResource => set(span, "mcp.resource.uri", json!(text("uri"))),
        Kind::GetPrompt => set(span, "gen_ai.prompt.name", json!(text("name"))),
        Kind::Elicit => written(span, "whence.mcp.request", request.params, whole),
        Kind::Sample => {
            set(span, "gen_ai.operation.name", json!("chat"));
            if whole {
                span.attributes.extend(sampling::request(&params));
            } else {
                span.dropped += 1;
            }
        }
        Kind::Initialize => {
            let client = params.get("clientInfo").cloned().unwrap_or_default();
            let told = |name: &str| client.get(name).and_then(Value::as_str).map(str::to_owned);
            for (attribute, name) in
                [("whence.mcp.client", "name"), ("whence.mcp.client.version", "version")]
            {
                if let Some(value) = told(name) {
                    set(span, attribute, json!(value));
                }
            }
        }
        Kind::ListTools => {}
    }
}

/// Notes what the answer says.
pub(super) fn finish(span: &mut Span, kind: Kind, answer: &Message<'_>, whole: bool) {
    if let Some(error) = answer.error {
        fail(span, kind, error);
        return;
    }
    let result = answer.result;
    match kind {
        Kind::CallTool => {
            written(span, "gen_ai.tool.call.result", result, whole);
            if value(result).get("isError") == Some(&Value::Bool(true)) {
                set(span, "error.type", json!("tool_error"));
                span.failed = true;
            }
        }
        Kind::ReadResource | Kind::GetPrompt | Kind::Elicit => {
            written(span, "whence.mcp.response", result, whole);
        }
        Kind::Sample if whole => span.attributes.extend(sampling::answer(&value(result))),
        Kind::Sample => span.dropped += 1,
        // What they say is noted where it is known of the whole server.
        Kind::Initialize | Kind::ListTools => {}
    }
}

fn fail(span: &mut Span, kind: Kind, error: &RawValue) {
    let parsed = value(Some(error));
    let code = parsed.get("code").map(Value::to_string).unwrap_or_default();
    let code = if code.is_empty() { "error".to_owned() } else { code };
    set(span, "error.type", json!(code));
    set(span, "rpc.response.status_code", json!(code));
    let message = parsed.get("message").and_then(Value::as_str).unwrap_or("");
    let end = message.floor_char_boundary(MESSAGE_BYTES_MAX);
    message.get(..end).unwrap_or("").clone_into(&mut span.status_message);
    span.failed = true;
    match kind {
        Kind::CallTool => content(span, "gen_ai.tool.call.result", error.get(), true),
        Kind::Elicit | Kind::ReadResource | Kind::GetPrompt => {
            content(span, "whence.mcp.response", error.get(), true);
        }
        Kind::Sample | Kind::Initialize | Kind::ListTools => {}
    }
}

/// Notes that no answer came, and why.
pub(super) fn unanswered(span: &mut Span, why: &str) {
    set(span, "error.type", json!(why));
    span.failed = true;
}

/// Notes that something happened on the way.
pub(super) fn event(span: &mut Span, name: &str, time_ns: u64, attributes: Attributes) {
    if span.events.len() < EVENTS_MAX {
        span.events.push(SpanEvent { name: name.to_owned(), time_ns, attributes });
    } else {
        span.dropped = span.dropped.saturating_add(1);
    }
}

pub(super) fn set(span: &mut Span, name: &str, value: Value) {
    span.attributes.insert(name.to_owned(), value);
}

/// Notes a part of a message as it is written, so that not a digit of it changes.
fn written(span: &mut Span, name: &str, part: Option<&RawValue>, whole: bool) {
    content(span, name, part.map_or("null", RawValue::get), whole);
}

/// Notes content, or that it was not kept.
fn content(span: &mut Span, name: &str, text: &str, whole: bool) {
    if whole {
        set(span, name, json!(text));
    } else {
        span.dropped = span.dropped.saturating_add(1);
    }
}
