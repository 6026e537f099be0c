//! Keys, signed notes, checkpoints, cosignatures: who vouches for a root.
//!
//! The formats are C2SP's, byte for byte: [`Note`] (signed-note), [`Checkpoint`] (tlog-checkpoint),
//! [`Cosigner`] (tlog-cosignature, Ed25519) and [`TlogProof`] (tlog-proof). The parsers accept one
//! spelling only, so that what parses is written back the same, and each has a limit.
//!
//! The type says what may be trusted: a [`Note`], an [`UnverifiedCheckpoint`] and a [`TlogProof`] are
//! only well-formed; a [`SignedCheckpoint`] was signed by the log whose origin it names, under a key
//! that the caller gave.
//!
//! What this room does not do: it makes no key, reads no clock, and cannot tell whether a key is the
//! right one, nor whether two checkpoints fit together (see `proof`).

mod checkpoint;
mod cosignature;
mod error;
mod key;
mod note;
mod producer;
mod tlog_proof;

pub use checkpoint::{Checkpoint, Origin, SignedCheckpoint, UnverifiedCheckpoint};
pub use cosignature::Cosigner;
pub use error::{Error, Part};
pub use key::{KeyKind, KeyName, NAME_BYTES_MAX, SigningKey, VerifierKey};
pub use note::{NOTE_BYTES_MAX, Note, NoteSignature, SIGNATURES_MAX, Verified};
pub use producer::ProducerVerifier;
pub use tlog_proof::{EXTRA_BYTES_MAX, PROOF_HASHES_MAX, TlogProof};
