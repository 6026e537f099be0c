//! What the log has of the sessions that telemetry belongs to.

use std::collections::BTreeMap;

use crate::record::Draft;

/// What is known of sessions: a fold over their records, in the order of the log. It decides which
/// messages of a repeated history are new, and which record a tool call already has.
#[derive(Clone, Debug, Default)]
pub struct Known {
    sessions: BTreeMap<String, Vec<Draft>>,
}

impl Known {
    /// Whether the session's records were noted.
    pub fn has(&self, session: &str) -> bool {
        self.sessions.contains_key(session)
    }

    /// Begins a session of which the log has nothing yet, or whose records are noted next.
    pub fn begin(&mut self, session: &str) {
        self.sessions.entry(session.to_owned()).or_default();
    }

    /// Notes a record of the log, with its id and with its content unless that was erased.
    pub fn note(&mut self, record: &Draft) {
        if let Some(session) = &record.session {
            self.sessions.entry(session.id.to_string()).or_default().push(record.clone());
        }
    }

    /// Forgets a session, to be noted again when it is needed.
    pub fn forget(&mut self, session: &str) {
        self.sessions.remove(session);
    }
}
