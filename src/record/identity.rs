//! Identities: who is accountable, in which session, and which agent acted (SPEC 2.4).

use super::text::{Digest, ExternalId, Name};

names! {
    /// What the accountable user is.
    UserType {
        /// A person.
        Human = "human",
        /// An organization that acts as such.
        Organization = "organization",
        /// A service; it needs a trigger or an owner.
        Service = "service",
    }
}

names! {
    /// What set an autonomous run off.
    TriggerType {
        Schedule = "schedule",
        Webhook = "webhook",
        Event = "event",
    }
}

object! {
    /// The accountable requester: never the agent.
    User {
        /// The user's id at the issuer.
        id: ExternalId,
        /// Who vouches for the id: the identity provider's name or URL.
        issuer: Option<ExternalId>,
        /// Who answers for an autonomous run.
        owner: Option<ExternalId>,
        /// A stable name that does not identify the user outside the issuer.
        pseudonym: Option<ExternalId>,
        /// The subject claim of the user's token, where it differs from the id.
        subject: Option<ExternalId>,
        /// What set an autonomous run off.
        trigger: Option<Trigger>,
        /// What the user is.
        r#type: UserType,
    }
}

object! {
    /// What set an autonomous run off.
    Trigger {
        /// The schedule, the webhook or the event, by a name that can be looked up.
        r#ref: ExternalId,
        /// Which of them.
        r#type: TriggerType,
    }
}

object! {
    /// The session that the record belongs to.
    Session {
        /// The session's id, chosen by the agent's runtime: neither `.` nor `..`, which no URL can
        /// hold.
        #[schemars(extend("not" = { "enum": [".", ".."] }))]
        id: ExternalId,
        /// The identity provider's session (`sid`).
        login_session_id: Option<ExternalId>,
        /// The turn of the conversation.
        turn_id: Option<ExternalId>,
    }
}

object! {
    /// The agent that acted.
    Agent {
        /// A digest of the agent's charter: its standing instructions.
        charter_digest: Option<Digest>,
        /// The agent's lasting id.
        id: ExternalId,
        /// The running copy of it.
        instance_id: Option<ExternalId>,
        /// A name for people.
        name: Option<Name>,
        /// Who runs the agent.
        operator: Option<ExternalId>,
        /// The agent's version.
        version: Option<Name>,
    }
}
