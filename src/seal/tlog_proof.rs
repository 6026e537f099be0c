//! A proof in one file: that a leaf is in a signed tree (C2SP tlog-proof).

use std::fmt;

use data_encoding::BASE64;

use crate::canon::TreeHash;
use crate::proof::verify_inclusion;

use super::checkpoint::{
    SignedCheckpoint, UnverifiedCheckpoint, parse_base64, parse_decimal, parse_hash,
};
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
    let extra = parse_base64(base64)
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::proof::ProofError;
    use crate::seal::{Checkpoint, SigningKey};
    use proptest::prelude::*;

    fn proof() -> (TlogProof, TreeHash, [VerifierKey; 1]) {
        let [left, right] = [TreeHash::leaf(b"left"), TreeHash::leaf(b"right")];
        let origin: crate::seal::Origin = "example.com/main".parse().unwrap();
        let key = SigningKey::from_seed(&[1; 32]);
        let keys = [key.verifier_key(origin.key_name().clone())];
        let checkpoint = Checkpoint::new(origin, 2, TreeHash::node(&left, &right)).unwrap();
        (TlogProof::new(1, vec![left], &checkpoint.sign(&key)).unwrap(), right, keys)
    }

    #[test]
    fn a_proof_is_for_one_leaf_under_one_key() {
        let (proof, leaf, keys) = proof();
        let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&leaf, &keys).unwrap().checkpoint().size(), 2);
        let other = TreeHash::leaf(b"other");
        assert_eq!(read.verify(&other, &keys), Err(Error::Proof(ProofError::WrongRoot)));
        assert_eq!(read.verify(&leaf, &[]), Err(Error::NotSigned));
    }

    #[test]
    fn extra_bytes_are_bounded() {
        let (proof, ..) = proof();
        let most = proof.clone().with_extra(vec![7; EXTRA_BYTES_MAX]).unwrap();
        assert_eq!(TlogProof::parse(most.to_string().as_bytes()), Ok(most));
        let too_long = Err(Error::TooLong { part: Part::ProofExtra });
        assert_eq!(proof.clone().with_extra(vec![7; EXTRA_BYTES_MAX + 1]), too_long);
        assert!(proof.with_extra(Vec::new()).is_err());
    }

    #[test]
    fn hashes_are_bounded() {
        let (proof, ..) = proof();
        let line = format!("{}\n", BASE64.encode(&[7; 32]));
        let with = |count| {
            proof.to_string().replace("index 1\n", &format!("index 1\n{}", line.repeat(count)))
        };
        assert!(TlogProof::parse(with(62).as_bytes()).is_ok());
        let too_long = Err(Error::TooLong { part: Part::ProofHashes });
        assert_eq!(TlogProof::parse(with(63).as_bytes()), too_long);
    }

    proptest! {
        #[test]
        fn a_changed_file_is_refused_or_written_back_the_same(
            extra in prop::option::of(prop::collection::vec(any::<u8>(), 1..9)),
            at: prop::sample::Index,
            with in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            static PROOF: LazyLock<(TlogProof, TreeHash, [VerifierKey; 1])> =
                LazyLock::new(proof);
            let (proof, leaf, keys) = &*PROOF;
            let proof = match extra {
                Some(extra) => proof.clone().with_extra(extra).unwrap(),
                None => proof.clone(),
            };
            let mut bytes = proof.to_string().into_bytes();
            let read = TlogProof::parse(&bytes);
            prop_assert_eq!(read.as_ref(), Ok(&proof));

            let at = at.index(bytes.len());
            bytes.splice(at..=at, with);
            if let Ok(other) = TlogProof::parse(&bytes) {
                prop_assert_eq!(other.to_string().into_bytes(), bytes);
                if other.verify(leaf, keys).is_ok() {
                    prop_assert_eq!(other.path(), proof.path());
                    prop_assert_eq!(other.index(), proof.index());
                    prop_assert_eq!(other.checkpoint().claim(), proof.checkpoint().claim());
                }
            }
        }
    }
}
