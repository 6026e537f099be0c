//! `sampling/createMessage`: the server asks the client's model, which is told as a chat.

use serde_json::{Value, json};

use crate::capture::otlp::Attributes;

/// What the server asks.
pub(super) fn request(params: &Value) -> Attributes {
    let messages = params.get("messages").and_then(Value::as_array);
    let messages: Vec<_> = messages.into_iter().flatten().map(message).collect();
    let mut attributes = vec![("gen_ai.input.messages", texted(&json!(messages)))];
    if let Some(text) = params.get("systemPrompt").and_then(Value::as_str) {
        let parts = json!([{ "type": "text", "content": text }]);
        attributes.push(("gen_ai.system_instructions", texted(&parts)));
    }
    let hint = params.pointer("/modelPreferences/hints/0/name").and_then(Value::as_str);
    if let Some(model) = hint {
        attributes.push(("gen_ai.request.model", json!(model)));
    }
    if let Some(tools) = params.get("tools").filter(|tools| tools.is_array()) {
        attributes.push(("gen_ai.tool.definitions", texted(tools)));
    }
    named(attributes)
}

/// What the client's model answered.
pub(super) fn answer(result: &Value) -> Attributes {
    let mut attributes = vec![("gen_ai.output.messages", texted(&json!([message(result)])))];
    if let Some(model) = result.get("model").and_then(Value::as_str) {
        attributes.push(("gen_ai.response.model", json!(model)));
    }
    if let Some(reason) = result.get("stopReason").and_then(Value::as_str) {
        attributes.push(("gen_ai.response.finish_reasons", json!([reason])));
    }
    named(attributes)
}

fn named(attributes: Vec<(&str, Value)>) -> Attributes {
    attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A value as text, which is how exporters send structured attributes.
fn texted(value: &Value) -> Value {
    Value::String(value.to_string())
}

fn message(message: &Value) -> Value {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("user");
    let parts: Vec<_> = match message.get("content") {
        Some(Value::Array(parts)) => parts.iter().map(part).collect(),
        Some(content) => vec![part(content)],
        None => Vec::new(),
    };
    json!({ "role": role, "parts": parts })
}

fn part(content: &Value) -> Value {
    let of = |name: &str| content.get(name).cloned().unwrap_or_default();
    match content.get("type").and_then(Value::as_str) {
        Some("text") => json!({ "type": "text", "content": of("text") }),
        Some("tool_use") => {
            json!({ "type": "tool_call", "id": of("id"), "name": of("name"), "arguments": of("input") })
        }
        Some("tool_result") => {
            json!({ "type": "tool_call_response", "id": of("toolUseId"), "response": of("content") })
        }
        Some(kind @ ("image" | "audio")) => json!({
            "type": "blob", "modality": kind, "content": of("data"), "mime_type": of("mimeType"),
        }),
        _ => content.clone(),
    }
}
