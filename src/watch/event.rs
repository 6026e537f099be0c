//! What a webhook is told: which records, in what form, and how it is signed.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each detection looks at a few kinds of records, and passes over all others, new ones too"
)]

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::detections::severity_of;
use crate::canon::{EntryHash, NotCanonical, hmac_sha256, to_bytes};
use crate::record::{Data, Entry, Flag, Rel, Severity};

/// What stands before the digits of a secret (Standard Webhooks).
const SECRET_PREFIX: &str = "whsec_";

/// A finding that a record tells of: its name, and how bad it is.
type Told = (&'static str, Severity);

/// Which records somebody wants to be told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter<'a> {
    /// Names of flags and gaps; all of them if there is none.
    pub(super) flags: &'a [String],
    pub(super) min_severity: Option<Severity>,
}

/// A message about one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its id: the same each time that it is sent.
    pub(super) id: String,
    /// Its JSON.
    pub(super) body: Vec<u8>,
}

/// Whether an entry could be one that tells of anything. Most are passed over by that alone.
///
/// An entry is JSON without blanks, and a text in it has its quotation marks escaped.
pub(super) fn may_tell(entry: &[u8]) -> bool {
    [&b"\"flags\":["[..], b"\"kind\":\"flag\"", b"\"kind\":\"capture_gap\""]
        .iter()
        .any(|member| entry.windows(member.len()).any(|window| window == *member))
}

/// The message about a record, if it tells of something that is wanted. It has no content in it.
pub(super) fn message(
    entry: &Entry<'_>,
    bytes: &[u8],
    filter: &Filter<'_>,
) -> Result<Option<Message>, NotCanonical> {
    let mut told: Vec<Told> =
        entry.flags.iter().map(|flag: &Flag| (flag.as_str(), flag.severity())).collect();
    let mut r#type = "whence.flag.v1";
    match &*entry.data {
        Data::Flag(raised) => told.push((raised.code.as_str(), raised.severity)),
        Data::CaptureGap(gap) => {
            r#type = "whence.gap.v1";
            told.push((gap.gap.as_str(), severity_of(gap.gap)));
        }
        _ => {}
    }
    let wanted = |(code, severity): &Told| {
        (filter.flags.is_empty() || filter.flags.iter().any(|flag| flag == code))
            && filter.min_severity.is_none_or(|min| *severity >= min)
    };
    if !told.iter().any(wanted) {
        return Ok(None);
    }
    let about = entry.causes.iter().filter(|cause| cause.rel == Rel::About);
    let about: Vec<_> = about.map(|cause| cause.id.as_str()).collect();
    let flags = told.iter().map(|(code, severity)| json!({ "code": code, "severity": severity }));
    let hash = EntryHash::of(bytes).to_string();
    let id = format!("msg_{}", hash.get(..32).unwrap_or(&hash));
    let body = json!({
        "id": id,
        "type": r#type,
        "time": entry.received_at,
        "ledger": entry.ledger,
        "seq": entry.seq,
        "record": entry.id,
        "kind": entry.kind,
        "flags": flags.collect::<Vec<_>>(),
        "user": entry.user.as_ref().map(|user| user.id.as_str()),
        "session": entry.session.as_ref().map(|session| session.id.as_str()),
        "agent": entry.agent.as_ref().map(|agent| agent.id.as_str()),
        "about": about,
    });
    Ok(Some(Message { id, body: to_bytes(&without_nothing(body))? }))
}

/// The same object, without the members that have no value.
fn without_nothing(mut object: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// A secret as it is shown and kept.
pub(super) fn secret(random: &[u8; 32]) -> String {
    format!("{SECRET_PREFIX}{}", BASE64.encode(random))
}

/// The signature of a message at a time, in the form of Standard Webhooks.
pub(super) fn signature(secret: &str, message: &Message, seconds: i128) -> String {
    let digits = secret.strip_prefix(SECRET_PREFIX).unwrap_or(secret);
    let key = BASE64.decode(digits.as_bytes()).unwrap_or_default();
    let seconds = seconds.to_string();
    let dot = &b"."[..];
    let parts = [message.id.as_bytes(), dot, seconds.as_bytes(), dot, &message.body];
    format!("v1,{}", BASE64.encode(&hmac_sha256(&key, &parts)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of the Standard Webhooks specification.
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek".to_owned();
        let message = Message { id, body: br#"{"test": 2432232314}"#.to_vec() };
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signed = signature(secret, &message, 1_614_265_330);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
