//! Why something is not a key, a note, a checkpoint or a proof, or is not signed.

use crate::proof::ProofError;

/// What [`crate::seal`] can refuse. The messages hold no part of the text that was refused but names of
/// keys, which have been checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The name cannot be a key name, nor an origin.
    #[error("a key name has 1 to 255 bytes, no spaces, no control characters and no plus sign")]
    KeyName,
    /// The text is not `name+id+key`, with the id in lower-case hexadecimal digits.
    #[error("not a verifier key: expected name+id+key")]
    VerifierKey,
    /// The key's type is neither Ed25519 (1) nor Ed25519 cosignature (4).
    #[error("the verifier key has type {kind}, which is not supported")]
    KeyType {
        /// The type byte.
        kind: u8,
    },
    /// The bytes are not a point of the curve, or are one that any signature could be forged for.
    #[error("the verifier key is not a usable Ed25519 key")]
    WeakKey,
    /// The id doesn't belong to the name and the key.
    #[error("the id of the verifier key does not match its name and key")]
    KeyId,
    /// Two of the keys given have the same name and id.
    #[error("two different keys have the name and id {name}+{id:08x}")]
    AmbiguousKey {
        /// The name.
        name: String,
        /// The id.
        id: u32,
    },

    /// The text is longer than it may be.
    #[error("the {part} is too long")]
    TooLong {
        /// What is too long.
        part: Part,
    },
    /// The text is not what its format says.
    #[error("the {part} is malformed")]
    Malformed {
        /// What is malformed.
        part: Part,
    },
    /// A note has more signatures than anyone needs.
    #[error("the note has more than 100 signatures")]
    TooManySignatures,
    /// A signature by one of the keys given does not verify.
    #[error("the signature by {name}+{id:08x} is wrong")]
    BadSignature {
        /// The name of the key.
        name: String,
        /// The id of the key.
        id: u32,
    },
    /// None of the keys given has signed.
    #[error("not signed by any known key")]
    NotSigned,

    /// A checkpoint has lines after the root.
    #[error("the checkpoint has extension lines, which are not supported")]
    Extension,
    /// A checkpoint of size 0 must have the root of the tree without leaves.
    #[error("the checkpoint of an empty tree has another root than the empty tree")]
    EmptyRoot,
    /// No key with the checkpoint's origin for a name has signed it.
    #[error("the checkpoint is not signed by a known key of its origin")]
    NotSignedByLog,
    /// The time is 0, or too late for the format.
    #[error("the time of a cosignature lies between 1 and 2^63 - 1")]
    Time,

    /// The checkpoint is signed, but the proof does not lead from the leaf to its root.
    #[error("the leaf is not proved to be in the tree of the checkpoint")]
    Proof(#[from] ProofError),
}

/// The part of a text that an [`Error`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The text that a note signs.
    NoteText,
    /// The block of signature lines at the end of a note.
    Signatures,
    /// A signed note as a whole.
    Note,
    /// The origin line of a checkpoint.
    Origin,
    /// The size line of a checkpoint.
    Size,
    /// The root line of a checkpoint.
    Root,
    /// The first line of a tlog-proof.
    ProofHeader,
    /// The `extra` line of a tlog-proof.
    ProofExtra,
    /// The `index` line of a tlog-proof.
    ProofIndex,
    /// The hashes of a tlog-proof.
    ProofHashes,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoteText => "text of the note",
            Self::Signatures => "signature block of the note",
            Self::Note => "note",
            Self::Origin => "origin line of the checkpoint",
            Self::Size => "size line of the checkpoint",
            Self::Root => "root line of the checkpoint",
            Self::ProofHeader => "first line of the proof",
            Self::ProofExtra => "extra line of the proof",
            Self::ProofIndex => "index line of the proof",
            Self::ProofHashes => "list of hashes of the proof",
        })
    }
}
