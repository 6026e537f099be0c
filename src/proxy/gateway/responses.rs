//! The responses API (`/v1/responses`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::{
    Answered, Asked, hosted, list, member, message, other, reasoning, text, tool, tool_call,
    tool_response, uri,
};

/// Items of an answer that are put together from a stream.
const ITEMS_MAX: u64 = 4_096;

pub(super) fn asked(body: &Value) -> Asked {
    let messages = match body.get("input") {
        Some(Value::String(input)) => vec![message("user", vec![text(input)], None)],
        Some(Value::Array(items)) => items.iter().map(|given| item(given, "user")).collect(),
        _ => Vec::new(),
    };
    let tools = list(body, "tools").iter().map(|given| match member(given, "name") {
        Some(name) => tool(name, given.get("description"), given.get("parameters")),
        None => hosted(given),
    });
    Asked {
        model: member(body, "model").map(str::to_owned),
        instructions: member(body, "instructions").map(text).into_iter().collect(),
        messages,
        tools: tools.collect(),
    }
}

/// An item of either side, as a message.
fn item(given: &Value, default: &str) -> Value {
    let of = |name: &str| given.get(name).cloned().unwrap_or_default();
    match member(given, "type") {
        None | Some("message") => {
            let role = match member(given, "role") {
                Some("developer") => "system",
                role => role.unwrap_or(default),
            };
            let parts = match given.get("content") {
                Some(Value::String(content)) => vec![text(content)],
                Some(Value::Array(parts)) => parts.iter().map(part).collect(),
                _ => Vec::new(),
            };
            message(role, parts, None)
        }
        Some("function_call" | "custom_tool_call") => {
            let arguments = given.get("arguments").or_else(|| given.get("input"));
            let arguments = arguments.cloned().unwrap_or_default();
            let name = member(given, "name").unwrap_or("");
            message("assistant", vec![tool_call(member(given, "call_id"), name, &arguments)], None)
        }
        Some("function_call_output" | "custom_tool_call_output") => {
            let response = tool_response(member(given, "call_id"), &of("output"));
            message("tool", vec![response], None)
        }
        Some("reasoning") => {
            let texts = list(given, "summary").iter().chain(list(given, "content"));
            let parts = texts.filter_map(|part| member(part, "text")).map(reasoning).collect();
            message("assistant", parts, None)
        }
        Some(_) => message("assistant", vec![other(given)], None),
    }
}

fn part(part: &Value) -> Value {
    let of = |name: &str| member(part, name);
    match of("type") {
        Some("input_text" | "output_text" | "text") => text(of("text").unwrap_or("")),
        Some("refusal") => text(of("refusal").unwrap_or("")),
        Some("input_image") if of("image_url").is_some() => {
            uri("image", of("image_url").unwrap_or(""))
        }
        _ => other(part),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let mut parts = Vec::new();
    let mut calls = false;
    for given in list(body, "output") {
        let kind = member(given, "type").unwrap_or("message");
        calls |= matches!(kind, "function_call" | "custom_tool_call");
        parts.extend_from_slice(list(&item(given, "assistant"), "parts"));
    }
    let incomplete = body.pointer("/incomplete_details/reason").and_then(Value::as_str);
    let reason = match (member(body, "status"), incomplete) {
        (Some("completed"), _) => Some(if calls { "tool_calls" } else { "stop" }),
        (_, Some("max_output_tokens")) => Some("length"),
        (_, Some(reason)) => Some(reason),
        (status, None) => status,
    };
    let tokens = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    let messages = if parts.is_empty() && reason.is_none() {
        Vec::new()
    } else {
        vec![message("assistant", parts, reason)]
    };
    Answered {
        id: member(body, "id").map(str::to_owned),
        model: member(body, "model").map(str::to_owned),
        messages,
        finish_reasons: reason.map(str::to_owned).into_iter().collect(),
        input_tokens: tokens("input_tokens"),
        output_tokens: tokens("output_tokens"),
        error: body.get("error").filter(|error| !error.is_null()).map(super::tell::error_kind),
    }
}

/// The answer whose pieces these are: the last event has it as a whole, unless the stream was cut off.
pub(super) fn put_together(events: &[Value]) -> Value {
    let mut body = json!({});
    let mut items: BTreeMap<u64, Value> = BTreeMap::new();
    let mut texts: BTreeMap<u64, String> = BTreeMap::new();
    for event in events {
        let index = event.get("output_index").and_then(Value::as_u64).unwrap_or(0);
        match member(event, "type") {
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                return event.get("response").cloned().unwrap_or_default();
            }
            Some("response.created" | "response.in_progress") => {
                body = event.get("response").cloned().unwrap_or_default();
            }
            Some("response.output_item.done") if index < ITEMS_MAX => {
                items.insert(index, event.get("item").cloned().unwrap_or_default());
                texts.remove(&index);
            }
            Some("response.output_text.delta") if index < ITEMS_MAX => {
                texts.entry(index).or_default().push_str(member(event, "delta").unwrap_or(""));
            }
            Some("error") => {
                if let Some(body) = body.as_object_mut() {
                    body.insert("error".to_owned(), event.clone());
                }
            }
            _ => {}
        }
    }
    for (index, said) in texts {
        let content = json!([{ "type": "output_text", "text": said }]);
        items.insert(index, json!({ "type": "message", "role": "assistant", "content": content }));
    }
    if let Some(body) = body.as_object_mut() {
        body.insert("output".to_owned(), items.into_values().collect());
    }
    body
}
