//! Cosignatures: a witness says what the largest tree was that it had seen (C2SP tlog-cosignature,
//! `cosignature/v1` with Ed25519).

use super::checkpoint::Checkpoint;
use super::error::Error;
use super::key::{KeyName, SigningKey, VerifierKey};
use super::note::NoteSignature;

/// The latest time that the format has.
const TIME_MAX: u64 = (1 << 63) - 1;

/// A witness: a key, and the name it cosigns under.
///
/// A cosignature does not commit to the name, so one key serves one witness and nothing else.
#[derive(Clone, Debug)]
pub struct Cosigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl Cosigner {
    /// A witness with this name.
    pub fn new(name: KeyName, key: SigningKey) -> Self {
        let verifier = key.cosigner_key(name);
        Self { key, verifier }
    }

    /// The public half.
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Cosigns a checkpoint at `time`, in seconds since 1970.
    ///
    /// The caller has checked that the checkpoint is the log's and consistent with the last one it
    /// cosigned: that, and no less, is what the cosignature says.
    pub fn cosign(&self, checkpoint: &Checkpoint, time: u64) -> Result<NoteSignature, Error> {
        if !(1..=TIME_MAX).contains(&time) {
            return Err(Error::Time);
        }
        let signature = self.key.sign(message(&checkpoint.to_string(), time).as_bytes());
        let bytes = [time.to_be_bytes().as_slice(), &signature].concat();
        Ok(NoteSignature::new(&self.verifier, bytes))
    }
}

/// What a cosignature signs.
pub(super) fn message(checkpoint: &str, time: u64) -> String {
    format!("cosignature/v1\ntime {time}\n{checkpoint}")
}

/// The time and the Ed25519 signature in the bytes of a cosignature.
pub(super) fn parse(bytes: &[u8]) -> Option<(u64, &[u8; 64])> {
    let (time, signature) = bytes.split_first_chunk()?;
    let time = u64::from_be_bytes(*time);
    Some(((1..=TIME_MAX).contains(&time).then_some(time)?, signature.try_into().ok()?))
}
