//! The parts of messages, as the conventions for telemetry of models have them.

use serde_json::{Value, json};

/// Characters of an image or the like that are kept. A longer one would leave no room for words.
const BLOB_BYTES_MAX: usize = 128 * 1024;

/// What an API's exchange says, whichever API it is.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) model: Option<String>,
    /// Parts of instructions that stand beside the messages.
    pub(super) instructions: Vec<Value>,
    pub(super) messages: Vec<Value>,
    pub(super) tools: Vec<Value>,
}

/// What the model answered.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Answered {
    pub(super) id: Option<String>,
    pub(super) model: Option<String>,
    pub(super) messages: Vec<Value>,
    pub(super) finish_reasons: Vec<String>,
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    /// The kind of error that the answer tells of.
    pub(super) error: Option<String>,
}

/// A message; the reason why it ended is given for those of a model.
pub(super) fn message(role: &str, parts: Vec<Value>, finish_reason: Option<&str>) -> Value {
    let mut message = json!({ "role": role, "parts": Value::Array(parts) });
    if let (Some(reason), Some(message)) = (finish_reason, message.as_object_mut()) {
        message.insert("finish_reason".to_owned(), json!(reason));
    }
    message
}

pub(super) fn text(text: &str) -> Value {
    json!({ "type": "text", "content": text })
}

pub(super) fn reasoning(text: &str) -> Value {
    json!({ "type": "reasoning", "content": text })
}

/// A tool call. Arguments that are JSON in a text are taken out of it.
pub(super) fn tool_call(id: Option<&str>, name: &str, arguments: &Value) -> Value {
    let arguments = match arguments {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| arguments.clone()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            arguments.clone()
        }
    };
    json!({ "type": "tool_call", "id": id, "name": name, "arguments": arguments })
}

pub(super) fn tool_response(id: Option<&str>, response: &Value) -> Value {
    json!({ "type": "tool_call_response", "id": id, "response": response })
}

/// Bytes in base64, unless they are too many.
pub(super) fn blob(modality: &str, mime_type: Option<&str>, content: &str) -> Value {
    if content.len() > BLOB_BYTES_MAX {
        let bytes = content.len();
        return json!({ "type": "blob", "modality": modality, "mime_type": mime_type, "omitted_bytes": bytes });
    }
    json!({ "type": "blob", "modality": modality, "mime_type": mime_type, "content": content })
}

/// What a URL leads to; the bytes that are in the URL itself, if it is such a one.
pub(super) fn uri(modality: &str, uri: &str) -> Value {
    let data = uri.strip_prefix("data:").and_then(|rest| rest.split_once(','));
    match data {
        Some((head, content)) => blob(modality, head.split(';').next(), content),
        None => json!({ "type": "uri", "modality": modality, "uri": uri }),
    }
}

/// A part of a kind that is not known here, as it is, unless it is too long.
pub(super) fn other(part: &Value) -> Value {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("unknown");
    let bytes = part.to_string().len();
    if bytes > BLOB_BYTES_MAX {
        return json!({ "type": kind, "omitted_bytes": bytes });
    }
    part.clone()
}

/// A tool that the provider runs, by its names alone: beside them stand addresses, and tokens for them.
pub(super) fn hosted(tool: &Value) -> Value {
    let named = ["type", "name", "server_label"]
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), Value::from(member(tool, name)?))));
    Value::Object(named.collect())
}

/// A member that is a text.
pub(super) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The elements of a member that is a list; none if it is something else.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A tool that the model may call.
pub(super) fn tool(name: &str, description: Option<&Value>, parameters: Option<&Value>) -> Value {
    let mut tool = json!({ "type": "function", "name": name });
    if let Some(members) = tool.as_object_mut() {
        for (member, value) in [("description", description), ("parameters", parameters)] {
            if let Some(value) = value.filter(|value| !value.is_null()) {
                members.insert(member.to_owned(), value.clone());
            }
        }
    }
    tool
}
