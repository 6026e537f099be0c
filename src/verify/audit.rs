//! The audit: every check of SPEC 8, in its order.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::examine::{self, Examined, ExaminedEntry};
use super::finding::{Code, Findings};
use super::link::Linker;
use super::source::{Meta, Source, SourceError};
use super::tree::{Audited, TreeAudit};
use crate::canon::{EntryHash, TreeHash, lookup_key};
use crate::proof::{TILE_WIDTH, TilePath, tile_width};
use crate::seal::{Checkpoint, UnverifiedCheckpoint, VerifierKey};

/// Bundles that are examined at once: some 16,000 entries are in memory at a time.
const BUNDLES_AT_ONCE: u64 = 64;

/// The check could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Bytes could not be had.
    #[error("the log cannot be read")]
    Source(#[source] SourceError),
    /// No key was given, and the log names none that can be used.
    #[error("no key was given, and the log's first entry names none: give the log's verifier key")]
    NoKey,
    /// What the files say they are of makes no sense.
    #[error("the log's description is not usable: {0}")]
    Meta(&'static str),
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Source(error)
    }
}

/// A receipt that somebody holds, as far as it claims something about the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ReceiptClaim {
    /// The record's id.
    pub id: String,
    /// Its place.
    pub seq: u64,
    /// The hash of its entry.
    pub entry_hash: EntryHash,
    /// The hash of its leaf.
    pub leaf_hash: TreeHash,
    /// The signed checkpoint that covers it.
    pub checkpoint: String,
}

/// What the auditor brings along.
#[derive(Default)]
pub struct Options<'a> {
    /// The log's keys. Without any, the key in the log's first entry is taken, which shows that the
    /// log is whole but not whose it is.
    pub keys: Vec<VerifierKey>,
    /// Signed checkpoints that were kept from earlier.
    pub known: Vec<Vec<u8>>,
    /// Receipts that were kept.
    pub receipts: Vec<ReceiptClaim>,
    /// Called with the number of entries checked so far.
    pub progress: Option<&'a dyn Fn(u64)>,
}

/// What an audit found, and how far it reached.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The log's origin.
    pub origin: String,
    /// The key that its checkpoints were checked with.
    pub key: String,
    /// Whether the auditor brought the key.
    pub key_is_given: bool,
    /// The number of entries of the log.
    pub size: u64,
    /// The root over them.
    pub root: TreeHash,
    /// The first entry that was there.
    pub from: u64,
    /// One past the last entry that was there.
    pub to: u64,
    /// The entries that were checked.
    pub entries: u64,
    /// The parts of content whose digests were recomputed.
    pub contents: u64,
    /// The parts of content that are withheld or erased.
    pub contents_absent: u64,
    /// The checkpoints whose signatures and roots were checked.
    pub checkpoints: u64,
    /// The sessions whose chains were checked.
    pub sessions: u64,
    /// What is wrong. Nothing, if the log is what was signed.
    pub findings: Findings,
}

/// Checks everything that is there. No findings means: this is the log that its key signed.
pub fn verify(source: &dyn Source, options: &Options<'_>) -> Result<Report, Error> {
    let meta = source.meta()?;
    let whole_bundles = meta.from.is_multiple_of(TILE_WIDTH)
        && (meta.to.is_multiple_of(TILE_WIDTH) || meta.to == meta.size);
    if meta.from > meta.to || meta.to > meta.size || !whole_bundles {
        return Err(Error::Meta("its range is not one of whole bundles within it"));
    }
    let mut findings = Findings::default();
    let (keys, key_is_given) = keys(source, &meta, options)?;
    let notes = Notes::read(source, &meta, &keys, options, &mut findings)?;
    let sizes: Vec<u64> = notes.signed.values().map(Checkpoint::size).collect();

    let mut walk = Walk::new(source, &meta, &sizes);
    walk.run(options.progress, &mut findings)?;
    let Walk { by_entries, by_tiles, linker, suspects, counts, .. } = walk;
    let (by_entries, by_tiles) = (by_entries.finish()?, by_tiles.finish()?);

    // The signed root tells whether the entries or the tiles were changed.
    let signed = notes.signed.get(&Notes::NEWEST).map(Checkpoint::root);
    let tiles_are_right =
        signed.is_some_and(|root| root == by_tiles.root && root != by_entries.root);
    for (seq, tile) in suspects {
        if tiles_are_right || by_tiles.root == by_entries.root {
            let message = "the entry is not the one that was signed".to_owned();
            findings.push(seq, Code::EntryChanged, message);
        } else {
            let message =
                format!("{tile} holds another leaf hash for seq {seq} than the entry has");
            findings.push(None, Code::TileWrong, message);
        }
    }
    let tree = if tiles_are_right { by_tiles } else { by_entries };
    tree.findings.iter().cloned().for_each(|finding| findings.add(finding));
    notes.compare(&tree, &mut findings);
    receipts(options, &keys, &linker, &notes, &mut findings);

    Ok(Report {
        origin: meta.origin,
        key: keys.first().map_or_else(String::new, ToString::to_string),
        key_is_given,
        size: tree.size,
        root: tree.root,
        from: meta.from,
        to: meta.to,
        entries: counts.entries,
        contents: counts.contents,
        contents_absent: counts.contents_absent,
        checkpoints: u64::try_from(notes.signed.len()).unwrap_or(u64::MAX),
        sessions: u64::try_from(linker.sessions()).unwrap_or(u64::MAX),
        findings,
    })
}

/// The keys that the auditor brought, or else the one that the first entry names.
fn keys(
    source: &dyn Source,
    meta: &Meta,
    options: &Options<'_>,
) -> Result<(Vec<VerifierKey>, bool), Error> {
    if !options.keys.is_empty() {
        return Ok((options.keys.clone(), true));
    }
    let width = tile_width(meta.size, 0, 0).ok_or(Error::NoKey)?;
    let first = examine::bundle(source, meta, 0, width)?;
    let links = first.entries.into_iter().next().and_then(|entry| entry.links);
    let (_, key) = links.and_then(|links| links.genesis).ok_or(Error::NoKey)?;
    Ok((vec![key.parse().map_err(|_| Error::NoKey)?], false))
}

/// The checkpoints of the log, and those that the auditor kept.
struct Notes {
    /// Verified checkpoints, by where they come from.
    signed: BTreeMap<Origin, Checkpoint>,
}

/// Where a checkpoint comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Newest,
    Batch(usize),
    Known(usize),
    Receipt(usize),
}

impl Notes {
    const NEWEST: Origin = Origin::Newest;

    /// Reads all checkpoints, and checks their signatures in parallel.
    fn read(
        source: &dyn Source,
        meta: &Meta,
        keys: &[VerifierKey],
        options: &Options<'_>,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let batches = source.checkpoints()?.into_iter().enumerate();
        let known = options.known.iter().cloned().enumerate();
        let receipts = options.receipts.iter().map(|claim| claim.checkpoint.clone().into_bytes());
        let mut notes = vec![(Self::NEWEST, source.checkpoint()?)];
        notes.extend(batches.map(|(place, note)| (Origin::Batch(place), note)));
        notes.extend(known.map(|(place, note)| (Origin::Known(place), note)));
        notes.extend(receipts.enumerate().map(|(place, note)| (Origin::Receipt(place), note)));

        let checked: Vec<_> = notes
            .par_iter()
            .map(|(origin, note)| (*origin, check_note(note, meta, keys)))
            .collect();
        let mut signed = BTreeMap::new();
        for (origin, outcome) in checked {
            match outcome {
                Ok(checkpoint) => drop(signed.insert(origin, checkpoint)),
                Err((code, why)) => {
                    findings.push(None, code, format!("{}: {why}", origin.describe()));
                }
            }
        }
        let notes = Self { signed };
        notes.order(meta, findings);
        Ok(notes)
    }

    /// The sizes of the batches grow, and end with that of the newest checkpoint.
    fn order(&self, meta: &Meta, findings: &mut Findings) {
        let newest = self.signed.get(&Self::NEWEST);
        if newest.is_some_and(|newest| newest.size() != meta.size) {
            let message = "the newest checkpoint is of another size than the log".to_owned();
            findings.push(None, Code::RootWrong, message);
        }
        let batches = || {
            let batches = self.signed.iter();
            batches.filter(|(origin, _)| matches!(origin, Origin::Batch(_))).map(|(_, note)| note)
        };
        for (before, after) in batches().zip(batches().skip(1)) {
            if before.size() >= after.size() {
                let message = format!(
                    "the checkpoint of size {} is followed by one of size {}",
                    before.size(),
                    after.size()
                );
                findings.push(None, Code::CheckpointMissing, message);
            }
        }
        if batches().next_back().is_none_or(|last| Some(last) != newest) {
            let message = "the checkpoints do not end with the newest one".to_owned();
            findings.push(None, Code::CheckpointMissing, message);
        }
    }

    /// Compares every checkpoint with the root that the tree has at its size.
    fn compare(&self, tree: &Audited, findings: &mut Findings) {
        let mut wrong_batches = 0u64;
        for (origin, checkpoint) in &self.signed {
            let root = match checkpoint.size() {
                0 => Some(TreeHash::empty()),
                size => tree.roots.get(&size).copied().flatten(),
            };
            if root == Some(checkpoint.root()) {
                continue;
            }
            let size = checkpoint.size();
            let message = if root.is_some() {
                format!("{} of size {size} has another root than the entries", origin.describe())
            } else {
                format!("{} is of size {size}, and the log is shorter", origin.describe())
            };
            match origin {
                Origin::Batch(_) if wrong_batches > 0 => wrong_batches += 1,
                Origin::Batch(_) => {
                    wrong_batches += 1;
                    findings.push(None, Code::RootWrong, message);
                }
                Origin::Newest => findings.push(None, Code::RootWrong, message),
                Origin::Known(_) => findings.push(None, Code::KnownCheckpointWrong, message),
                Origin::Receipt(_) => findings.push(None, Code::ReceiptWrong, message),
            }
        }
        if wrong_batches > 1 {
            let message = format!("{} later checkpoints have other roots too", wrong_batches - 1);
            findings.push(None, Code::RootWrong, message);
        }
    }
}

impl Origin {
    fn describe(self) -> String {
        match self {
            Self::Newest => "the newest checkpoint".to_owned(),
            Self::Batch(place) => format!("the checkpoint of batch {place}"),
            Self::Known(_) => "a checkpoint that was kept".to_owned(),
            Self::Receipt(place) => format!("the checkpoint of receipt {place}"),
        }
    }
}

fn check_note(
    note: &[u8],
    meta: &Meta,
    keys: &[VerifierKey],
) -> Result<Checkpoint, (Code, String)> {
    let note = UnverifiedCheckpoint::parse(note)
        .map_err(|error| (Code::CheckpointMalformed, error.to_string()))?;
    if note.claim().origin().as_str() != meta.origin {
        return Err((Code::CheckpointMalformed, "it is of another log".to_owned()));
    }
    let signed = note.verify(keys).map_err(|error| (Code::SignatureWrong, error.to_string()))?;
    Ok(signed.checkpoint().clone())
}

/// How much was checked.
#[derive(Default)]
struct Counts {
    entries: u64,
    contents: u64,
    contents_absent: u64,
}

/// One pass over all entries.
struct Walk<'a> {
    source: &'a dyn Source,
    meta: &'a Meta,
    by_entries: TreeAudit<'a>,
    by_tiles: TreeAudit<'a>,
    linker: Linker,
    /// Entries whose leaf hash differs from the one in their tile.
    suspects: Vec<(u64, TilePath)>,
    counts: Counts,
}

/// A bundle that was examined, and the leaf hashes that its tile holds.
struct Part {
    index: u64,
    width: u16,
    examined: Examined,
    tile: Option<Vec<u8>>,
}

impl<'a> Walk<'a> {
    fn new(source: &'a dyn Source, meta: &'a Meta, sizes: &[u64]) -> Self {
        Self {
            source,
            meta,
            by_entries: TreeAudit::new(source, sizes),
            by_tiles: TreeAudit::new(source, sizes),
            linker: Linker::new(meta),
            suspects: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn run(
        &mut self,
        progress: Option<&dyn Fn(u64)>,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let bundles = self.meta.size.div_ceil(TILE_WIDTH);
        for group in (0..bundles).step_by(usize::try_from(BUNDLES_AT_ONCE).unwrap_or(1)) {
            let indexes: Vec<u64> = (group..bundles.min(group + BUNDLES_AT_ONCE)).collect();
            let (source, meta) = (self.source, self.meta);
            let parts: Vec<_> =
                indexes.into_par_iter().map(|index| examine(source, meta, index)).collect();
            for part in parts {
                self.take(part?, findings)?;
            }
            if let Some(progress) = progress {
                progress(self.counts.entries);
            }
        }
        Ok(())
    }

    fn take(&mut self, part: Part, findings: &mut Findings) -> Result<(), Error> {
        let Part { index, width, examined, tile } = part;
        self.counts.contents += examined.contents;
        self.counts.contents_absent += examined.contents_absent;
        examined.findings.into_iter().for_each(|finding| findings.add(finding));

        let path = TilePath::Hash { level: 0, index, width };
        let (leaves, rest) = tile.as_deref().unwrap_or_default().as_chunks::<32>();
        if tile.is_none() {
            findings.push(None, Code::TileMissing, format!("{path} is not there"));
        } else if leaves.len() != usize::from(width) || !rest.is_empty() {
            findings.push(None, Code::TileWrong, format!("{path} has another length"));
        }
        let mut entries = examined.entries.into_iter();
        for (place, seq) in (index * TILE_WIDTH..).take(usize::from(width)).enumerate() {
            let stored = leaves.get(place).map(|leaf| TreeHash::from_bytes(*leaf));
            let entry =
                if (self.meta.from..self.meta.to).contains(&seq) { entries.next() } else { None };
            let leaf = entry.as_ref().map(|entry| entry.leaf);
            let (Some(by_entry), Some(by_tile)) = (leaf.or(stored), stored.or(leaf)) else {
                // Neither the entry nor its leaf hash is there, which was found already.
                continue;
            };
            self.by_entries.push(by_entry)?;
            self.by_tiles.push(by_tile)?;
            if by_entry != by_tile {
                self.suspects.push((seq, path));
            }
            if let Some(entry) = entry {
                self.genesis(seq, &entry, findings);
                self.linker.push(&entry, by_entry != by_tile, findings);
                self.counts.entries += 1;
            }
        }
        Ok(())
    }

    /// The first entry says what ledger this is.
    fn genesis(&self, seq: u64, entry: &ExaminedEntry, findings: &mut Findings) {
        let genesis = entry.links.as_ref().and_then(|links| links.genesis.as_ref());
        let right = match genesis {
            Some((origin, _)) => seq == 0 && *origin == self.meta.origin,
            None => seq > 0 || entry.links.is_none(),
        };
        if !right {
            let message = "a log begins with a genesis entry of its origin, and has no other";
            findings.push(seq, Code::GenesisWrong, message.to_owned());
        }
    }
}

fn examine(source: &dyn Source, meta: &Meta, index: u64) -> Result<Part, SourceError> {
    let width = tile_width(meta.size, 0, index).unwrap_or(0);
    let first = index * TILE_WIDTH;
    let there = first < meta.to && first + u64::from(width) > meta.from;
    let examined =
        if there { examine::bundle(source, meta, index, width)? } else { Examined::default() };
    let tile = source.read(TilePath::Hash { level: 0, index, width })?;
    Ok(Part { index, width, examined, tile })
}

/// Compares the receipts that the auditor holds with the log.
fn receipts(
    options: &Options<'_>,
    keys: &[VerifierKey],
    linker: &Linker,
    notes: &Notes,
    findings: &mut Findings,
) {
    for (place, claim) in options.receipts.iter().enumerate() {
        let Some((hash, id)) = linker.entry(claim.seq) else {
            let message = format!("the entry of receipt {place} is not in the log");
            findings.push(claim.seq, Code::ReceiptWrong, message);
            continue;
        };
        let same = linker.leaf(claim.seq) == Some(claim.leaf_hash)
            && hash == claim.entry_hash
            && id.is_none_or(|id| id == lookup_key(claim.id.as_bytes()));
        let covered = notes
            .signed
            .get(&Origin::Receipt(place))
            .is_some_and(|checkpoint| !keys.is_empty() && checkpoint.size() > claim.seq);
        if !same || !covered {
            let message = format!("receipt {place} is for another record than the log has");
            findings.push(claim.seq, Code::ReceiptWrong, message);
        }
    }
}
