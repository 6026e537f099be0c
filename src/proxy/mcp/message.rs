//! JSON-RPC messages, as far as they matter.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Bytes of one message that is read as a whole. The log takes no more in one part of a record
/// (SPEC 2.3).
pub(super) const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

impl Direction {
    /// The way that the answer goes.
    pub(super) const fn back(self) -> Self {
        match self {
            Self::ToServer => Self::ToClient,
            Self::ToClient => Self::ToServer,
        }
    }
}

/// A message: a request if it has an id and a method, a notification without an id, an answer without a
/// method.
#[derive(Debug, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// The messages of a text: one, or those of a batch. Nothing if it is no JSON-RPC.
pub(super) fn messages(text: &[u8]) -> Option<Vec<Message<'_>>> {
    written(text)?.into_iter().map(|message| serde_json::from_str(message.get()).ok()).collect()
}

/// The same, as they are written.
pub(super) fn written(text: &[u8]) -> Option<Vec<&RawValue>> {
    let start = text.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if *start == b'[' {
        serde_json::from_slice(text).ok()
    } else {
        Some(vec![serde_json::from_slice(text).ok()?])
    }
}

impl Message<'_> {
    /// The id as it is written: `1` and `"1"` are two.
    pub(super) fn id(&self) -> Option<&str> {
        self.id.map(RawValue::get)
    }

    /// The arguments of the request.
    pub(super) fn params(&self) -> Value {
        value(self.params)
    }
}

/// What a part of a message says; null if it is not there.
pub(super) fn value(part: Option<&RawValue>) -> Value {
    part.and_then(|part| serde_json::from_str(part.get()).ok()).unwrap_or_default()
}

/// A part of a part, as it is written.
pub(super) fn member<'a>(part: Option<&'a RawValue>, name: &str) -> Option<&'a RawValue> {
    let members: std::collections::BTreeMap<Cow<'a, str>, &'a RawValue> =
        serde_json::from_str(part?.get()).ok()?;
    members.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_and_nonsense_is_none() {
        let text =
            br#" {"method":"tools/call","params":{"name":"x","arguments":{"a":1.50}},"id":"1"}"#;
        let read = messages(text).unwrap();
        assert_eq!((read[0].id(), read[0].method.as_deref()), (Some("\"1\""), Some("tools/call")));
        let arguments = member(read[0].params, "arguments").unwrap();
        assert_eq!(arguments.get(), r#"{"a":1.50}"#, "as it is written");
        assert_eq!(messages(br#"[{"id":1,"result":{}},{"method":"n"}]"#).unwrap().len(), 2);
        assert_eq!(messages(br#"{"id":null,"method":"n"}"#).unwrap()[0].id(), None);
        for text in
            ["", "  ", "5", "[5]", "{", "\u{feff}{}", r#"{"method":5}"#, r#"{"id":1,"id":2}"#]
        {
            assert!(messages(text.as_bytes()).is_none(), "{text}");
        }
    }
}
