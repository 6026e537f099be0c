//! The chat completions API (`/v1/chat/completions`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::{
    Answered, Asked, blob, hosted, list, member, message, other, reasoning, text, tool, tool_call,
    tool_response, uri,
};

/// Choices, and tool calls of one, that are put together from a stream.
const PIECES_MAX: u64 = 1_024;

pub(super) fn asked(body: &Value) -> Asked {
    let tools = list(body, "tools").iter().map(|given| match given.get("function") {
        Some(function) => tool(
            member(function, "name").unwrap_or(""),
            function.get("description"),
            function.get("parameters"),
        ),
        None => hosted(given),
    });
    Asked {
        model: member(body, "model").map(str::to_owned),
        instructions: Vec::new(),
        messages: list(body, "messages").iter().map(input).collect(),
        tools: tools.collect(),
    }
}

fn input(given: &Value) -> Value {
    let role = match member(given, "role") {
        Some("developer") => "system",
        Some("function") => "tool",
        role => role.unwrap_or("user"),
    };
    if role == "tool" {
        let response = given.get("content").cloned().unwrap_or_default();
        let id = member(given, "tool_call_id");
        return message(role, vec![tool_response(id, &response)], None);
    }
    message(role, parts(given), None)
}

/// The parts of a message, of either side.
fn parts(given: &Value) -> Vec<Value> {
    let mut parts = Vec::new();
    for name in ["reasoning_content", "reasoning"] {
        parts.extend(member(given, name).filter(|text| !text.is_empty()).map(reasoning));
    }
    match given.get("content") {
        Some(Value::String(content)) if !content.is_empty() => parts.push(text(content)),
        Some(Value::Array(content)) => parts.extend(content.iter().map(part)),
        _ => {}
    }
    parts.extend(member(given, "refusal").filter(|text| !text.is_empty()).map(text));
    for call in list(given, "tool_calls") {
        let function = call.get("function").or_else(|| call.get("custom")).unwrap_or(call);
        let arguments = function.get("arguments").or_else(|| function.get("input"));
        let arguments = arguments.cloned().unwrap_or_default();
        let name = member(function, "name").unwrap_or("");
        parts.push(tool_call(member(call, "id"), name, &arguments));
    }
    // The form before there were several calls.
    if let Some(call) = given.get("function_call").filter(|call| call.is_object()) {
        let arguments = call.get("arguments").cloned().unwrap_or_default();
        parts.push(tool_call(None, member(call, "name").unwrap_or(""), &arguments));
    }
    parts
}

fn part(part: &Value) -> Value {
    let of = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
    match member(part, "type") {
        Some("text") => text(of("/text").unwrap_or("")),
        Some("refusal") => text(of("/refusal").unwrap_or("")),
        Some("image_url") => uri("image", of("/image_url/url").unwrap_or("")),
        Some("input_audio") => {
            blob("audio", of("/input_audio/format"), of("/input_audio/data").unwrap_or(""))
        }
        _ => other(part),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let choices = list(body, "choices");
    let reason = |choice: &Value| member(choice, "finish_reason").map(str::to_owned);
    let messages = choices.iter().map(|choice| {
        let said = choice.get("message").cloned().unwrap_or_default();
        let role = member(&said, "role").unwrap_or("assistant");
        message(role, parts(&said), reason(choice).as_deref())
    });
    let tokens = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    Answered {
        id: member(body, "id").map(str::to_owned),
        model: member(body, "model").map(str::to_owned),
        messages: messages.collect(),
        finish_reasons: choices.iter().filter_map(reason).collect(),
        input_tokens: tokens("prompt_tokens"),
        output_tokens: tokens("completion_tokens"),
        error: body.get("error").filter(|error| !error.is_null()).map(super::tell::error_kind),
    }
}

/// A choice that comes in pieces.
#[derive(Debug, Default)]
struct Choice {
    texts: BTreeMap<&'static str, String>,
    calls: BTreeMap<u64, Call>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default)]
struct Call {
    id: Option<String>,
    name: String,
    arguments: String,
}

/// The answer whose pieces these are.
pub(super) fn put_together(events: &[Value]) -> Value {
    let mut choices: BTreeMap<u64, Choice> = BTreeMap::new();
    let mut body = json!({});
    for event in events {
        for name in ["id", "model", "usage", "error"] {
            let value = event.get(name).filter(|value| !value.is_null());
            if let (Some(value), Some(body)) = (value, body.as_object_mut()) {
                body.insert(name.to_owned(), value.clone());
            }
        }
        for given in list(event, "choices") {
            let index = given.get("index").and_then(Value::as_u64).unwrap_or(0);
            if index < PIECES_MAX {
                choices.entry(index).or_default().add(given);
            }
        }
    }
    let choices: Vec<_> = choices.into_values().map(Choice::whole).collect();
    if let Some(body) = body.as_object_mut() {
        body.insert("choices".to_owned(), json!(choices));
    }
    body
}

impl Call {
    fn add(&mut self, piece: &Value) {
        if let Some(id) = member(piece, "id").filter(|id| !id.is_empty()) {
            self.id = Some(id.to_owned());
        }
        let of = |pointer: &str| piece.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        self.name.push_str(of("/function/name"));
        self.name.push_str(of("/custom/name"));
        self.arguments.push_str(of("/function/arguments"));
        self.arguments.push_str(of("/custom/input"));
    }
}

impl Choice {
    fn add(&mut self, given: &Value) {
        if let Some(reason) = member(given, "finish_reason") {
            self.finish_reason = Some(reason.to_owned());
        }
        let Some(delta) = given.get("delta") else { return };
        for name in ["content", "reasoning_content", "reasoning", "refusal"] {
            if let Some(piece) = member(delta, name) {
                self.texts.entry(name).or_default().push_str(piece);
            }
        }
        for piece in list(delta, "tool_calls") {
            let index = piece.get("index").and_then(Value::as_u64);
            let index = index.unwrap_or_else(|| self.unnumbered(piece));
            if index < PIECES_MAX {
                self.calls.entry(index).or_default().add(piece);
            }
        }
        if let Some(function) = delta.get("function_call").filter(|call| call.is_object()) {
            self.calls.entry(0).or_default().add(&json!({ "function": function }));
        }
    }

    /// The call that a piece without a number belongs to: another one if it has another id.
    fn unnumbered(&self, piece: &Value) -> u64 {
        let Some((last, call)) = self.calls.last_key_value() else { return 0 };
        let id = member(piece, "id").filter(|id| !id.is_empty());
        let other = id.is_some() && id != call.id.as_deref();
        last + u64::from(other)
    }

    fn whole(self) -> Value {
        let calls = self.calls.into_values().map(|call| {
            json!({
                "id": call.id,
                "function": { "name": call.name, "arguments": call.arguments },
            })
        });
        let mut said = json!({ "role": "assistant", "tool_calls": calls.collect::<Vec<_>>() });
        if let Some(said) = said.as_object_mut() {
            said.extend(self.texts.into_iter().map(|(name, text)| (name.to_owned(), json!(text))));
        }
        json!({ "message": said, "finish_reason": self.finish_reason })
    }
}
