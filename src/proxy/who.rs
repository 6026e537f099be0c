//! Who is accountable for what passes, in which session, and which agent acts.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use crate::canon::digest::sha256;
use crate::capture::otlp::Attributes;
use crate::record::{Draft, Event};

/// Who is accountable, in which session, and which agent acts, as the one who runs the proxy says. What
/// a peer says of itself is no identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The accountable user's id.
    pub user: Option<String>,
    /// What the user is: `human`, `organization` or `service`.
    pub user_type: Option<String>,
    /// The session.
    pub session: Option<String>,
    /// The agent's id.
    pub agent: Option<String>,
    /// The grant under which the agent acts.
    pub delegation: Option<String>,
}

impl Who {
    /// The same, where this says nothing. What is said of one user is not true of another: not the type,
    /// not the grant, and not the session. Where this names a user and no session, it has one for that
    /// user alone.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let another = self.user.as_ref().filter(|user| other.user.as_ref() != Some(user));
        let session = other.session.as_ref().map(|session| match another {
            Some(user) => session_of(session, user),
            None => session.clone(),
        });
        let delegation = other.delegation.clone().filter(|_| another.is_none());
        let user_type = if self.user.is_some() { self.user_type } else { other.user_type.clone() };
        Self {
            user: self.user.or_else(|| other.user.clone()),
            user_type,
            session: self.session.or(session),
            agent: self.agent.or_else(|| other.agent.clone()),
            delegation: self.delegation.or(delegation),
        }
    }

    /// Why the log would refuse what is recorded of this user, session and agent, if it would: it is too
    /// late to learn that when it has happened.
    pub fn fault(&self, observed_by: &str) -> Option<String> {
        if self.user.is_none() {
            return Some("nobody is accountable for what passes: there is no user.".to_owned());
        }
        if self.agent.is_none() {
            return Some("nobody is said to act: there is no agent.".to_owned());
        }
        let session = Some(self.session.clone().unwrap_or_else(|| "-".to_owned()));
        let mut record = Self { session, ..self.clone() }.members();
        let rest = json!({
            "kind": "tool_invocation",
            "occurred_at": "2026-01-01T00:00:00Z",
            "source": { "observed_by": observed_by, "producer": "whence" },
            "data": { "tool": "any" },
            "content": { "arguments": {} },
        });
        if let (Value::Object(record), Value::Object(rest)) = (&mut record, rest) {
            record.extend(rest);
        }
        let checked = Draft::parse(record.to_string().as_bytes()).and_then(Event::try_from);
        let invalid = checked.err()?;
        let error = invalid.errors.first()?;
        Some(format!("the log would refuse this: {}: {}.", error.pointer, error.message))
    }

    /// The attributes by which every span names it.
    pub(super) fn attributes(&self) -> Attributes {
        let members = [
            ("user.id", &self.user),
            ("user.type", &self.user_type),
            ("session.id", &self.session),
            ("gen_ai.agent.id", &self.agent),
            ("gen_ai.agent.name", &self.agent),
            ("whence.delegation", &self.delegation),
        ];
        let given = members.into_iter().filter_map(|(name, value)| {
            value.as_ref().map(|value| (name.to_owned(), json!(value)))
        });
        given.collect()
    }

    /// The members of a record that name it.
    pub(super) fn members(&self) -> Value {
        let mut record = json!({
            "user": { "id": self.user, "type": self.user_type.as_deref().unwrap_or("human") },
            "session": { "id": self.session },
            "agent": { "id": self.agent },
        });
        if let (Some(delegation), Some(record)) = (&self.delegation, record.as_object_mut()) {
            record.insert("delegation".to_owned(), json!(delegation));
        }
        record
    }
}

/// The session of one user within another session, whose user nobody knows or is somebody else.
fn session_of(session: &str, user: &str) -> String {
    let digest = HEXLOWER.encode(&sha256(&[user.as_bytes()]));
    format!("{session}.{}", digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(user: Option<&str>) -> Who {
        Who { user: user.map(str::to_owned), ..Who::default() }
    }

    #[test]
    fn what_is_said_of_one_user_is_not_said_of_another() {
        let run = Who {
            user_type: Some("service".to_owned()),
            session: Some("run".to_owned()),
            agent: Some("helper".to_owned()),
            delegation: Some("grant-1".to_owned()),
            ..who(Some("alice"))
        };
        assert_eq!(who(None).or(&run), run);
        let alice = who(Some("alice")).or(&run);
        assert_eq!(
            (alice.session, alice.delegation),
            (run.session.clone(), run.delegation.clone())
        );
        let bob = who(Some("bob")).or(&run);
        assert_eq!((bob.user_type, bob.delegation), (None, None));
        let session = bob.session.unwrap();
        assert!(session.starts_with("run.") && session.len() == 20, "{session}");
        assert_eq!(who(Some("bob")).or(&run).session.as_ref(), Some(&session), "the same again");
        assert_ne!(who(Some("carol")).or(&run).session, Some(session));
        let named = Who { session: Some("s-1".to_owned()), ..who(Some("bob")) };
        assert_eq!(named.or(&run).session.as_deref(), Some("s-1"));
    }
}
