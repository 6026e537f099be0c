//! Checkpoints: the size and root of a tree, signed (C2SP tlog-checkpoint).

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;

use crate::canon::TreeHash;

use super::cosignature::Cosigner;
use super::error::{Error, Part};
use super::key::{KeyKind, KeyName, SigningKey, VerifierKey};
use super::note::{Note, NoteSignature, Verified};

/// Which log: `<host>/<ledger>`. Every origin is a key name too, the one that the log signs under.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin(KeyName);

impl Origin {
    /// The origin's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name that the log's keys have.
    pub const fn key_name(&self) -> &KeyName {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a checkpoint says: the log, its size and its root. No extension lines.
///
/// The display form is the text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: Origin,
    size: u64,
    root: TreeHash,
}

impl Checkpoint {
    /// A checkpoint. Refused when the size is 0 and the root is not [`TreeHash::empty`].
    pub fn new(origin: Origin, size: u64, root: TreeHash) -> Result<Self, Error> {
        if size == 0 && root != TreeHash::empty() {
            return Err(Error::EmptyRoot);
        }
        Ok(Self { origin, size, root })
    }

    /// Which log.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many leaves the tree has.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    pub const fn root(&self) -> TreeHash {
        self.root
    }

    /// Signs the checkpoint as the log. More signers can follow.
    pub fn sign(&self, key: &SigningKey) -> SignedCheckpoint {
        let (signature, verified) = self.signature(key);
        let note = Note::of_one(self.to_string(), signature);
        SignedCheckpoint { checkpoint: self.clone(), note, verified: vec![verified] }
    }

    fn signature(&self, key: &SigningKey) -> (NoteSignature, Verified) {
        let verifier = key.verifier_key(self.origin.key_name().clone());
        let bytes = key.sign(self.to_string().as_bytes()).to_vec();
        (NoteSignature::new(&verifier, bytes), Verified { key: verifier, time: None })
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(self.root.as_bytes());
        write!(f, "{}\n{}\n{root}\n", self.origin, self.size)
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let malformed = |part| move || Error::Malformed { part };
        let (origin, rest) = text.split_once('\n').ok_or_else(malformed(Part::Origin))?;
        let (size, rest) = rest.split_once('\n').ok_or_else(malformed(Part::Size))?;
        let (root, rest) = rest.split_once('\n').ok_or_else(malformed(Part::Root))?;
        let origin = origin.parse().map_err(|_| malformed(Part::Origin)())?;
        let size = parse_decimal(size).ok_or_else(malformed(Part::Size))?;
        let root = parse_hash(root).ok_or_else(malformed(Part::Root))?;
        if !rest.is_empty() {
            return Err(Error::Extension);
        }
        Self::new(origin, size, root)
    }
}

/// A number without sign and leading zeros.
pub(super) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Bytes in padded base64, in their one spelling. The decoder alone also takes several padded texts
/// in a row.
pub(super) fn parse_base64(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    (BASE64.encode(&bytes) == text).then_some(bytes)
}

/// A hash in padded base64.
pub(super) fn parse_hash(text: &str) -> Option<TreeHash> {
    Some(TreeHash::from_bytes(parse_base64(text)?.try_into().ok()?))
}

/// A note whose text is a checkpoint, of which nothing may be believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl UnverifiedCheckpoint {
    /// Reads a signed checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let note = Note::parse(bytes)?;
        Ok(Self { checkpoint: note.text().parse()?, note })
    }

    /// What the checkpoint claims; for finding the keys to check it with.
    pub const fn claim(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, byte for byte.
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// Checks the signatures. The log's own key, whose name is the origin, must be among those that
    /// signed; a witness alone vouches for nothing.
    pub fn verify(self, keys: &[VerifierKey]) -> Result<SignedCheckpoint, Error> {
        let verified = self.note.verify(keys)?;
        let name = self.checkpoint.origin.key_name();
        let by_log = |by: &Verified| by.key.kind() == KeyKind::Note && by.key.name() == name;
        if !verified.iter().any(by_log) {
            return Err(Error::NotSignedByLog);
        }
        Ok(SignedCheckpoint { checkpoint: self.checkpoint, note: self.note, verified })
    }
}

/// A checkpoint that the log signed: by our own key, or by a key that the caller gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
    verified: Vec<Verified>,
}

impl SignedCheckpoint {
    /// What the log says.
    pub const fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The signed note, byte for byte (its display form is what is stored and served).
    pub const fn note(&self) -> &Note {
        &self.note
    }

    /// The signatures that hold. Others may stand in the note, by keys that were not given.
    pub fn verified(&self) -> &[Verified] {
        &self.verified
    }

    /// Forgets that it was verified, for whoever passes it on.
    pub fn into_unverified(self) -> UnverifiedCheckpoint {
        UnverifiedCheckpoint { checkpoint: self.checkpoint, note: self.note }
    }

    /// The checkpoint with one more signature by the log, under another key.
    pub fn with_signature(self, key: &SigningKey) -> Result<Self, Error> {
        let (signature, verified) = self.checkpoint.signature(key);
        self.with(signature, verified)
    }

    /// The checkpoint with a witness's own cosignature.
    pub fn with_own_cosignature(self, cosigner: &Cosigner, time: u64) -> Result<Self, Error> {
        let signature = cosigner.cosign(&self.checkpoint, time)?;
        let verified = Verified { key: cosigner.verifier_key().clone(), time: Some(time) };
        self.with(signature, verified)
    }

    /// The checkpoint with a signature that somebody sent, once it is found to be by one of the keys.
    pub fn with_cosignature(
        self,
        signature: NoteSignature,
        keys: &[VerifierKey],
    ) -> Result<Self, Error> {
        let alone = Note::of_one(self.note.text().to_owned(), signature.clone());
        let verified = alone.verify(keys)?.pop().ok_or(Error::NotSigned)?;
        self.with(signature, verified)
    }

    fn with(mut self, signature: NoteSignature, verified: Verified) -> Result<Self, Error> {
        self.note = self.note.with_signature(signature)?;
        self.verified.push(verified);
        Ok(self)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let origin = "example.com/main".parse().unwrap();
        Checkpoint::new(origin, 7, TreeHash::leaf(b"x")).unwrap()
    }

    fn keys(seed: u8) -> (SigningKey, VerifierKey) {
        let key = SigningKey::from_seed(&[seed; 32]);
        let verifier = key.verifier_key(checkpoint().origin().key_name().clone());
        (key, verifier)
    }

    fn witness() -> Cosigner {
        Cosigner::new("witness.example".parse().unwrap(), SigningKey::from_seed(&[9; 32]))
    }

    fn reread(signed: &SignedCheckpoint) -> UnverifiedCheckpoint {
        UnverifiedCheckpoint::parse(signed.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_checkpoint_is_verified_under_each_key_that_signed_it() {
        let [(one, by_one), (two, by_two)] = [keys(1), keys(2)];
        let signed = checkpoint().sign(&one).with_signature(&two).unwrap();
        for by in [vec![by_one.clone()], vec![by_two.clone()], vec![by_one, by_two]] {
            let verified = reread(&signed).verify(&by).unwrap();
            assert_eq!(verified.checkpoint(), &checkpoint());
            assert_eq!(verified.verified().len(), by.len());
        }
        assert_eq!(reread(&signed).verify(&[keys(3).1]), Err(Error::NotSigned));
    }

    #[test]
    fn a_witness_alone_does_not_vouch_for_a_checkpoint() {
        let (key, verifier) = keys(1);
        let signed =
            checkpoint().sign(&key).with_own_cosignature(&witness(), 1_700_000_000).unwrap();
        let by_witness = witness().verifier_key().clone();
        let refused = reread(&signed).verify(std::slice::from_ref(&by_witness));
        assert_eq!(refused, Err(Error::NotSignedByLog));

        let read = reread(&signed).verify(&[by_witness, verifier]).unwrap();
        let times: Vec<_> = read.verified().iter().map(|by| by.time).collect();
        assert_eq!(times, [None, Some(1_700_000_000)]);
        assert_eq!(read, signed);
    }

    #[test]
    fn the_key_of_another_log_does_not_vouch_for_a_checkpoint() {
        let key = SigningKey::from_seed(&[1; 32]);
        let other = key.verifier_key("example.com/other".parse().unwrap());
        let signature = key.sign(checkpoint().to_string().as_bytes()).to_vec();
        let note = Note::of_one(checkpoint().to_string(), NoteSignature::new(&other, signature));
        let read = UnverifiedCheckpoint::parse(note.to_string().as_bytes()).unwrap();
        assert_eq!(read.verify(&[other]), Err(Error::NotSignedByLog));
    }

    #[test]
    fn a_cosignature_from_elsewhere_is_checked_before_it_is_added() {
        let (key, _) = keys(1);
        let by = [witness().verifier_key().clone()];
        let signed = checkpoint().sign(&key);
        let cosignature = witness().cosign(&checkpoint(), 5).unwrap();
        let cosigned = signed.clone().with_cosignature(cosignature.clone(), &by).unwrap();
        assert_eq!(cosigned, signed.clone().with_own_cosignature(&witness(), 5).unwrap());

        let later = Checkpoint { size: 8, ..checkpoint() }.sign(&key);
        assert!(matches!(
            later.with_cosignature(cosignature.clone(), &by),
            Err(Error::BadSignature { .. })
        ));
        assert_eq!(signed.with_cosignature(cosignature, &[]), Err(Error::NotSigned));
    }

    #[test]
    fn the_time_of_a_cosignature_is_bounded() {
        for (time, fits) in [(0, false), (1, true), ((1 << 63) - 1, true), (1 << 63, false)] {
            assert_eq!(witness().cosign(&checkpoint(), time).is_ok(), fits, "{time}");
        }
    }

    #[test]
    fn extension_lines_are_refused_by_name() {
        let text = format!("{}more\n", checkpoint());
        assert_eq!(text.parse::<Checkpoint>(), Err(Error::Extension));
    }

    #[test]
    fn an_empty_tree_has_the_empty_root() {
        let origin = checkpoint().origin().clone();
        assert!(Checkpoint::new(origin.clone(), 0, TreeHash::empty()).is_ok());
        assert_eq!(Checkpoint::new(origin, 0, TreeHash::leaf(b"x")), Err(Error::EmptyRoot));
    }
}
