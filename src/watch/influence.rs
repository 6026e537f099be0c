//! Whether untrusted content stands behind an action, and whether it says what the action is aimed at.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each detection looks at a few kinds of records, and passes over all others, new ones too"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::detections::SOURCES_MAX;
use super::targets::{normalised, targets, text_of};
use crate::canon::lookup_key;
use crate::record::data::{Effect, Trust};
use crate::record::{Data, Entry, RecordId, Rel};
use crate::store::{Error, Reader, StoredPart};

/// Records whose sources are known at a time: the newest.
const RECORDS_MAX: usize = 20_000;

/// Where earlier records are read again.
pub(super) trait Log {
    /// The bytes of the entry at `seq`.
    fn entry(&self, seq: u64) -> Result<Option<Arc<[u8]>>, Error>;
    /// The content of the record at `seq`, in the order in which its entry names it.
    fn content(&self, seq: u64) -> Result<Vec<StoredPart>, Error>;
}

impl Log for Reader {
    fn entry(&self, seq: u64) -> Result<Option<Arc<[u8]>>, Error> {
        self.entry(seq)
    }

    fn content(&self, seq: u64) -> Result<Vec<StoredPart>, Error> {
        self.content(seq)
    }
}

/// The untrusted content that stands behind each record, within its session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lineage(BTreeMap<u64, Behind>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Behind {
    /// Which session it is, as good as that needs to be told.
    session: u64,
    /// The seqs of the records with untrusted content, the record itself among them if it is one.
    sources: BTreeSet<u64>,
    /// Whether the record was found to be influenced.
    found: bool,
}

impl Lineage {
    /// Takes a record, and says what stands behind it, without itself. Nothing, if what set it off was
    /// found to be influenced already.
    pub(super) fn fold(&mut self, entry: &Entry<'_>) -> BTreeSet<u64> {
        let Some(session) = &entry.session else { return BTreeSet::new() };
        let session = lookup_key(session.id.as_bytes());
        let mut sources = BTreeSet::new();
        let mut found = false;
        for cause in &entry.causes {
            if !matches!(cause.rel, Rel::TriggeredBy | Rel::InformedBy | Rel::Completes) {
                continue;
            }
            let Some(behind) = self.0.get(&cause.seq) else { continue };
            if behind.session == session {
                sources.extend(&behind.sources);
                found |= behind.found && cause.rel == Rel::TriggeredBy;
            }
        }
        let max = usize::try_from(SOURCES_MAX).unwrap_or(usize::MAX);
        while sources.len() > max {
            sources.pop_first();
        }
        let behind = sources.clone();
        if is_untrusted(&entry.data) {
            sources.insert(entry.seq);
        }
        if !sources.is_empty() {
            self.0.insert(entry.seq, Behind { session, sources, found: false });
            if self.0.len() > RECORDS_MAX {
                self.0.pop_first();
            }
        }
        if found { BTreeSet::new() } else { behind }
    }

    /// The record was found to be influenced.
    pub(super) fn found(&mut self, seq: u64) {
        if let Some(behind) = self.0.get_mut(&seq) {
            behind.found = true;
        }
    }
}

/// Whether a record brings content into a session that nobody vouches for.
fn is_untrusted(data: &Data) -> bool {
    match data {
        Data::Retrieval(retrieval) => retrieval.trust != Some(Trust::Internal),
        Data::Memory(memory) => !memory.op.is_write(),
        data => data.kind().is_untrusted_input(),
    }
}

/// Whether a record does something that somebody could have an interest in.
pub(super) fn is_action(data: &Data) -> bool {
    match data {
        Data::ToolInvocation(invocation) => {
            matches!(
                invocation.effect,
                Some(Effect::Write | Effect::Destructive | Effect::External)
            )
        }
        Data::ApiCall(call) => {
            let reading = ["GET", "HEAD", "OPTIONS"];
            !reading.iter().any(|method| call.method.eq_ignore_ascii_case(method))
        }
        _ => false,
    }
}

/// The source that names what the action is aimed at, if no prompt does. `None` too if any of the content
/// that it would take to tell is not there.
pub(super) fn influence(
    action: &Entry<'_>,
    behind: &BTreeSet<u64>,
    prompts: &BTreeSet<u64>,
    log: &dyn Log,
) -> Result<Option<RecordId>, Error> {
    let mut aims = BTreeSet::new();
    for (name, value) in content(action, log)?.unwrap_or_default() {
        // What an API answered is not what it was asked for.
        if !name.starts_with("response") {
            targets(&value, "", &mut aims);
        }
    }
    if aims.is_empty() || prompts.is_empty() {
        return Ok(None);
    }
    let mut task = String::new();
    for seq in prompts {
        let Some(bytes) = log.entry(*seq)? else { return Ok(None) };
        let Ok(prompt) = Entry::parse(&bytes) else { return Ok(None) };
        let Some(parts) = content(&prompt, log)? else { return Ok(None) };
        for (_, value) in &parts {
            text_of(value, &mut task);
        }
    }
    let user = action.user.as_ref().map_or("", |user| &user.id);
    aims.retain(|aim| !aim.is_named(&task, user));
    if aims.is_empty() {
        return Ok(None);
    }
    for seq in behind.iter().rev() {
        let Some(bytes) = log.entry(*seq)? else { continue };
        let Ok(source) = Entry::parse(&bytes) else { continue };
        let mut text = String::new();
        for (name, value) in content(&source, log)?.unwrap_or_default() {
            // The agent's own words.
            if name != "query" {
                text_of(&value, &mut text);
            }
        }
        if let Data::Retrieval(retrieval) = &*source.data {
            retrieval
                .documents
                .iter()
                .for_each(|document| text.push_str(&normalised(&document.id)));
        }
        if aims.iter().any(|aim| aim.is_in(&text)) {
            return Ok(Some(source.id.into_owned()));
        }
    }
    Ok(None)
}

/// The content of a record, by name. `None` if some of it is not there.
fn content(entry: &Entry<'_>, log: &dyn Log) -> Result<Option<Vec<(String, Value)>>, Error> {
    if entry.content.is_empty() {
        return Ok(None);
    }
    let stored = log.content(entry.seq)?;
    if stored.len() != entry.content.len() {
        return Ok(None);
    }
    let parts = entry.content.iter().zip(stored).map(|(part, stored)| match stored {
        StoredPart::Kept { bytes, .. } => {
            serde_json::from_slice(&bytes).ok().map(|value| (part.name.to_string(), value))
        }
        StoredPart::Erased => None,
    });
    Ok(parts.collect())
}
