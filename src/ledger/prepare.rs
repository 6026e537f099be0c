//! What is done for a record before it joins the queue, in parallel with all others.

use std::io;

use super::{Error, Random};
use crate::canon::{ContentDigest, Salt};
use crate::record::limits::CONTENT_PART_BYTES_MAX;
use crate::record::{Event, RecordId};
use crate::secrets;
use crate::store::StoredPart;

/// What stands for a part that is too long without its secrets.
const REDACTED: &[u8] = b"\"[redacted]\"";

/// A checked record with an id and with commitments to its content: ready for its place in the log.
#[derive(Debug)]
pub struct Prepared {
    pub(super) event: Event,
    /// The commitments to the parts of its content, in the event's order, and the parts.
    pub(super) digests: Vec<ContentDigest>,
    pub(super) content: Vec<StoredPart>,
    /// Whether secrets stood in it.
    pub(super) redacted: bool,
    /// What the record takes in a batch at most: its entry, and its content.
    pub(super) bytes: usize,
}

impl Prepared {
    /// The record's id.
    pub fn id(&self) -> &str {
        self.event.id().map_or("", |id| id.as_str())
    }

    /// Takes secrets out of a record if it `redacts`, salts and hashes its content, and gives it an id if
    /// it came without.
    pub(super) fn new(mut event: Event, redacts: bool, random: &dyn Random) -> Result<Self, Error> {
        if event.id().is_none() {
            event = event.with_id_if_absent(new_id(random)?);
        }
        let mut redacted = redacts && event.change_content(redact);
        redacted |= redacts && event.change_texts(secrets::redact_named);
        let mut bytes = event.sealed_bytes_max();
        let mut digests = Vec::new();
        let mut content = Vec::new();
        for part in event.content() {
            let mut salt = [0; Salt::LEN];
            random.fill(&mut salt).map_err(Error::Random)?;
            let salt = Salt::from_bytes(salt);
            bytes += Salt::LEN + part.bytes.len();
            digests.push(ContentDigest::of(&salt, &part.bytes));
            content.push(StoredPart::Kept { salt, bytes: part.bytes.clone() });
        }
        Ok(Self { event, digests, content, redacted, bytes })
    }
}

/// A content part without its secrets, if it has any. What stands in their place may be longer; a part
/// that would exceed its limit goes as a whole.
fn redact(part: &[u8]) -> Option<Vec<u8>> {
    let redacted = secrets::redact(part)?;
    Some(if redacted.len() > CONTENT_PART_BYTES_MAX { REDACTED.to_vec() } else { redacted })
}

/// A random UUID for a record whose sender gave it no id.
pub(super) fn new_id(random: &dyn Random) -> Result<RecordId, Error> {
    let mut bytes = [0; 16];
    random.fill(&mut bytes).map_err(Error::Random)?;
    let id = uuid::Builder::from_random_bytes(bytes).into_uuid().to_string();
    id.parse().map_err(|_| Error::Random(io::ErrorKind::InvalidData.into()))
}
