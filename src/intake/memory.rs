//! What the ledger has of the sessions that telemetry belongs to, as far as it fits into memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::canon::Json;
use crate::capture::otlp::Known;
use crate::ledger::{Error, Receipt, StoredPart, View};
use crate::record::cause::Cause;
use crate::record::{Draft, Entry, Session};

/// Sessions that are known at a time.
const SESSIONS_MAX: usize = 4_096;
/// Bytes of content of all of them.
const BYTES_MAX: usize = 64 * 1024 * 1024;
/// Records of one session that are noted: the newest.
const RECORDS_MAX: usize = 10_000;
/// Places of a session that are read at a time.
const PAGE: usize = 1_000;

/// See the room.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) known: Known,
    sessions: BTreeMap<String, Noted>,
    bytes: usize,
    uses: u64,
}

/// How far a session was noted.
#[derive(Debug, Default)]
struct Noted {
    /// Everything below this seq was.
    next: u64,
    /// Records from there on that were noted when they were made.
    own: BTreeSet<u64>,
    bytes: usize,
    used: u64,
}

impl Memory {
    /// Notes what the ledger has of a session, as far as that was not done.
    pub(super) fn learn(&mut self, view: &View, session: &str) -> Result<(), Error> {
        self.uses += 1;
        if !self.sessions.contains_key(session) {
            self.make_room();
            self.known.begin(session);
        }
        let noted = self.sessions.entry(session.to_owned()).or_default();
        noted.used = self.uses;
        let (mut from, mut seqs) = (noted.next, VecDeque::new());
        loop {
            let page = view.session(session, from, PAGE)?;
            let Some(last) = page.last() else { break };
            from = last + 1;
            let more = page.len() == PAGE;
            seqs.extend(page);
            seqs.drain(..seqs.len().saturating_sub(RECORDS_MAX));
            if !more {
                break;
            }
        }
        for seq in seqs {
            if noted.own.contains(&seq) {
                continue;
            }
            let Some(bytes) = view.entry(seq)? else { continue };
            let Ok(entry) = Entry::read_back(&bytes) else { continue };
            let content = view.content(seq)?;
            let length = content_length(&content) + bytes.len();
            noted.bytes += length;
            self.bytes += length;
            self.known.note(&draft(&entry, content));
        }
        noted.next = view.size();
        noted.own.clear();
        Ok(())
    }

    /// Notes that a record of the known sessions was written: whoever made it noted it itself.
    pub(super) fn written(&mut self, draft: &Draft, receipt: &Receipt) {
        let session = draft.session.as_ref().map(|session| session.id.as_str());
        let Some(noted) = session.and_then(|id| self.sessions.get_mut(id)) else { return };
        if receipt.seq >= noted.next {
            noted.own.insert(receipt.seq);
        }
        let length = draft.content.values().filter_map(|json| json.to_bytes().ok());
        let length = length.map(|bytes| bytes.len()).sum::<usize>() + 1_024;
        noted.bytes += length;
        self.bytes += length;
    }

    /// Forgets a session, which is noted again when it is needed.
    pub(super) fn forget(&mut self, session: &str) {
        self.known.forget(session);
        if let Some(noted) = self.sessions.remove(session) {
            self.bytes = self.bytes.saturating_sub(noted.bytes);
        }
    }

    /// Forgets what was not used for the longest time, if there is too much.
    fn make_room(&mut self) {
        if self.sessions.len() < SESSIONS_MAX && self.bytes < BYTES_MAX {
            return;
        }
        let mut oldest: Vec<_> =
            self.sessions.iter().map(|(id, noted)| (noted.used, id.clone())).collect();
        oldest.sort_unstable();
        for (_, id) in oldest {
            if self.sessions.len() <= SESSIONS_MAX * 3 / 4 && self.bytes <= BYTES_MAX * 3 / 4 {
                break;
            }
            self.forget(&id);
        }
    }
}

fn content_length(content: &[StoredPart]) -> usize {
    let lengths = content.iter().map(|part| match part {
        StoredPart::Kept { bytes, .. } => bytes.len(),
        StoredPart::Erased => 0,
    });
    lengths.sum()
}

/// The record that was posted, without the content that was erased.
fn draft(entry: &Entry<'_>, content: Vec<StoredPart>) -> Draft {
    let content = entry.content.iter().zip(content).filter_map(|(commitment, part)| match part {
        StoredPart::Kept { bytes, .. } => {
            let value = serde_json::from_slice(&bytes).ok()?;
            Some((commitment.name.to_string(), Json::from_value(value)))
        }
        StoredPart::Erased => None,
    });
    let causes = entry.causes.iter();
    let causes = causes.map(|cause| Cause { id: cause.id.clone().into_owned(), rel: cause.rel });
    Draft {
        agent: entry.agent.as_deref().cloned(),
        causes: causes.collect(),
        content: content.collect(),
        delegation: entry.delegation.as_deref().cloned(),
        id: Some(entry.id.clone().into_owned()),
        labels: entry.labels.clone().into_owned(),
        session: entry.session.as_ref().map(|session| Session {
            id: session.id.clone().into_owned(),
            login_session_id: session.login_session_id.as_deref().cloned(),
            turn_id: session.turn_id.as_deref().cloned(),
        }),
        signature: entry.signature.as_deref().cloned(),
        source: entry.source.as_deref().cloned(),
        trace: entry.trace.as_deref().cloned(),
        user: entry.user.as_deref().cloned(),
        ..Draft::new(entry.data.clone().into_owned(), entry.occurred_at)
    }
}
