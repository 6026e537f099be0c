//! Data of failures, remarks and application events.

use crate::record::cause::Rel;
use crate::record::text::{Any, ExternalId, Line, Name, OneOrMore};

use super::tool::Crud;

object! {
    /// Data of `error`. What failed is a cause `about`; the message is content.
    ErrorReport {
        /// The kind of error.
        error_type: Name,
    }
}

object! {
    /// Data of `correction`. What is wrong is a cause `corrects`; what is right is content.
    Correction {
        /// The members that were wrong, as RFC 6901 pointers.
        #[serde(default)]
        pointers: Any<Line>,
    }
}

object! {
    /// Data of `annotation`. What it is on is a cause `about`; the remark is content.
    Annotation {
        /// The relation that the record it is about has to this annotation's `informed_by` causes,
        /// where that came to be known later.
        adds_cause: Option<Rel>,
        /// A word to find it by.
        topic: Option<Name>,
    }
}

object! {
    /// Data of `case_note`. What it is on is a cause `about`; the note is content.
    CaseNote {
        /// The investigation.
        case_id: ExternalId,
    }
}

object! {
    /// Who acted, in an application event.
    Actor {
        /// Their id.
        id: ExternalId,
        /// A name for people.
        name: Option<Name>,
        /// What they are.
        r#type: Name,
    }
}

object! {
    /// What was acted on, in an application event.
    Target {
        /// Its id.
        id: ExternalId,
        /// A name for people.
        name: Option<Name>,
        /// What it is.
        r#type: Name,
    }
}

object! {
    /// Where an application event came from.
    Context {
        /// The actor's network address or place.
        location: Name,
        /// The actor's program.
        user_agent: Option<Line>,
    }
}

object! {
    /// Data of `app_event`: an event of an audit log of the usual shape.
    AppEvent {
        /// What was done, such as `user.signed_in`.
        action: Name,
        /// Who did it.
        actor: Actor,
        /// Where it came from.
        context: Option<Context>,
        /// What it did to the targets.
        crud: Option<Crud>,
        /// Whether it failed.
        is_failure: Option<bool>,
        /// What it was done to.
        targets: OneOrMore<Target>,
        /// The version of the event's schema.
        version: Option<u64>,
    }
}

object! {
    /// Data of `heartbeat`. A producer that sends one says that it will send the next one in time.
    Heartbeat {
        /// How long until the next one, in milliseconds.
        interval_ms: u64,
        /// The last number of the producer's own count that it has given out.
        last_seq: Option<u64>,
    }
}
