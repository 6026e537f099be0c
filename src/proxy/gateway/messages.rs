//! The messages API (`/v1/messages`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::parts::{
    Answered, Asked, blob, hosted, list, member, message, other, reasoning, text, tool, tool_call,
    tool_response, uri,
};

/// Blocks of an answer that are put together from a stream.
const BLOCKS_MAX: u64 = 4_096;

pub(super) fn asked(body: &Value) -> Asked {
    let instructions = match body.get("system") {
        Some(Value::String(system)) => vec![text(system)],
        Some(Value::Array(blocks)) => blocks.iter().map(part).collect(),
        _ => Vec::new(),
    };
    let tools = list(body, "tools").iter().map(|given| {
        let name = member(given, "name").unwrap_or("");
        match given.get("input_schema") {
            Some(schema) => tool(name, given.get("description"), Some(schema)),
            None => hosted(given),
        }
    });
    Asked {
        model: member(body, "model").map(str::to_owned),
        instructions,
        messages: list(body, "messages").iter().flat_map(input).collect(),
        tools: tools.collect(),
    }
}

/// A message; what tools gave back is a message of its own, before what the user says beside it.
fn input(given: &Value) -> Vec<Value> {
    let role = member(given, "role").unwrap_or("user");
    let blocks = match given.get("content") {
        Some(Value::String(content)) => return vec![message(role, vec![text(content)], None)],
        Some(Value::Array(blocks)) => blocks.as_slice(),
        _ => &[],
    };
    let is_result = |block: &&Value| member(block, "type") == Some("tool_result");
    let (results, rest): (Vec<_>, Vec<_>) = blocks.iter().partition(is_result);
    let mut messages = Vec::new();
    for (role, blocks) in [("tool", results), (role, rest)] {
        if !blocks.is_empty() {
            messages.push(message(role, blocks.into_iter().map(part).collect(), None));
        }
    }
    messages
}

fn part(block: &Value) -> Value {
    let of = |name: &str| block.get(name).cloned().unwrap_or_default();
    let source = |name: &str| block.pointer(&format!("/source/{name}")).and_then(Value::as_str);
    match member(block, "type") {
        Some("text") => text(member(block, "text").unwrap_or("")),
        Some("thinking") => reasoning(member(block, "thinking").unwrap_or("")),
        Some("tool_use") => {
            tool_call(member(block, "id"), member(block, "name").unwrap_or(""), &of("input"))
        }
        Some("tool_result") => tool_response(member(block, "tool_use_id"), &of("content")),
        Some(modality @ ("image" | "document")) => match (source("data"), source("url")) {
            (Some(data), _) => blob(modality, source("media_type"), data),
            (None, Some(url)) => uri(modality, url),
            (None, None) => other(block),
        },
        _ => other(block),
    }
}

pub(super) fn answered(body: &Value) -> Answered {
    let reason = member(body, "stop_reason");
    let parts: Vec<_> = list(body, "content").iter().map(part).collect();
    let tokens = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
    // What was read from and written to the cache is not counted among the others here.
    let cached = ["cache_read_input_tokens", "cache_creation_input_tokens"];
    let cached: u64 = cached.into_iter().filter_map(tokens).fold(0, u64::saturating_add);
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
        input_tokens: tokens("input_tokens").map(|tokens| tokens.saturating_add(cached)),
        output_tokens: tokens("output_tokens"),
        error: body.get("error").filter(|error| !error.is_null()).map(super::tell::error_kind),
    }
}

/// A block that comes in pieces.
#[derive(Debug, Default)]
struct Block {
    start: Value,
    said: String,
    arguments: String,
}

/// The answer whose pieces these are.
pub(super) fn put_together(events: &[Value]) -> Value {
    let mut body = json!({});
    let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
    for event in events {
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        match member(event, "type") {
            Some("message_start") => body = event.get("message").cloned().unwrap_or_default(),
            Some("content_block_start") if index < BLOCKS_MAX => {
                let start = event.get("content_block").cloned().unwrap_or_default();
                blocks.insert(index, Block { start, ..Block::default() });
            }
            Some("content_block_delta") => {
                let (Some(block), Some(delta)) = (blocks.get_mut(&index), event.get("delta"))
                else {
                    continue;
                };
                for name in ["text", "thinking"] {
                    block.said.push_str(member(delta, name).unwrap_or(""));
                }
                block.arguments.push_str(member(delta, "partial_json").unwrap_or(""));
            }
            Some("message_delta") => change(&mut body, event),
            Some("error") => {
                if let Some(body) = body.as_object_mut() {
                    body.insert(
                        "error".to_owned(),
                        event.get("error").cloned().unwrap_or_default(),
                    );
                }
            }
            _ => {}
        }
    }
    if let Some(body) = body.as_object_mut() {
        body.insert("content".to_owned(), blocks.into_values().map(Block::whole).collect());
    }
    body
}

/// What is known of an answer at its end: why it ended, and what it took.
fn change(body: &mut Value, event: &Value) {
    let Some(body) = body.as_object_mut() else { return };
    if let Some(reason) = event.pointer("/delta/stop_reason").filter(|reason| !reason.is_null()) {
        body.insert("stop_reason".to_owned(), reason.clone());
    }
    let Some(Value::Object(fresh)) = event.get("usage") else { return };
    let usage = body.entry("usage").or_insert_with(|| json!({}));
    if let Some(usage) = usage.as_object_mut() {
        let fresh = fresh.iter().filter(|(_, value)| !value.is_null());
        usage.extend(fresh.map(|(name, value)| (name.clone(), value.clone())));
    }
}

impl Block {
    fn whole(self) -> Value {
        let Self { mut start, said, arguments } = self;
        let kind = member(&start, "type").unwrap_or("").to_owned();
        if let Some(block) = start.as_object_mut() {
            let (name, value) = match kind.as_str() {
                "text" => ("text", json!(joined(block.get("text"), &said))),
                "thinking" => ("thinking", json!(joined(block.get("thinking"), &said))),
                _ if !arguments.is_empty() => {
                    ("input", serde_json::from_str(&arguments).unwrap_or(json!(arguments)))
                }
                _ => return start,
            };
            block.insert(name.to_owned(), value);
        }
        start
    }
}

fn joined(start: Option<&Value>, rest: &str) -> String {
    format!("{}{rest}", start.and_then(Value::as_str).unwrap_or(""))
}
