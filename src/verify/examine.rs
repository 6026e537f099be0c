//! What can be told of a bundle of entries alone. Bundles are examined in parallel.

use super::finding::{Code, Finding};
use super::source::{Meta, Source, SourceError};
use crate::canon::{ContentDigest, EntryHash, Salt, TreeHash, lookup_key};
use crate::proof::{TILE_WIDTH, TilePath, bundle};
use crate::record::{Data, Entry, Kind, Rel, ResolvedCause, Timestamp};

/// The entries of one bundle, as far as they can be read.
#[derive(Debug, Default)]
pub(super) struct Examined {
    pub(super) entries: Vec<ExaminedEntry>,
    pub(super) findings: Vec<Finding>,
    pub(super) contents: u64,
    pub(super) contents_absent: u64,
}

/// One entry: its hashes, and what the linking needs of it.
#[derive(Debug)]
pub(super) struct ExaminedEntry {
    pub(super) hash: EntryHash,
    pub(super) leaf: TreeHash,
    /// `None` if the bytes are no entry.
    pub(super) links: Option<Links>,
}

/// The members of an entry that tie it to others.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) id: Box<str>,
    pub(super) kind: Kind,
    pub(super) prev: Option<EntryHash>,
    pub(super) received_at: Timestamp,
    pub(super) session: Option<(Box<str>, u64, Option<EntryHash>)>,
    pub(super) causes: Vec<(Rel, u64, u64, EntryHash)>,
    /// Origin and key, in the first entry.
    pub(super) genesis: Option<(String, String)>,
}

/// Examines the bundle at `index`, which has `width` entries.
pub(super) fn bundle(
    source: &dyn Source,
    meta: &Meta,
    index: u64,
    width: u16,
) -> Result<Examined, SourceError> {
    let mut examined = Examined::default();
    let first = index * TILE_WIDTH;
    let Some(bytes) = source.read(TilePath::Entries { index, width })? else {
        examined.find(first, Code::BundleMissing, "the entries from here on are not there");
        return Ok(examined);
    };
    let content = source.read(TilePath::Content { index, width })?;
    let mut content = content.as_deref();
    for (seq, entry) in (first..first + u64::from(width)).zip(bundle::entries(&bytes)) {
        let Ok(entry) = entry else {
            examined.find(seq, Code::BundleMalformed, "the bundle is cut or damaged from here on");
            break;
        };
        examined.entry(meta, seq, entry, &mut content);
    }
    let found = bundle::entries(&bytes).count();
    if found != usize::from(width) {
        let message = format!("the bundle has {found} entries where the log has {width}");
        examined.findings.push(Finding { seq: Some(first), code: Code::BundleMalformed, message });
    }
    if content.is_some_and(|rest| !rest.is_empty()) {
        examined.find(first, Code::BundleMalformed, "the content bundle has bytes left over");
    }
    Ok(examined)
}

impl Examined {
    fn find(&mut self, seq: u64, code: Code, message: &str) {
        self.findings.push(Finding { seq: Some(seq), code, message: message.to_owned() });
    }

    /// Examines one entry, and the content that stands for it at the head of `content`.
    fn entry(&mut self, meta: &Meta, seq: u64, bytes: &[u8], content: &mut Option<&[u8]>) {
        let (hash, leaf) = (EntryHash::of(bytes), TreeHash::leaf(bytes));
        let links = match Entry::parse(bytes) {
            Ok(entry) => {
                if entry.seq != seq {
                    let message = format!("the entry says that it has seq {}", entry.seq);
                    let code = Code::SeqWrong;
                    self.findings.push(Finding { seq: Some(seq), code, message });
                }
                if *entry.ledger != *meta.ledger {
                    self.find(seq, Code::LedgerWrong, "the entry is of another ledger");
                }
                self.content(seq, &entry, content);
                Some(links(&entry))
            }
            Err(error) => {
                let message = format!("the bytes are no entry: {error}");
                self.findings.push(Finding { seq: Some(seq), code: Code::EntryMalformed, message });
                // How much content belongs to it cannot be told, nor where the next begins.
                *content = None;
                None
            }
        };
        self.entries.push(ExaminedEntry { hash, leaf, links });
    }

    /// Recomputes the digest of every part of an entry's content that is there.
    fn content(&mut self, seq: u64, entry: &Entry<'_>, content: &mut Option<&[u8]>) {
        for commitment in &entry.content {
            let Some(rest) = content else {
                self.contents_absent += 1;
                continue;
            };
            match take_part(rest) {
                Part::Damaged => {
                    self.find(seq, Code::BundleMalformed, "the content is cut or damaged");
                    *content = None;
                }
                Part::Absent => self.contents_absent += 1,
                Part::There(salt, bytes) => {
                    self.contents += 1;
                    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    let same = ContentDigest::of(&salt, bytes) == commitment.digest;
                    if !same || length != commitment.bytes {
                        let message = format!(
                            "the content `{}` is not what was committed to",
                            commitment.name
                        );
                        let code = Code::ContentWrong;
                        self.findings.push(Finding { seq: Some(seq), code, message });
                    }
                }
            }
        }
    }
}

fn links(entry: &Entry<'_>) -> Links {
    let session =
        entry.session.as_ref().map(|session| (session.id.as_str().into(), session.n, session.prev));
    let cause = |cause: &ResolvedCause<'_>| {
        (cause.rel, lookup_key(cause.id.as_bytes()), cause.seq, cause.entry_hash)
    };
    let genesis = if let Data::Genesis(genesis) = &*entry.data {
        Some((genesis.origin.to_string(), genesis.key.to_string()))
    } else {
        None
    };
    Links {
        id: entry.id.as_str().into(),
        kind: entry.kind,
        prev: entry.prev,
        received_at: entry.received_at,
        session,
        causes: entry.causes.iter().map(cause).collect(),
        genesis,
    }
}

/// One part of a content bundle.
enum Part<'a> {
    /// Salt and bytes.
    There(Salt, &'a [u8]),
    /// Withheld or erased.
    Absent,
    /// The bytes are no part.
    Damaged,
}

/// Takes one part off the head of a content bundle.
fn take_part<'a>(rest: &mut &'a [u8]) -> Part<'a> {
    let Some((state, after)) = rest.split_first() else { return Part::Damaged };
    *rest = after;
    match state {
        0x00 => Part::Absent,
        0x01 => take_kept(rest).map_or(Part::Damaged, |(salt, bytes)| Part::There(salt, bytes)),
        _ => Part::Damaged,
    }
}

fn take_kept<'a>(rest: &mut &'a [u8]) -> Option<(Salt, &'a [u8])> {
    let (salt, after) = rest.split_first_chunk::<{ Salt::LEN }>()?;
    let (length, after) = after.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (bytes, after) = after.split_at_checked(length)?;
    *rest = after;
    Some((Salt::from_bytes(*salt), bytes))
}
