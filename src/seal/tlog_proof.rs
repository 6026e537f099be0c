//! A proof in one file: that a leaf is in a signed tree (C2SP tlog-proof).

use std::fmt;

use data_encoding::BASE64;

use crate::canon::TreeHash;
use crate::proof::verify_inclusion;

use super::checkpoint::{SignedCheckpoint, UnverifiedCheckpoint, parse_decimal, parse_hash};
use super::error::{Error, Part};
use super::key::VerifierKey;
use super::note::{NOTE_BYTES_MAX, Note};

/// The first line of the file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// The most bytes that the `extra` line may hold.
pub const EXTRA_BYTES_MAX: usize = 32 * 1024;
/// The most hashes that the proof may have: a tree has at most 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 63;

/// The longest file that is read: a note of any length, and room for the lines before it.
const FILE_BYTES_MAX: usize = NOTE_BYTES_MAX + 2 * EXTRA_BYTES_MAX;

/// Index, path and checkpoint, well-formed but not verified. The leaf itself is not in the file.
///
/// The display form is the file, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlogProof {
    extra: Option<Vec<u8>>,
    index: u64,
    path: Vec<TreeHash>,
    checkpoint: UnverifiedCheckpoint,
}

impl TlogProof {
    /// Puts together the inclusion proof of leaf `index` in the tree of a checkpoint.
    pub fn new(
        index: u64,
        path: Vec<TreeHash>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Self, Error> {
        if path.len() > PROOF_HASHES_MAX {
            return Err(Error::TooLong { part: Part::ProofHashes });
        }
        let checkpoint = checkpoint.clone().into_unverified();
        Ok(Self { extra: None, index, path, checkpoint })
    }

    /// The same proof with bytes that nothing authenticates, for the application to use.
    pub fn with_extra(self, extra: Vec<u8>) -> Result<Self, Error> {
        if extra.is_empty() {
            return Err(Error::Malformed { part: Part::ProofExtra });
        }
        if extra.len() > EXTRA_BYTES_MAX {
            return Err(Error::TooLong { part: Part::ProofExtra });
        }
        Ok(Self { extra: Some(extra), ..self })
    }

    /// Reads a proof file.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = |part| Error::Malformed { part };
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Error::TooLong { part: Part::Note });
        }
        let text = str::from_utf8(bytes).map_err(|_| malformed(Part::Note))?;
        let (head, note) = text.split_once("\n\n").ok_or(malformed(Part::ProofHashes))?;
        let mut lines = head.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(malformed(Part::ProofHeader));
        }

        let mut line = lines.next();
        let extra = line.and_then(|line| line.strip_prefix("extra "));
        let extra = match extra {
            Some(base64) => {
                line = lines.next();
                Some(parse_extra(base64)?)
            }
            None => None,
        };
        let index = line.and_then(|line| line.strip_prefix("index "));
        let index = index.and_then(parse_decimal).ok_or(malformed(Part::ProofIndex))?;
        let mut path = Vec::new();
        for line in lines {
            if path.len() == PROOF_HASHES_MAX {
                return Err(Error::TooLong { part: Part::ProofHashes });
            }
            path.push(parse_hash(line).ok_or(malformed(Part::ProofHashes))?);
        }
        let checkpoint = UnverifiedCheckpoint::parse(note.as_bytes())?;
        Ok(Self { extra, index, path, checkpoint })
    }

    /// The bytes that nothing authenticates, if any.
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The place that the leaf is claimed to have.
    pub const fn index(&self) -> u64 {
        self.index
    }

    /// The hashes from the leaf's sibling up to the root's child.
    pub fn path(&self) -> &[TreeHash] {
        &self.path
    }

    /// The checkpoint, not verified.
    pub const fn checkpoint(&self) -> &UnverifiedCheckpoint {
        &self.checkpoint
    }

    /// Checks that the log signed the checkpoint, and that the leaf is in its tree at the index of the
    /// proof. What is given back is the checkpoint, now verified.
    pub fn verify(&self, leaf: &TreeHash, keys: &[VerifierKey]) -> Result<SignedCheckpoint, Error> {
        let signed = self.checkpoint.clone().verify(keys)?;
        let checkpoint = signed.checkpoint();
        verify_inclusion(leaf, self.index, checkpoint.size(), &self.path, &checkpoint.root())?;
        Ok(signed)
    }
}

fn parse_extra(base64: &str) -> Result<Vec<u8>, Error> {
    let extra = BASE64
        .decode(base64.as_bytes())
        .ok()
        .filter(|extra| !extra.is_empty())
        .ok_or(Error::Malformed { part: Part::ProofExtra })?;
    if extra.len() > EXTRA_BYTES_MAX {
        return Err(Error::TooLong { part: Part::ProofExtra });
    }
    Ok(extra)
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADER}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", BASE64.encode_display(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", BASE64.encode_display(hash.as_bytes()))?;
        }
        let note: &Note = self.checkpoint.note();
        write!(f, "\n{note}")
    }
}
