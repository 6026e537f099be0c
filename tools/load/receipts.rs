//! What a client can check of the answers it gets, and checks of every one.

use std::collections::BTreeMap;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;
use whence::canon::{EntryHash, TreeHash};
use whence::proof::verify_inclusion;
use whence::seal::{Checkpoint, UnverifiedCheckpoint, VerifierKey};

use crate::records::Place;

/// Checkpoints that are remembered. An older one is verified again.
const CHECKPOINTS_MAX: usize = 8_192;

/// A receipt, read without copying what may be long.
#[derive(Debug, Deserialize)]
pub(crate) struct Receipt<'a> {
    id: &'a str,
    pub(crate) seq: u64,
    entry_hash: EntryHash,
    leaf_hash: TreeHash,
    duplicate: bool,
    /// The signed note as it stands in JSON.
    #[serde(borrow)]
    checkpoint: &'a RawValue,
    proof: Option<Proof>,
}

#[derive(Debug, Deserialize)]
struct Proof {
    hashes: Vec<TreeHash>,
    index: u64,
    tree_size: u64,
}

/// The answer to a list of records.
#[derive(Debug, Deserialize)]
struct Receipts<'a> {
    #[serde(borrow)]
    data: Vec<Receipt<'a>>,
}

/// What has to be the same when the same record is posted again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    seq: u64,
    entry_hash: EntryHash,
    leaf_hash: TreeHash,
    checkpoint: String,
}

impl Receipt<'_> {
    /// What to keep of it.
    pub(crate) fn keep(&self) -> Kept {
        Kept {
            seq: self.seq,
            entry_hash: self.entry_hash,
            leaf_hash: self.leaf_hash,
            checkpoint: self.checkpoint.get().to_owned(),
        }
    }
}

/// How a request was sent, which its answer has to fit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// The place of its first record; the others follow.
    pub(crate) first: Place,
    /// The number of its records.
    pub(crate) records: u64,
    /// Whether they were posted before.
    pub(crate) again: bool,
}

/// Reads the receipts in a body.
pub(crate) fn read(body: &[u8], records: u64) -> anyhow::Result<Vec<Receipt<'_>>> {
    // A request of one record is an object, and so is its answer.
    if records == 1 && body.starts_with(br#"{"object":"receipt""#) {
        return Ok(vec![serde_json::from_slice(body)?]);
    }
    Ok(serde_json::from_slice::<Receipts<'_>>(body)?.data)
}

/// Checks receipts, and remembers what was checked so that nothing is checked twice.
#[derive(Debug)]
pub(crate) struct Checker {
    key: [VerifierKey; 1],
    proofs: bool,
    /// Verified checkpoints by their size, with the JSON text they were read from.
    checkpoints: BTreeMap<u64, (Box<str>, Checkpoint)>,
    /// One bit for each seq that was given to a record.
    seqs: Vec<u64>,
    /// Checkpoints that were verified.
    pub(crate) verified: u64,
    /// The largest size among them.
    pub(crate) size: u64,
}

impl Checker {
    pub(crate) const fn new(key: VerifierKey, proofs: bool) -> Self {
        Self {
            key: [key],
            proofs,
            checkpoints: BTreeMap::new(),
            seqs: Vec::new(),
            verified: 0,
            size: 0,
        }
    }

    /// Checks every receipt of an answer: that it is for the record that was posted, that its seq was
    /// given to no other, and that the log's key signed a checkpoint over it.
    pub(crate) fn check(&mut self, sent: Sent, receipts: &[Receipt<'_>]) -> anyhow::Result<()> {
        ensure!(u64::try_from(receipts.len())? == sent.records, "not one receipt for each record");
        let mut last = None;
        for (number, receipt) in (sent.first.number..).zip(receipts) {
            let place = Place { number, ..sent.first };
            ensure!(is_id_of(receipt.id, place), "a receipt has the id {}", receipt.id);
            ensure!(receipt.duplicate == sent.again, "a receipt says otherwise of a duplicate");
            if !sent.again {
                self.take(receipt.seq)?;
            }
            // The records of a request share a checkpoint, unless they were posted before.
            let text = receipt.checkpoint.get();
            let (size, root) = match last {
                Some((known, size, root)) if known == text => (size, root),
                _ => self.checkpoint(text)?,
            };
            last = Some((text, size, root));
            ensure!(receipt.seq < size, "seq {} is beyond its checkpoint", receipt.seq);
            match &receipt.proof {
                None => ensure!(!self.proofs, "a receipt has no proof"),
                Some(proof) => {
                    ensure!(proof.index == receipt.seq && proof.tree_size == size, "another proof");
                    verify_inclusion(&receipt.leaf_hash, proof.index, size, &proof.hashes, &root)?;
                }
            }
        }
        Ok(())
    }

    /// Notes that a seq was given to a record, which may happen once.
    fn take(&mut self, seq: u64) -> anyhow::Result<()> {
        let word = usize::try_from(seq / 64)?;
        if word >= self.seqs.len() {
            self.seqs.resize(word + 1_024, 0);
        }
        let bit = 1 << (seq % 64);
        let word = self.seqs.get_mut(word).context("a seq is too large")?;
        ensure!(*word & bit == 0, "seq {seq} was given twice");
        *word |= bit;
        Ok(())
    }

    /// The size and root of a checkpoint, after its signature was verified.
    ///
    /// One text for each size: another one, even if signed, would be another history.
    fn checkpoint(&mut self, text: &str) -> anyhow::Result<(u64, TreeHash)> {
        let size = text.split(r"\n").nth(1).and_then(|size| size.parse().ok());
        let size: u64 = size.context("a checkpoint has no size")?;
        if let Some((known, checkpoint)) = self.checkpoints.get(&size) {
            ensure!(**known == *text, "two checkpoints of size {size}");
            return Ok((size, checkpoint.root()));
        }
        let note: String = serde_json::from_str(text)?;
        let signed = UnverifiedCheckpoint::parse(note.as_bytes())?.verify(&self.key)?;
        let checkpoint = signed.checkpoint().clone();
        let root = checkpoint.root();
        if checkpoint.size() != size {
            bail!("a checkpoint has two sizes");
        }
        self.verified += 1;
        self.size = self.size.max(size);
        self.checkpoints.insert(size, (text.into(), checkpoint));
        if self.checkpoints.len() > CHECKPOINTS_MAX {
            self.checkpoints.pop_first();
        }
        Ok((size, root))
    }
}

/// The id that [`crate::records::Records::append`] gives the record at this place.
fn is_id_of(id: &str, place: Place) -> bool {
    let number = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    let mut parts = id.split('-').skip(1);
    number(parts.next()) == Some(place.run)
        && number(parts.next()) == Some(place.lane)
        && number(parts.next()) == Some(place.number)
}
