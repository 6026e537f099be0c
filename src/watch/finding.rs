//! A finding: what is to be sealed, and about which record.

use serde::{Deserialize, Serialize};

use super::detections::Raises;
use super::{Millis, timestamp};
use crate::record::cause::Cause;
use crate::record::data::{CaptureGap, FlagRaised, Gap};
use crate::record::draft::Causes;
use crate::record::text::Members;
use crate::record::{Data, Draft, Entry, Flag, RecordId, Rel, Session, User};

/// What a finding takes over of the record that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) id: RecordId,
    pub(super) seq: u64,
    pub(super) session: Option<Session>,
    pub(super) user: Option<User>,
}

impl About {
    pub(super) fn of(entry: &Entry<'_>) -> Self {
        let session = entry.session.as_ref().map(|session| Session {
            id: session.id.clone().into_owned(),
            login_session_id: session.login_session_id.as_deref().cloned(),
            turn_id: session.turn_id.as_deref().cloned(),
        });
        let (id, user) = (entry.id.clone().into_owned(), entry.user.as_deref().cloned());
        Self { id, seq: entry.seq, session, user }
    }
}

/// What was found. Its id follows from what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The id of the record that it becomes.
    pub(super) id: String,
    pub(super) raises: Raises,
    data: Data,
    about: About,
    /// Whether it is about a record of a session, and stands in that session.
    in_session: bool,
    labels: Members<String>,
    at: Millis,
}

impl Finding {
    /// A record should not have been as it is.
    pub(super) fn flag(code: Flag, about: About, at: Millis) -> Self {
        let data = FlagRaised {
            code,
            detection_id: Some(code.as_str().into()),
            severity: code.severity(),
        };
        Self {
            id: format!("flag.{code}.{}", about.seq),
            raises: Raises::Flag(code),
            data: data.into(),
            about,
            in_session: true,
            labels: Members::default(),
            at,
        }
    }

    /// Something is missing that belongs to a record. `what` tells it from other gaps of its kind.
    pub(super) fn gap(data: CaptureGap, about: About, what: &str, at: Millis) -> Self {
        let gap = data.gap;
        let in_session = match gap {
            Gap::RequestedNotCompleted | Gap::SessionUnterminated => true,
            Gap::ProducerSeqMissing | Gap::Late | Gap::TraceIncomplete | Gap::HeartbeatMissed => {
                false
            }
        };
        Self {
            id: format!("gap.{what}"),
            raises: Raises::Gap(gap),
            data: data.into(),
            about,
            in_session,
            labels: Members::default(),
            at,
        }
    }

    /// The same, with a label.
    pub(super) fn labelled(mut self, name: &str, value: &str) -> Self {
        self.labels = std::iter::once((name.to_owned(), value.to_owned())).collect();
        self
    }

    /// The record that it becomes, under its own id or another one.
    pub(super) fn draft(&self, id: &str) -> Draft {
        let about = Cause { id: self.about.id.clone(), rel: Rel::About };
        let in_session = self.in_session.then_some(&self.about);
        Draft {
            causes: Causes::from(vec![about]),
            id: id.parse().ok(),
            labels: self.labels.clone(),
            session: in_session.and_then(|about| about.session.clone()),
            user: in_session.and_then(|about| about.user.clone()),
            ..Draft::new(self.data.clone(), timestamp(self.at))
        }
    }
}

/// Data of a gap of which nothing is known but what it is.
pub(super) const fn gap_data(gap: Gap) -> CaptureGap {
    CaptureGap { count: None, first: None, gap, last: None, producer: None, since: None }
}
