//! The audit: every check of SPEC 8, in its order.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::examine::Scope;
use super::finding::{Code, Findings};
use super::link::Linker;
use super::notes::SignedNotes;
use super::producers::ProducerKeys;
use super::source::{Meta, Source, SourceError};
use super::walk::{Counts, Walk};
use crate::canon::{EntryHash, TreeHash};
use crate::proof::{TILE_WIDTH, TilePath, bundle, tile_width};
use crate::record::{Data, Entry};
use crate::seal::VerifierKey;

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
    /// What the auditor brought is not of this log.
    #[error("{name} cannot be compared with the log: {why}")]
    Brought {
        /// The file.
        name: String,
        /// Why not.
        why: String,
    },
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

/// Something that the auditor kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought<T> {
    /// Where it was kept.
    pub name: String,
    /// What was kept.
    pub what: T,
}

/// What the auditor brings along.
#[derive(Default)]
pub struct Options<'a> {
    /// The log's keys. Without any, the key in the log's first entry is taken, which shows that the
    /// log is whole but not whose it is.
    pub keys: Vec<VerifierKey>,
    /// Signed checkpoints that were kept from earlier.
    pub known: Vec<Brought<Vec<u8>>>,
    /// Receipts that were kept.
    pub receipts: Vec<Brought<ReceiptClaim>>,
    /// Called with the number of entries checked so far.
    pub progress: Option<&'a dyn Fn(u64)>,
}

/// The keys that checkpoints are checked with.
pub(super) struct Keys {
    pub(super) keys: Vec<VerifierKey>,
    /// Whether the auditor brought them.
    pub(super) given: bool,
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
    /// The number of entries of the log, which is not more than was signed.
    pub size: u64,
    /// The root over those that were found.
    pub root: TreeHash,
    /// The first entry that had to be there.
    pub from: u64,
    /// One past the last entry that had to be there.
    pub to: u64,
    /// The entries that were checked.
    pub entries: u64,
    /// The parts of content whose digests were recomputed.
    pub contents: u64,
    /// The parts of content that are not there: withheld, erased or missing.
    pub contents_absent: u64,
    /// The signatures of producers that were checked.
    pub signatures: u64,
    /// The signatures of producers of which what was signed, or the key, is not there.
    pub signatures_unchecked: u64,
    /// Whether the source says that content was left out of it on purpose.
    pub content_withheld: bool,
    /// The checkpoints whose signatures and roots were checked.
    pub checkpoints: u64,
    /// The sessions whose chains were checked.
    pub sessions: u64,
    /// What is wrong. Nothing, if the log is what was signed.
    pub findings: Findings,
}

impl Report {
    /// The report on a database of which nothing can be read.
    pub fn unreadable(message: String) -> Self {
        let mut findings = Findings::default();
        findings.push(None, Code::DatabaseDamaged, message);
        Self {
            origin: String::new(),
            key: String::new(),
            key_is_given: false,
            size: 0,
            root: TreeHash::empty(),
            from: 0,
            to: 0,
            entries: 0,
            contents: 0,
            contents_absent: 0,
            signatures: 0,
            signatures_unchecked: 0,
            content_withheld: false,
            checkpoints: 0,
            sessions: 0,
            findings,
        }
    }

    /// Whether only a part of the log's entries had to be there.
    pub const fn is_of_a_part(&self) -> bool {
        self.from > 0 || self.to < self.size
    }
}

/// Checks everything that is there. No findings means: this is the log that its key signed.
///
/// No more entries are looked at than the newest checkpoint says that the key signed. If it signed
/// none, that is what is found, and the entries are not looked at.
pub fn verify(source: &dyn Source, options: &Options<'_>) -> Result<Report, Error> {
    let meta = source.meta()?;
    if let Some(part) = &meta.part {
        let whole_bundles = part.start.is_multiple_of(TILE_WIDTH)
            && (part.end.is_multiple_of(TILE_WIDTH) || part.end == meta.size);
        if part.start >= part.end || part.end > meta.size || !whole_bundles {
            return Err(Error::Meta("its range is not one of whole bundles within it"));
        }
    }
    let mut findings = Findings::default();
    let keys = keys(source, &meta, options)?;
    let notes = SignedNotes::read(source, &meta, &keys, options, &mut findings)?;
    let size = notes.size().map_or(0, |signed| signed.min(meta.size));
    let part = meta.part.clone().unwrap_or(0..size);
    let receipts: BTreeSet<u64> = options.receipts.iter().map(|claim| claim.what.seq).collect();
    let producers = ProducerKeys::default();
    let scope = Scope {
        producers: &producers,
        source,
        meta: &meta,
        size,
        range: (part.start.min(size), part.end.min(size)),
        receipts: &receipts,
    };

    let mut walk = Walk::new(scope, notes.sizes());
    walk.run(options.progress, &mut findings)?;
    compare_receipts(options, &walk.linker, &notes, &mut findings);
    let Counts { entries, contents, contents_absent } = walk.counts;
    let (signatures, signatures_unchecked) = (walk.signatures.checked, walk.signatures.unchecked);
    let sessions = u64::try_from(walk.linker.sessions()).unwrap_or(u64::MAX);
    let tree = walk.finish(notes.newest_root(), &mut findings)?;
    notes.compare(&tree, &mut findings);

    Ok(Report {
        origin: meta.origin.clone(),
        key: keys.keys.first().map_or_else(String::new, ToString::to_string),
        key_is_given: keys.given,
        size,
        root: tree.root,
        from: scope.range.0,
        to: scope.range.1,
        entries,
        contents,
        contents_absent,
        signatures,
        signatures_unchecked,
        content_withheld: meta.withheld,
        checkpoints: u64::try_from(notes.count()).unwrap_or(u64::MAX),
        sessions,
        findings,
    })
}

/// The keys that the auditor brought, or else the one that the first entry names.
fn keys(source: &dyn Source, meta: &Meta, options: &Options<'_>) -> Result<Keys, Error> {
    if !options.keys.is_empty() {
        return Ok(Keys { keys: options.keys.clone(), given: true });
    }
    let width = tile_width(meta.size, 0, 0).ok_or(Error::NoKey)?;
    let first = source.read(TilePath::Entries { index: 0, width })?.ok_or(Error::NoKey)?;
    let first = bundle::entries(&first).next().and_then(Result::ok).ok_or(Error::NoKey)?;
    let first = Entry::parse(first).map_err(|_| Error::NoKey)?;
    let Data::Genesis(genesis) = &*first.data else { return Err(Error::NoKey) };
    let key = genesis.key.to_string().parse().map_err(|_| Error::NoKey)?;
    Ok(Keys { keys: vec![key], given: false })
}

/// Compares the receipts that the auditor holds with the log.
fn compare_receipts(
    options: &Options<'_>,
    linker: &Linker<'_>,
    notes: &SignedNotes,
    findings: &mut Findings,
) {
    for (place, Brought { name, what: claim }) in options.receipts.iter().enumerate() {
        let Some(entry) = linker.received(claim.seq) else {
            let message = format!("the entry of {name} is not there");
            findings.push(claim.seq, Code::ReceiptWrong, message);
            continue;
        };
        let same = entry.leaf == claim.leaf_hash
            && entry.hash == claim.entry_hash
            && entry.id.as_ref().is_none_or(|id| **id == *claim.id);
        if !same {
            let message = format!("{name} is for another record than the log has");
            findings.push(claim.seq, Code::ReceiptWrong, message);
        } else if !notes.receipt_covers(place, claim.seq) {
            let message = format!("the checkpoint of {name} does not cover its record");
            findings.push(claim.seq, Code::ReceiptWrong, message);
        }
    }
}
