//! Signed notes (C2SP signed-note).

use std::fmt;

use data_encoding::BASE64;

use super::checkpoint::parse_base64;
use super::error::{Error, Part};
use super::key::{KeyName, VerifierKey};

/// The longest note that is read.
pub const NOTE_BYTES_MAX: usize = 1_000_000;
/// The most signatures that a note may have.
pub const SIGNATURES_MAX: usize = 100;
/// What each signature line starts with: an em dash and a space.
const PREFIX: &str = "\u{2014} ";

/// One signature line of a note, verified or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    name: KeyName,
    key_id: u32,
    signature: Vec<u8>,
}

impl NoteSignature {
    /// A signature made by this key.
    pub(super) fn new(key: &VerifierKey, signature: Vec<u8>) -> Self {
        Self { name: key.name().clone(), key_id: key.id(), signature }
    }

    /// Reads one line, without its newline.
    pub fn parse(line: &str) -> Result<Self, Error> {
        const MALFORMED: Error = Error::Malformed { part: Part::Signatures };
        let line = line.strip_prefix(PREFIX).ok_or(MALFORMED)?;
        let (name, base64) = line.split_once(' ').ok_or(MALFORMED)?;
        let name = name.parse().map_err(|_| MALFORMED)?;
        let bytes = parse_base64(base64).ok_or(MALFORMED)?;
        let (id, signature) = bytes.split_first_chunk().ok_or(MALFORMED)?;
        if signature.is_empty() {
            return Err(MALFORMED);
        }
        Ok(Self { name, key_id: u32::from_be_bytes(*id), signature: signature.to_owned() })
    }

    /// The name of the key that the signature claims to be by.
    pub const fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id of that key.
    pub const fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The bytes of the signature, without the key's id.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    fn is_by(&self, key: &VerifierKey) -> bool {
        (&self.name, self.key_id) == (key.name(), key.id())
    }
}

/// The line, with its newline.
impl fmt::Display for NoteSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [self.key_id.to_be_bytes().as_slice(), &self.signature].concat();
        writeln!(f, "{PREFIX}{} {}", self.name, BASE64.encode_display(&bytes))
    }
}

/// A signature that was checked, and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The key that signed.
    pub key: VerifierKey,
    /// When, for a cosignature: seconds since 1970, as the cosigner says.
    pub time: Option<u64>,
}

/// A text with signature lines. It is well-formed, and no more: ignore the text until
/// [`Self::verify`] says whose it is.
///
/// The display form is the note, byte for byte as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Puts signatures under a text, which must end with a newline.
    pub fn new(text: String, signatures: Vec<NoteSignature>) -> Result<Self, Error> {
        if !text.ends_with('\n') || text.chars().any(|c| c < ' ' && c != '\n') {
            return Err(Error::Malformed { part: Part::NoteText });
        }
        if signatures.is_empty() {
            return Err(Error::Malformed { part: Part::Signatures });
        }
        Self { text, signatures }.limited()
    }

    /// The note, unless it is too large to be read again.
    fn limited(self) -> Result<Self, Error> {
        if self.signatures.len() > SIGNATURES_MAX {
            return Err(Error::TooManySignatures);
        }
        if self.to_string().len() > NOTE_BYTES_MAX {
            return Err(Error::TooLong { part: Part::Note });
        }
        Ok(self)
    }

    /// A note with one signature, under a text that is known to be a note's.
    pub(super) fn of_one(text: String, signature: NoteSignature) -> Self {
        Self { text, signatures: vec![signature] }
    }

    /// Reads a note: the text, an empty line, and at least one signature line.
    ///
    /// The text itself may have empty lines; the last one divides.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Error::TooLong { part: Part::Note });
        }
        let note = str::from_utf8(bytes).map_err(|_| Error::Malformed { part: Part::Note })?;
        let malformed = Error::Malformed { part: Part::Signatures };
        let (text, lines) = note.rsplit_once("\n\n").ok_or(malformed.clone())?;
        let lines = lines.strip_suffix('\n').ok_or(malformed)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == SIGNATURES_MAX {
                return Err(Error::TooManySignatures);
            }
            signatures.push(NoteSignature::parse(line)?);
        }
        Self::new(format!("{text}\n"), signatures)
    }

    /// The text that is signed, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signature lines, in order.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks the signatures by the keys given, and gives those that hold, at least one.
    ///
    /// Signatures by other keys are passed over. One by a known key that is wrong refuses the whole
    /// note. When a key has signed twice the first line counts and the rest are passed over.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<Vec<Verified>, Error> {
        let mut verified: Vec<Verified> = Vec::new();
        for signature in &self.signatures {
            let mut known = keys.iter().filter(|key| signature.is_by(key));
            let Some(key) = known.next() else { continue };
            let (name, id) = (key.name().to_string(), key.id());
            if known.any(|other| other != key) {
                return Err(Error::AmbiguousKey { name, id });
            }
            if verified.iter().any(|earlier| earlier.key == *key) {
                continue;
            }
            let by_key = key.verify(&self.text, signature.signature());
            verified.push(by_key.ok_or(Error::BadSignature { name, id })?);
        }
        if verified.is_empty() { Err(Error::NotSigned) } else { Ok(verified) }
    }

    /// The same note with one more signature at the end.
    pub fn with_signature(mut self, signature: NoteSignature) -> Result<Self, Error> {
        self.signatures.push(signature);
        self.limited()
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|signature| write!(f, "{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::SigningKey;
    use proptest::prelude::*;

    fn key(seed: u8) -> (SigningKey, VerifierKey) {
        let key = SigningKey::from_seed(&[seed; 32]);
        let verifier = key.verifier_key("example.com/log".parse().unwrap());
        (key, verifier)
    }

    fn sign(text: &str, seed: u8) -> NoteSignature {
        let (key, verifier) = key(seed);
        NoteSignature::new(&verifier, key.sign(text.as_bytes()).to_vec())
    }

    #[test]
    fn a_note_is_verified_by_the_keys_that_signed_it() {
        let text = "one\n\ntwo\n";
        let note = Note::new(text.into(), vec![sign(text, 1), sign(text, 2)]).unwrap();
        let [one, two, three] = [1, 2, 3].map(|seed| key(seed).1);
        let by = |keys: &[VerifierKey]| {
            note.verify(keys).map(|all| all.into_iter().map(|by| by.key).collect::<Vec<_>>())
        };
        assert_eq!(by(&[two.clone(), one.clone(), three.clone()]), Ok(vec![one, two.clone()]));
        assert_eq!(by(&[two.clone(), two.clone()]), Ok(vec![two]));
        assert_eq!(by(&[three]), Err(Error::NotSigned));
        assert_eq!(by(&[]), Err(Error::NotSigned));
    }

    #[test]
    fn base64_has_one_spelling() {
        let note = format!("text\n\n{}", sign("text\n", 1));
        assert!(Note::parse(note.as_bytes()).is_ok());
        // A lenient decoder goes on after the padding.
        let longer = format!("{}AA==\n", note.trim_end());
        assert!(Note::parse(longer.as_bytes()).is_err());
    }

    #[test]
    fn one_wrong_signature_by_a_known_key_refuses_the_note() {
        let (text, [one, two]) = ("text\n", [1, 2].map(|seed| key(seed).1));
        let forged = NoteSignature { key_id: two.id(), ..sign(text, 1) };
        let note = Note::new(text.into(), vec![sign(text, 1), forged]).unwrap();
        assert!(note.verify(std::slice::from_ref(&one)).is_ok());
        let error = Error::BadSignature { name: two.name().to_string(), id: two.id() };
        assert_eq!(note.verify(&[one, two]), Err(error));
    }

    #[test]
    fn the_first_signature_of_a_key_counts() {
        let (text, one) = ("text\n", [key(1).1]);
        let [right, wrong] = [sign(text, 1), sign("other\n", 1)];
        let note = |lines: [&NoteSignature; 2]| {
            Note::new(text.into(), lines.map(Clone::clone).to_vec()).unwrap()
        };
        assert_eq!(note([&right, &wrong]).verify(&one).unwrap().len(), 1);
        assert!(note([&wrong, &right]).verify(&one).is_err());
    }

    #[test]
    fn limits_hold_when_reading_and_when_writing() {
        let signatures = vec![sign("text\n", 1); SIGNATURES_MAX];
        let note = Note::new("text\n".into(), signatures).unwrap();
        let more = format!("{note}{}", sign("text\n", 1));
        assert_eq!(Note::parse(more.as_bytes()), Err(Error::TooManySignatures));
        assert_eq!(note.with_signature(sign("text\n", 1)), Err(Error::TooManySignatures));

        let signature = sign("", 1);
        let room = NOTE_BYTES_MAX - 2 - signature.to_string().len();
        let note = |bytes| Note::new("x".repeat(bytes) + "\n", vec![signature.clone()]);
        let longest = note(room).unwrap().to_string();
        assert_eq!(longest.len(), NOTE_BYTES_MAX);
        assert!(Note::parse(longest.as_bytes()).is_ok());
        let too_long = Err(Error::TooLong { part: Part::Note });
        assert_eq!(note(room + 1), too_long);
        assert_eq!(Note::parse(format!("x{longest}").as_bytes()), too_long);
    }

    proptest! {
        #[test]
        fn what_parses_is_written_back_the_same(
            text in "([a\u{2014} ]{0,3}\n){1,3}",
            seeds in prop::collection::vec(1..4u8, 1..4),
            at: prop::sample::Index,
            with in prop::collection::vec(any::<u8>(), 0..3),
        ) {
            let signatures = seeds.iter().map(|seed| sign(&text, *seed)).collect();
            let note = Note::new(text, signatures).unwrap();
            let mut bytes = note.to_string().into_bytes();
            prop_assert_eq!(Note::parse(&bytes), Ok(note));

            let at = at.index(bytes.len());
            bytes.splice(at..=at, with);
            if let Ok(other) = Note::parse(&bytes) {
                prop_assert_eq!(other.to_string().into_bytes(), bytes);
            }
        }
    }
}
