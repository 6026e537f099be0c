//! A post, as it stands in the journal: a line of JSON about it, and the body as it came.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::canon;
use crate::capture::otlp::{Encoding, Sender, Signal};
use crate::record::text::ExternalId;
use crate::record::{Agent, Session, Timestamp, User};

/// Who posted, and what the token let it say. It stands as long as the post does: a token that was taken
/// back later does not undo what was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The id of the token.
    pub token: String,
    /// The kinds of records that it may append; all without a list.
    pub kinds: Option<BTreeSet<String>>,
    /// The producers whose records it may append; all without a list.
    pub producers: Option<BTreeSet<String>>,
    /// What is said of the sender where the telemetry says nothing.
    pub sender: Sender,
}

/// A post.
#[derive(Debug, PartialEq)]
pub(super) struct Post<'a> {
    pub(super) origin: Origin,
    pub(super) signal: Signal,
    pub(super) encoding: Encoding,
    pub(super) received_at: Timestamp,
    pub(super) body: &'a [u8],
}

/// The line before the body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: Option<Agent>,
    json: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<BTreeSet<String>>,
    logs: bool,
    producer: ExternalId,
    #[serde(skip_serializing_if = "Option::is_none")]
    producers: Option<BTreeSet<String>>,
    received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<Session>,
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
}

impl<'a> Post<'a> {
    /// The post as it stands in the journal.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, canon::NotCanonical> {
        let Origin { token, kinds, producers, sender } = self.origin.clone();
        let line = Line {
            agent: sender.agent,
            json: self.encoding == Encoding::Json,
            kinds,
            logs: self.signal == Signal::Logs,
            producer: sender.producer,
            producers,
            received_at: self.received_at,
            session: sender.session,
            token,
            user: sender.user,
        };
        let mut bytes = canon::sorted_to_bytes(&line)?;
        bytes.reserve_exact(1 + self.body.len());
        bytes.push(b'\n');
        bytes.extend_from_slice(self.body);
        Ok(bytes)
    }

    /// Reads a post of the journal.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (line, body) = bytes.split_at_checked(end)?;
        let line: Line = serde_json::from_slice(line).ok()?;
        let sender = Sender {
            producer: line.producer,
            user: line.user,
            session: line.session,
            agent: line.agent,
        };
        Some(Self {
            origin: Origin {
                token: line.token,
                kinds: line.kinds,
                producers: line.producers,
                sender,
            },
            signal: if line.logs { Signal::Logs } else { Signal::Traces },
            encoding: if line.json { Encoding::Json } else { Encoding::Protobuf },
            received_at: line.received_at,
            body: body.get(1..)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::identity::UserType;

    #[test]
    fn a_post_is_read_from_the_journal_as_it_was_written() {
        let user = User {
            id: "alice@example.com\n".into(),
            issuer: None,
            owner: None,
            pseudonym: None,
            subject: None,
            trigger: None,
            r#type: UserType::Human,
        };
        let sender =
            Sender { producer: "billing".into(), user: Some(user), session: None, agent: None };
        let producers = Some(BTreeSet::from(["billing".to_owned()]));
        let origin = Origin { token: "t1".to_owned(), kinds: None, producers, sender };
        for body in [&b""[..], b"\n", b"a\nb"] {
            let post = Post {
                origin: origin.clone(),
                signal: Signal::Logs,
                encoding: Encoding::Json,
                received_at: Timestamp::EPOCH,
                body,
            };
            let bytes = post.to_bytes().unwrap();
            assert_eq!(Post::parse(&bytes).unwrap(), post);
        }
        assert_eq!(Post::parse(b"{}\n"), None);
        assert_eq!(Post::parse(b""), None);
    }
}
