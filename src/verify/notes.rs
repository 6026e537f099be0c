//! The checkpoints of a log, and those that the auditor brought: whose they are, and whether they are
//! of this history.

use rayon::prelude::*;

use super::audit::{Error, Keys, Options};
use super::finding::{Code, Findings};
use super::source::{Head, Meta, Source};
use super::tree::Audited;
use crate::canon::TreeHash;
use crate::seal::UnverifiedCheckpoint;

/// Notes that are read before their signatures are checked, in parallel.
const NOTES_AT_ONCE: usize = 4_096;

/// What a checkpoint says, once its signature was found to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signed {
    size: u64,
    root: TreeHash,
}

/// The checkpoints whose signatures are right.
#[derive(Debug, Default)]
pub(super) struct SignedNotes {
    newest: Option<Signed>,
    batches: Vec<Signed>,
    /// Those that were kept, each with where.
    known: Vec<(String, Signed)>,
    /// The checkpoint of each receipt.
    receipts: Vec<Option<Signed>>,
}

/// Why a note is not a checkpoint that can be used.
enum Fault {
    Malformed(String),
    OtherLog,
    NotSigned(String),
}

impl Fault {
    fn code(&self) -> Code {
        match self {
            Self::Malformed(_) | Self::OtherLog => Code::CheckpointMalformed,
            Self::NotSigned(_) => Code::SignatureWrong,
        }
    }

    fn why(self) -> String {
        match self {
            Self::Malformed(why) | Self::NotSigned(why) => why,
            Self::OtherLog => "it is of another log".to_owned(),
        }
    }
}

impl SignedNotes {
    /// Reads all checkpoints, and checks their signatures.
    pub(super) fn read(
        source: &dyn Source,
        meta: &Meta,
        keys: &Keys,
        options: &Options<'_>,
        findings: &mut Findings,
    ) -> Result<Self, Error> {
        let mut notes = Self::default();
        notes.brought(meta, keys, options, findings)?;
        let newest = source.checkpoint()?;
        match newest.map(|note| check(&note, meta, keys)) {
            Some(Ok(signed)) => notes.newest = Some(signed),
            Some(Err(fault)) => {
                let code = fault.code();
                findings.push(None, code, format!("the newest checkpoint: {}", fault.why()));
            }
            None => {
                let message = "the newest checkpoint is not there".to_owned();
                findings.push(None, Code::CheckpointMissing, message);
            }
        }
        notes.batches(source, meta, keys, findings)?;
        notes.head(source, meta, keys, findings)?;
        if notes.newest.is_some_and(|newest| newest.size != meta.size) {
            let message = "the newest checkpoint is of another size than the log".to_owned();
            findings.push(None, Code::RootWrong, message);
        }
        Ok(notes)
    }

    /// The number of entries that the log signed: nothing that is not signed decides how much is
    /// looked at.
    pub(super) fn size(&self) -> Option<u64> {
        self.newest.iter().chain(&self.batches).map(|signed| signed.size).max()
    }

    /// The sizes of all checkpoints.
    pub(super) fn sizes(&self) -> Vec<u64> {
        let known = self.known.iter().map(|(_, signed)| signed);
        let all = self.newest.iter().chain(&self.batches).chain(known);
        all.chain(self.receipts.iter().flatten()).map(|signed| signed.size).collect()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        let receipts = self.receipts.iter().flatten().count();
        usize::from(self.newest.is_some()) + self.batches.len() + self.known.len() + receipts
    }

    /// The root of the newest one.
    pub(super) fn newest_root(&self) -> Option<TreeHash> {
        self.newest.map(|newest| newest.root)
    }

    /// Whether the checkpoint of this receipt is of a log that has an entry at `seq`.
    pub(super) fn receipt_covers(&self, receipt: usize, seq: u64) -> bool {
        self.receipts.get(receipt).copied().flatten().is_some_and(|signed| signed.size > seq)
    }

    /// What the auditor brought. It has to be of this log and signed by its key, or it was the wrong
    /// file. Where the key is the log's own word it may be the log that is the wrong one.
    fn brought(
        &mut self,
        meta: &Meta,
        keys: &Keys,
        options: &Options<'_>,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut usable = |name: &str, note: &[u8], code| match check(note, meta, keys) {
            Ok(signed) => Ok(Some(signed)),
            Err(Fault::NotSigned(why)) if !keys.given => {
                findings.push(None, code, format!("{name}: {why}"));
                Ok(None)
            }
            Err(fault) => Err(Error::Brought { name: name.to_owned(), why: fault.why() }),
        };
        for known in &options.known {
            let signed = usable(&known.name, &known.what, Code::KnownCheckpointWrong)?;
            self.known.extend(signed.map(|signed| (known.name.clone(), signed)));
        }
        for receipt in &options.receipts {
            let note = receipt.what.checkpoint.as_bytes();
            self.receipts.push(usable(&receipt.name, note, Code::ReceiptWrong)?);
        }
        Ok(())
    }

    /// The batches' checkpoints: their sizes grow, and they end with the newest.
    fn batches(
        &mut self,
        source: &dyn Source,
        meta: &Meta,
        keys: &Keys,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        let mut file = source.checkpoints()?;
        let mut place = 0u64;
        loop {
            let chunk: Vec<_> = file.by_ref().take(NOTES_AT_ONCE).collect::<Result<_, _>>()?;
            if chunk.is_empty() {
                break;
            }
            let checked: Vec<_> = chunk
                .par_iter()
                .map(|note| note.as_ref().map(|note| check(note, meta, keys)))
                .collect();
            for note in checked {
                match note {
                    Some(Ok(signed)) => self.batch(signed, findings),
                    Some(Err(fault)) => {
                        let code = fault.code();
                        let message = format!("the checkpoint of batch {place}: {}", fault.why());
                        findings.push(None, code, message);
                    }
                    None => {
                        let message =
                            format!("the checkpoints are damaged from that of batch {place} on");
                        findings.push(None, Code::CheckpointMalformed, message);
                    }
                }
                place += 1;
            }
        }
        if self.batches.last() != self.newest.as_ref() || self.newest.is_none() {
            let message = "the checkpoints do not end with the newest one".to_owned();
            findings.push(None, Code::CheckpointMissing, message);
        }
        Ok(())
    }

    fn batch(&mut self, signed: Signed, findings: &mut Findings) {
        if let Some(before) = self.batches.last().filter(|before| before.size >= signed.size) {
            let (before, after) = (before.size, signed.size);
            let message =
                format!("the checkpoint of size {before} is followed by one of size {after}");
            findings.push(None, Code::CheckpointMissing, message);
        }
        self.batches.push(signed);
    }

    /// The head file is one more checkpoint that was kept.
    fn head(
        &mut self,
        source: &dyn Source,
        meta: &Meta,
        keys: &Keys,
        findings: &mut Findings,
    ) -> Result<(), Error> {
        match source.head()? {
            Head::None => {}
            // Nothing was acknowledged before the first head file; the first batch is genesis alone.
            Head::Missing { .. } if meta.size <= 1 => {}
            Head::Missing { name } => {
                let message =
                    format!("{name} is missing, so it cannot be told whether the tail was cut");
                findings.push(None, Code::HeadMissing, message);
            }
            Head::There { name, note } => match check(&note, meta, keys) {
                Ok(signed) => self.known.push((name, signed)),
                Err(fault) => {
                    findings.push(None, fault.code(), format!("{name}: {}", fault.why()));
                }
            },
        }
        Ok(())
    }

    /// Compares every checkpoint with the root that the tree has at its size.
    pub(super) fn compare(&self, tree: &Audited, findings: &mut Findings) {
        let wrong = |signed: &Signed| {
            let found = match signed.size {
                0 => Some(TreeHash::empty()),
                size => tree.root_at(size),
            };
            let size = signed.size;
            if found == Some(signed.root) {
                None
            } else if found.is_some() {
                Some(format!("is of size {size} and has another root than the entries"))
            } else if tree.lost.is_some() {
                Some(format!(
                    "is of size {size}, and of that many entries not even hashes are there"
                ))
            } else {
                Some(format!("is of size {size}, and the log is shorter"))
            }
        };
        if let Some(how) = self.newest.as_ref().and_then(&wrong) {
            findings.push(None, Code::RootWrong, format!("the newest checkpoint {how}"));
        }
        let mut batches = self.batches.iter().filter_map(&wrong);
        if let Some(how) = batches.next() {
            findings.push(None, Code::RootWrong, format!("a batch's checkpoint {how}"));
            let more = batches.count();
            if more > 0 {
                let message = format!("{more} later checkpoints have other roots too");
                findings.push(None, Code::RootWrong, message);
            }
        }
        for (name, signed) in &self.known {
            if let Some(how) = wrong(signed) {
                findings.push(None, Code::KnownCheckpointWrong, format!("{name} {how}"));
            }
        }
        for signed in self.receipts.iter().flatten() {
            if let Some(how) = wrong(signed) {
                let message = format!("a receipt's checkpoint {how}");
                findings.push(None, Code::ReceiptWrong, message);
            }
        }
    }
}

fn check(note: &[u8], meta: &Meta, keys: &Keys) -> Result<Signed, Fault> {
    let malformed = |error: crate::seal::Error| Fault::Malformed(error.to_string());
    let note = UnverifiedCheckpoint::parse(note).map_err(malformed)?;
    if note.claim().origin().as_str() != meta.origin {
        return Err(Fault::OtherLog);
    }
    let signed = note.verify(&keys.keys).map_err(|error| Fault::NotSigned(error.to_string()))?;
    let (size, root) = (signed.checkpoint().size(), signed.checkpoint().root());
    if size == 0 {
        // Every log begins with its genesis entry, so none ever signs this.
        return Err(Fault::Malformed("it is of an empty log".to_owned()));
    }
    Ok(Signed { size, root })
}
