//! Messages of conversations, apart from whose form they came in.
//!
//! Every provider and framework has its own way to write a message down. They differ in names, not in
//! what they say: a role, texts, calls of tools, results of tools. What is in none of these forms is
//! kept as it is.

use serde_json::{Map, Value};

use super::read::opened;

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) role: Voice,
    pub(super) parts: Vec<Part>,
    pub(super) finish_reason: Option<String>,
}

/// Whose voice a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Words.
    Text(String),
    /// Words, or something else, that the producer did not send.
    Hidden,
    /// A tool that the model asked for.
    Call(Call),
    /// What a tool gave back.
    Result(Answer),
    /// Reasoning, images, files: anything else.
    Other(Value),
}

/// A tool that the model asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Call {
    pub(super) id: Option<String>,
    pub(super) name: String,
    pub(super) arguments: Option<Value>,
}

/// What a tool gave back.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answer {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) result: Option<Value>,
    pub(super) failed: bool,
}

/// The messages of a value in any form: a list, one message, an object that holds a list, or a text.
/// What has no role has `voice`.
pub(super) fn messages(value: Value, voice: Voice) -> Vec<Message> {
    match opened(value) {
        Value::String(text) => vec![Message::of(voice, vec![Part::Text(text)])],
        Value::Array(values) => list(values, voice),
        Value::Object(members) => object(members, voice),
        Value::Null | Value::Bool(_) | Value::Number(_) => Vec::new(),
    }
}

/// The parts of a value in any form.
pub(super) fn parts(value: &Value) -> Vec<Part> {
    let mut parts = Vec::new();
    content(&opened(value.clone()), &mut parts);
    parts
}

impl Message {
    pub(super) const fn of(role: Voice, parts: Vec<Part>) -> Self {
        Self { role, parts, finish_reason: None }
    }

    /// The words, put together; nothing if there are none that were sent.
    pub(super) fn text(&self) -> Option<String> {
        let texts: Vec<_> = self
            .parts
            .iter()
            .filter_map(|part| match part {
                Part::Text(text) => Some(text.as_str()),
                Part::Hidden | Part::Call(_) | Part::Result(_) | Part::Other(_) => None,
            })
            .collect();
        (!texts.is_empty()).then(|| texts.join("\n"))
    }

    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some(call),
            Part::Text(_) | Part::Hidden | Part::Result(_) | Part::Other(_) => None,
        })
    }

    /// What is neither words nor about tools.
    pub(super) fn others(&self) -> Vec<&Value> {
        self.parts
            .iter()
            .filter_map(|part| match part {
                Part::Other(value) => Some(value),
                Part::Text(_) | Part::Hidden | Part::Call(_) | Part::Result(_) => None,
            })
            .collect()
    }

    /// Whether it says anything beyond the results of tools.
    pub(super) fn speaks(&self) -> bool {
        self.parts.iter().any(|part| !matches!(part, Part::Result(_) | Part::Call(_)))
    }
}

/// Whether anything in the messages was sent, and not only told to be there.
pub(super) fn is_captured(messages: &[Message]) -> bool {
    messages.iter().flat_map(|message| &message.parts).any(|part| match part {
        Part::Text(_) | Part::Other(_) => true,
        Part::Call(call) => call.arguments.is_some(),
        Part::Result(answer) => answer.result.is_some(),
        Part::Hidden => false,
    })
}

/// Members that a message is wrapped in: `OpenInference`, `LangChain`.
const WRAPPERS: [&str; 3] = ["message", "data", "kwargs"];

fn list(values: Vec<Value>, voice: Voice) -> Vec<Message> {
    // LangChain: one list of messages for each prompt of a batch.
    let values = match <[Value; 1]>::try_from(values) {
        Ok([Value::Array(inner)]) => return list(inner, voice),
        Ok(one) => Vec::from(one),
        Err(values) => values,
    };
    let is_part = |value: &Value| {
        value.as_object().is_none_or(|members| {
            let wrapped = WRAPPERS.iter().any(|name| members.contains_key(*name));
            !wrapped && members.get("role").is_none() && role_of(members).is_none()
        })
    };
    if values.iter().all(is_part) {
        let parts = parts(&Value::Array(values));
        return if parts.is_empty() { Vec::new() } else { vec![Message::of(voice, parts)] };
    }
    values.into_iter().flat_map(|value| messages(value, voice)).collect()
}

fn object(mut members: Map<String, Value>, voice: Voice) -> Vec<Message> {
    for name in WRAPPERS {
        if let Some(Value::Object(inner)) = members.get(name).cloned() {
            let mut inner = inner;
            for outer in ["type", "role", "finish_reason", "id"] {
                if let (None, Some(value)) = (inner.get(outer), members.get(outer)) {
                    inner.insert(outer.to_owned(), value.clone());
                }
            }
            return object(inner, voice);
        }
    }
    if let Some(messages @ Value::Array(_)) = members.remove("messages") {
        let mut all = Vec::new();
        if let Some(system) = members.get("system") {
            all.push(Message::of(Voice::System, parts(system)));
        }
        let Value::Array(values) = messages else { return all };
        all.extend(list(values, voice));
        return all;
    }
    if let Some(prompt @ Value::String(_)) = members.get("prompt") {
        let system = members.get("system").map(|system| Message::of(Voice::System, parts(system)));
        let prompt = Message::of(voice, parts(prompt));
        return system.into_iter().chain([prompt]).collect();
    }
    let role = role_of(&members).unwrap_or(voice);
    let finish_reason = ["finish_reason", "finishReason", "stop_reason"]
        .iter()
        .find_map(|name| members.get(*name)?.as_str().map(str::to_owned));
    let mut found = Vec::new();
    if role == Voice::Tool
        && (text_of(&members, &["tool_call_id", "id"]).is_some() || !has_parts(&members))
    {
        found.push(Part::Result(Answer {
            id: text_of(&members, &["tool_call_id", "id"]),
            name: text_of(&members, &["name"]),
            result: members.get("content").filter(|value| !value.is_null()).cloned(),
            failed: members.get("status").and_then(Value::as_str) == Some("error"),
        }));
        if let [Part::Result(answer)] =
            parts(members.get("content").unwrap_or(&Value::Null)).as_slice()
        {
            found = vec![Part::Result(answer.clone())];
        }
    } else {
        for name in ["parts", "contents", "content"] {
            if let Some(value) = members.get(name).filter(|value| !value.is_null()) {
                content(&opened_list(value), &mut found);
                break;
            }
        }
    }
    if let Some(Value::Array(calls)) = members.get("tool_calls") {
        let given: Vec<_> = calls.iter().filter_map(call).map(Part::Call).collect();
        // Some say it twice: as parts of the content, and beside it.
        found.retain(|part| !matches!(part, Part::Call(_)) || given.is_empty());
        found.extend(given);
    }
    if let Some(function) = members.get("function_call").filter(|value| value.is_object()) {
        found.extend(call(function).map(Part::Call));
    }
    if found.is_empty() && role != Voice::Assistant {
        found.push(Part::Hidden);
    }
    vec![Message { role, parts: found, finish_reason }]
}

fn has_parts(members: &Map<String, Value>) -> bool {
    ["parts", "contents"].iter().any(|name| members.contains_key(*name))
        || members.get("content").is_some_and(|value| opened(value.clone()).is_array())
}

/// A content that is a list, or its JSON text; other texts are left as they are.
fn opened_list(value: &Value) -> Value {
    let list = opened(value.clone());
    if is_parts(&list) { list } else { value.clone() }
}

/// Whether a list is one of parts, and not somebody's own JSON.
fn is_parts(list: &Value) -> bool {
    let known = |members: &Map<String, Value>| {
        [
            "type",
            "text",
            "toolUse",
            "toolResult",
            "function_call",
            "function_response",
            "functionCall",
            "functionResponse",
            "message_content",
        ]
        .iter()
        .any(|name| members.contains_key(*name))
    };
    list.as_array().is_some_and(|values| {
        !values.is_empty() && values.iter().all(|value| value.as_object().is_some_and(known))
    })
}

fn role_of(members: &Map<String, Value>) -> Option<Voice> {
    let name = members.get("role").or_else(|| members.get("type"))?.as_str()?;
    match name {
        "system" => Some(Voice::System),
        "developer" => Some(Voice::Developer),
        "user" | "human" => Some(Voice::User),
        "assistant" | "ai" | "model" => Some(Voice::Assistant),
        "tool" | "function"
            if members.get("role").is_some() || members.contains_key("tool_call_id") =>
        {
            Some(Voice::Tool)
        }
        "constructor" => {
            let class = members.get("id").and_then(Value::as_array)?.last()?.as_str()?;
            let of = |start: &str| class.starts_with(start);
            [
                ("System", Voice::System),
                ("Human", Voice::User),
                ("AI", Voice::Assistant),
                ("Tool", Voice::Tool),
            ]
            .into_iter()
            .find_map(|(start, voice)| of(start).then_some(voice))
        }
        _ => None,
    }
}

fn content(value: &Value, found: &mut Vec<Part>) {
    match value {
        Value::Null => {}
        Value::String(text) => {
            if !text.is_empty() {
                found.push(Part::Text(text.clone()));
            }
        }
        Value::Array(values) => values.iter().for_each(|value| content(value, found)),
        Value::Object(members) => found.push(part(members)),
        Value::Bool(_) | Value::Number(_) => found.push(Part::Other(value.clone())),
    }
}

fn part(members: &Map<String, Value>) -> Part {
    for name in ["message_content", "tool_call"] {
        if let Some(Value::Object(inner)) = members.get(name) {
            return part(inner);
        }
    }
    let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" => {
            text_of(members, &["content", "text"]).map_or(Part::Hidden, Part::Text)
        }
        "tool_call" | "tool-call" | "tool_use" | "function_call" | "function"
        | "server_tool_call" => {
            call(&Value::Object(members.clone())).map_or_else(|| other(members), Part::Call)
        }
        "tool_call_response"
        | "tool-result"
        | "tool_result"
        | "function_call_output"
        | "server_tool_call_response" => Part::Result(answer(members)),
        _ => bare(members),
    }
}

/// A part that says by its members what it is: Bedrock, Gemini.
fn bare(members: &Map<String, Value>) -> Part {
    for name in ["toolUse", "function_call", "functionCall"] {
        if let Some(found) = members.get(name).and_then(call) {
            return Part::Call(found);
        }
    }
    for name in ["toolResult", "function_response", "functionResponse"] {
        if let Some(Value::Object(inner)) = members.get(name) {
            return Part::Result(answer(inner));
        }
    }
    match (members.get("text"), members.len()) {
        (Some(Value::String(text)), 1) => Part::Text(text.clone()),
        _ => other(members),
    }
}

fn other(members: &Map<String, Value>) -> Part {
    let says = members.iter().any(|(name, _)| name != "type");
    if says { Part::Other(Value::Object(members.clone())) } else { Part::Hidden }
}

/// A call of a tool in any form.
pub(super) fn call(value: &Value) -> Option<Call> {
    let members = value.as_object()?;
    if let Some(inner) = members.get("tool_call") {
        return call(inner);
    }
    let function = members.get("function").and_then(Value::as_object);
    let of = function.unwrap_or(members);
    let name = text_of(of, &["name", "toolName"])?;
    let arguments = ["arguments", "args", "input", "arguments_json"]
        .iter()
        .find_map(|name| of.get(*name))
        .filter(|value| !value.is_null())
        .map(|value| opened(value.clone()));
    let id = text_of(members, &["call_id", "toolCallId", "toolUseId", "id"]);
    Some(Call { id, name, arguments })
}

fn answer(members: &Map<String, Value>) -> Answer {
    let result = ["response", "result", "output", "content"]
        .iter()
        .find_map(|name| members.get(*name))
        .filter(|value| !value.is_null())
        .map(plain);
    let failed = members.get("is_error") == Some(&Value::Bool(true))
        || members.get("status").and_then(Value::as_str) == Some("error");
    Answer {
        id: text_of(
            members,
            &["tool_call_id", "toolCallId", "toolUseId", "tool_use_id", "call_id", "id"],
        ),
        name: text_of(members, &["name", "toolName"]),
        result,
        failed,
    }
}

/// A result without what only says of which type it is.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) if members.len() == 2 && members.contains_key("type") => {
            members.get("value").cloned().unwrap_or_else(|| value.clone())
        }
        Value::Array(values) => match values.as_slice() {
            [Value::Object(members)] => match members.get("text").or_else(|| members.get("json")) {
                Some(inner)
                    if members
                        .iter()
                        .all(|(name, _)| matches!(name.as_str(), "type" | "text" | "json")) =>
                {
                    inner.clone()
                }
                _ => value.clone(),
            },
            _ => value.clone(),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            value.clone()
        }
    }
}

/// The first of these members that is a text which is not empty.
fn text_of(members: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| {
        members.get(*name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    })
}
