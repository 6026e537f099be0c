//! Who is accountable for what passes, in which session, and which agent acts.

use serde_json::{Value, json};

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
    /// The same, where this says nothing.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        // Whose type it is matters: that of another user says nothing of this one.
        let user_type = if self.user.is_some() { self.user_type } else { other.user_type.clone() };
        Self {
            user: self.user.or_else(|| other.user.clone()),
            user_type,
            session: self.session.or_else(|| other.session.clone()),
            agent: self.agent.or_else(|| other.agent.clone()),
            delegation: self.delegation.or_else(|| other.delegation.clone()),
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
