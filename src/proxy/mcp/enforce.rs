//! Asks the log before a call is passed on.
//!
//! What cannot be asked about with certainty does not pass: a message that two readers could read in two
//! ways, one that is too large, and every call while the log does not answer.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Gateway;
use super::dialogue::{Allowed, Place};
use super::message::{Message, member, messages, value, written};
use super::watcher::Tap;
use crate::canon::Json;
use crate::proxy::trace::traceparent;
use crate::record::shown::shown;

/// How long the log may take to decide.
const DECISION_MAX: Duration = Duration::from_secs(10);
/// The JSON-RPC code of a refusal: one of those that are left to implementations.
const REFUSED: i32 = -32_003;
/// Names that decide what a message does. A reader that does not tell capital letters from small ones takes
/// others for them.
const NAMES: [&str; 5] = ["jsonrpc", "id", "method", "params", "result"];
const PARAMS: [&str; 3] = ["name", "arguments", "_meta"];

/// What becomes of a message.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// It passes.
    Pass,
    /// It does not, and this is the answer to the client.
    Refuse(String),
}

/// Decides about one message, or one batch, that is on its way to the server.
pub(super) async fn decide(gateway: &Gateway, tap: &Tap, place: &Place, text: &[u8]) -> Verdict {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Pass;
    }
    let Some(messages) = clear(text) else {
        let why = "whence passes on only what can be read in one way alone";
        return Verdict::Refuse(refusal("null", why));
    };
    let calls = messages.iter().filter(|message| message.method.as_deref() == Some("tools/call"));
    for call in calls {
        if let Err(why) = ask(gateway, tap, place, call).await {
            // Of a batch all requests are refused: none of it passes.
            let answers: Vec<_> = messages
                .iter()
                .filter(|message| message.method.is_some())
                .filter_map(|message| Some(refusal(message.id()?, &why)))
                .collect();
            let answers = if let [one] = answers.as_slice() {
                one.clone()
            } else if answers.is_empty() {
                // A call without an id asks for no answer.
                String::new()
            } else {
                format!("[{}]", answers.join(","))
            };
            return Verdict::Refuse(answers);
        }
    }
    Verdict::Pass
}

/// The answer to what is too large to be looked at.
pub(super) fn too_large() -> String {
    refusal("null", "whence passes on no message that is too large to be recorded")
}

fn refusal(id: &str, why: &str) -> String {
    let error = json!({ "code": REFUSED, "message": why });
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{error}}}")
}

async fn ask(
    gateway: &Gateway,
    tap: &Tap,
    place: &Place,
    call: &Message<'_>,
) -> Result<(), String> {
    let meta = value(member(call.params, "_meta"));
    let around = meta.get("traceparent").and_then(Value::as_str).and_then(traceparent);
    let (trace_id, parent) = match around {
        Some((trace_id, parent)) => (trace_id, Some(parent)),
        None => (gateway.ids.trace(), None),
    };
    let allowed = Allowed {
        trace_id,
        span_id: gateway.ids.span(),
        record: format!("mcp-{}", gateway.ids.uuid()),
    };
    let mut record = gateway.who.members();
    let asked = json!({
        "id": allowed.record,
        "kind": "tool_invocation",
        "occurred_at": gateway.now(),
        "source": { "observed_by": "mcp_gateway", "producer": gateway.producer },
        "trace": {
            "trace_id": &*allowed.trace_id,
            "span_id": &*allowed.span_id,
        },
        "data": {
            "tool": value(member(call.params, "name")),
            "server": gateway.server.get(),
            "phase": "requested",
        },
    });
    if let (Value::Object(record), Value::Object(asked)) = (&mut record, asked) {
        record.extend(asked);
        if let (Some(parent), Some(Value::Object(trace))) = (parent, record.get_mut("trace")) {
            trace.insert("parent_span_id".to_owned(), json!(&*parent));
        }
    }
    // As they are written: what is asked about are the arguments that would pass.
    let arguments = member(call.params, "arguments").map_or("{}", RawValue::get);
    let record = record.to_string();
    let record = record.strip_suffix('}').unwrap_or_default();
    let body = format!("{record},\"content\":{{\"arguments\":{arguments}}}}}");
    post(gateway, body).await?;
    if let Some(id) = call.id() {
        tap.allow(place.clone(), id.to_owned(), allowed);
    }
    Ok(())
}

/// Whether the log says yes. Only a 2xx is one.
async fn post(gateway: &Gateway, body: String) -> Result<(), String> {
    let post = gateway.log.post("preflight", "application/json", body.into());
    let unreachable = "whence cannot be asked now, so the call is not made";
    match tokio::time::timeout(DECISION_MAX, post).await {
        Ok(Ok(answer)) if (200..300).contains(&answer.status) => Ok(()),
        Ok(Ok(answer)) => {
            let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let text = |name: &str| shown(problem.get(name).and_then(Value::as_str).unwrap_or(""));
            let code = text("code");
            tracing::warn!(status = answer.status, code, "a call was refused");
            Err(format!("whence refused the call: {code}: {}", text("detail")))
        }
        Ok(Err(error)) => {
            tracing::error!("a call was refused, for the log cannot be reached: {error}");
            Err(unreachable.to_owned())
        }
        Err(_) => {
            tracing::error!("a call was refused, for the log did not decide in time");
            Err(unreachable.to_owned())
        }
    }
}

/// The messages of a text, if every reader reads the same ones.
fn clear(text: &[u8]) -> Option<Vec<Message<'_>>> {
    // Some readers of lines take more than a line feed for the end of one.
    let line = text.strip_suffix(b"\n").unwrap_or(text);
    let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line)).ok()?;
    let ends = ['\r', '\n', '\u{85}', '\u{2028}', '\u{2029}'];
    let one_line = !line.contains(ends);
    let names = written(text)?.iter().all(|message| has_clear_names(message.get(), &NAMES));
    messages(text).filter(|messages| one_line && names && messages.iter().all(is_clear))
}

/// Whether every reader reads the message in the same way.
fn is_clear(message: &Message<'_>) -> bool {
    let strict = |part: Option<&RawValue>| {
        part.is_none_or(|part| serde_json::from_str::<Json>(part.get()).is_ok())
    };
    let call = message.method.as_deref() == Some("tools/call");
    let params = message.params.is_none_or(|params| has_clear_names(params.get(), &PARAMS));
    !call || (strict(message.params) && params)
}

/// Whether an object has none of these names twice, or in other letters. Some readers take letters beyond
/// ASCII for others too, such as a long s for an s, so there is no name with such letters.
fn has_clear_names(text: &str, names: &[&str]) -> bool {
    struct Names<'a>(&'a [&'a str]);

    impl<'de> Visitor<'de> for Names<'_> {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
            let (mut seen, mut clear) = (BTreeSet::new(), true);
            while let Some(name) = map.next_key::<String>()? {
                map.next_value::<IgnoredAny>()?;
                let like =
                    |known: &&&str| known.eq_ignore_ascii_case(&name) && **known != name.as_str();
                clear &= name.is_ascii() && self.0.iter().find(like).is_none() && seen.insert(name);
            }
            Ok(clear)
        }
    }

    serde_json::Deserializer::from_str(text).deserialize_map(Names(names)).unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_readers_could_read_in_two_ways_is_not_clear() {
        let good = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1}}}"#;
        assert_eq!(clear(good.as_bytes()).unwrap().len(), 1);
        assert!(clear(format!("[{good},{good}]\r\n").as_bytes()).is_some());
        for bad in [
            r#"{"id":1,"method":"ping","method":"tools/call"}"#,
            r#"{"id":1,"method":"ping","Method":"tools/call"}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}"#,
            r#"{"id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":1,"x":2}}}"#,
            "{\"id\":1,\"method\":\"ping\",\"params\":\r{\"method\":\"tools/call\"}\r}",
            "{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\"},\"param\u{17f}\":{\"name\":\"b\"}}",
            "{\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"argument\u{17f}\":{}}}",
            "{\"id\":1,\"method\":\"ping\",\"x\":\"\u{2028}\"}",
            "[5]",
            "not json",
            "\u{feff}{}",
        ] {
            assert!(clear(bad.as_bytes()).is_none(), "{bad}");
        }
        assert!(clear(b"{\"id\":1,\"method\":\"\xff\"}").is_none());
    }
}
