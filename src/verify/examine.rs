//! What can be told of a bundle of entries alone. Bundles are examined in parallel.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;

use super::finding::{Code, Finding};
use super::producers::{ProducerKeys, Signature};
use super::source::{Meta, Source, SourceError};
use crate::canon::digest::sha256;
use crate::canon::{ContentDigest, EntryHash, Salt, TreeHash};
use crate::proof::{TILE_WIDTH, TilePath, bundle, tile_width};
use crate::record::data::ProducerKey;
use crate::record::limits::CONTENT_PART_BYTES_MAX;
use crate::record::{Data, Entry, Kind, Rel, ResolvedCause, Timestamp};

/// What is examined.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) meta: &'a Meta,
    /// The number of entries that the log signed.
    pub(super) size: u64,
    /// The first of the entries that should be there, and one past the last.
    pub(super) range: (u64, u64),
    /// The keys of producers that were met so far.
    pub(super) producers: &'a ProducerKeys,
    /// The entries that receipts were given for.
    pub(super) receipts: &'a BTreeSet<u64>,
}

impl Scope<'_> {
    /// The entries that should be there.
    pub(super) const fn range(&self) -> Range<u64> {
        self.range.0..self.range.1
    }
}

/// What is there of one bundle, and of the tile over it.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) first: u64,
    pub(super) tile: Option<TilePath>,
    /// Whether there is a bundle or a tile at all.
    pub(super) there: bool,
    /// Each place of the bundle.
    pub(super) places: Vec<Place>,
    pub(super) findings: Vec<Finding>,
    pub(super) contents: u64,
    pub(super) contents_absent: u64,
}

/// What is there of one entry.
#[derive(Debug)]
pub(super) struct Place {
    /// The leaf hash in the tile.
    pub(super) stored: Option<TreeHash>,
    pub(super) entry: Option<ExaminedEntry>,
}

/// One entry: its hashes, and what the linking needs of it.
#[derive(Debug)]
pub(super) struct ExaminedEntry {
    pub(super) hash: EntryHash,
    pub(super) leaf: TreeHash,
    /// `None` if the bytes are no entry.
    pub(super) links: Option<Links>,
    /// Its id, if a receipt was given for it.
    pub(super) id: Option<Box<str>>,
    /// What it says of a producer's key.
    pub(super) producer_key: Option<Box<ProducerKey>>,
    /// The producer's signature of it.
    pub(super) signature: Signature,
}

/// The SHA-256 of an id, so that all ids have one length and can be kept.
pub(super) type IdDigest = [u8; 32];

/// The members of an entry that tie it to others.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) id: IdDigest,
    pub(super) kind: Kind,
    pub(super) prev: Option<EntryHash>,
    pub(super) received_at: Timestamp,
    pub(super) session: Option<(Box<str>, u64, Option<EntryHash>)>,
    pub(super) causes: Vec<(Rel, IdDigest, u64, EntryHash)>,
    /// The origin, in a genesis entry.
    pub(super) genesis: Option<Box<str>>,
}

/// Examines the bundle at `index`, its content and the tile over it.
pub(super) fn part(scope: Scope<'_>, index: u64) -> Result<Part, SourceError> {
    let width = tile_width(scope.size, 0, index).unwrap_or(0);
    let first = index * TILE_WIDTH;
    let mut part = Part { first, ..Part::default() };
    part.tile(scope, index, width)?;
    let range = scope.range();
    if first < range.end && first + u64::from(width) > range.start {
        part.bundle(scope, index, width)?;
    } else {
        part.nothing(scope, index, width)?;
    }
    Ok(part)
}

impl Part {
    fn find(&mut self, seq: u64, code: Code, message: impl Into<String>) {
        self.findings.push(Finding { seq: Some(seq), code, message: message.into() });
    }

    /// Reads the leaf hashes in the tile.
    fn tile(&mut self, scope: Scope<'_>, index: u64, width: u16) -> Result<(), SourceError> {
        let path = TilePath::Hash { level: 0, index, width };
        let tile = scope.source.read(path)?;
        let (leaves, rest) = tile.as_deref().unwrap_or_default().as_chunks::<32>();
        let wrong = if tile.is_none() {
            Some((Code::TileMissing, format!("{path} is not there")))
        } else if leaves.len() != usize::from(width) || !rest.is_empty() {
            Some((Code::TileWrong, format!("{path} has another length")))
        } else {
            None
        };
        let wrong = wrong.map(|(code, message)| Finding { seq: None, code, message });
        self.findings.extend(wrong);
        let place = |place| {
            let stored = leaves.get(usize::from(place)).copied().map(TreeHash::from_bytes);
            Place { stored, entry: None }
        };
        self.places = (0..width).map(place).collect();
        self.there = tile.is_some();
        self.tile = Some(path);
        Ok(())
    }

    /// Outside of the range of an archive there is nothing, so that nothing in it stays unchecked.
    fn nothing(&mut self, scope: Scope<'_>, index: u64, width: u16) -> Result<(), SourceError> {
        let entries = scope.source.read(TilePath::Entries { index, width })?;
        let content = scope.source.content(index, width)?;
        if entries.is_some() || content.is_some() {
            let (from, to) = scope.range;
            let message = format!("there is a bundle outside of the entries from {from} to {to}");
            self.find(self.first, Code::BundleUnexpected, message);
        }
        Ok(())
    }

    fn bundle(&mut self, scope: Scope<'_>, index: u64, width: u16) -> Result<(), SourceError> {
        let first = self.first;
        let Some(bytes) = scope.source.read(TilePath::Entries { index, width })? else {
            self.find(first, Code::BundleMissing, "the entries from here on are not there");
            return Ok(());
        };
        self.there = true;
        let reader = scope.source.content(index, width)?;
        let mut content = Content {
            state: reader.map_or(State::Missing, State::There),
            buffer: Vec::new(),
            missed: false,
        };
        let mut found = 0usize;
        for (place, entry) in bundle::entries(&bytes).enumerate() {
            found += 1;
            let seq = first + u64::try_from(place).unwrap_or(u64::MAX);
            match entry {
                Ok(_) if place >= usize::from(width) => {}
                Ok(entry) => self.entry(scope, place, entry, &mut content)?,
                Err(_) => {
                    let message = "the bundle is cut or damaged from here on";
                    self.find(seq, Code::BundleMalformed, message);
                    content.state = State::Lost;
                }
            }
        }
        if found != usize::from(width) {
            let message = format!("the bundle has {found} entries where the log has {width}");
            self.find(first, Code::BundleMalformed, message);
            content.state = State::Lost;
        }
        if content.missed && !scope.meta.withheld {
            self.find(first, Code::ContentMissing, "the content from here on is not there");
        }
        if content.has_more()? {
            self.find(first, Code::BundleMalformed, "the content bundle has bytes left over");
        }
        Ok(())
    }

    /// Examines one entry, and the content that stands for it next in `content`.
    fn entry(
        &mut self,
        scope: Scope<'_>,
        place: usize,
        bytes: &[u8],
        content: &mut Content<'_>,
    ) -> Result<(), SourceError> {
        let seq = self.first + u64::try_from(place).unwrap_or(u64::MAX);
        let (hash, leaf) = (EntryHash::of(bytes), TreeHash::leaf(bytes));
        let mut examined = ExaminedEntry {
            hash,
            leaf,
            links: None,
            id: None,
            producer_key: None,
            signature: Signature::Absent,
        };
        let stored = self.places.get(place).and_then(|place| place.stored);
        match Entry::parse(bytes) {
            Ok(entry) => {
                if entry.seq != seq {
                    let message = format!("the entry says that it has seq {}", entry.seq);
                    self.find(seq, Code::SeqWrong, message);
                }
                if *entry.ledger != *scope.meta.ledger {
                    self.find(seq, Code::LedgerWrong, "the entry is of another ledger");
                }
                if stored.is_some_and(|stored| stored != leaf) {
                    // The entry was changed, and perhaps how much content belongs to it.
                    content.state = State::Lost;
                }
                let parts = self.content(seq, &entry, content)?;
                examined.signature = scope.producers.examine(seq, &entry, parts.as_deref());
                if let Data::ProducerKey(key) = &*entry.data {
                    examined.producer_key = Some(Box::new(key.clone()));
                }
                examined.links = Some(links(&entry));
                let wanted = scope.receipts.contains(&seq);
                examined.id = wanted.then(|| entry.id.as_str().into());
            }
            Err(error) => {
                self.find(seq, Code::EntryMalformed, format!("the bytes are no entry: {error}"));
                // How much content belongs to it cannot be told, nor where the next begins.
                content.state = State::Lost;
            }
        }
        if let Some(place) = self.places.get_mut(place) {
            place.entry = Some(examined);
        }
        Ok(())
    }

    /// Recomputes the digest of every part of an entry's content that is there. Gives the parts of a
    /// signed entry, if all of them are there and right.
    fn content(
        &mut self,
        seq: u64,
        entry: &Entry<'_>,
        content: &mut Content<'_>,
    ) -> Result<Option<Vec<Vec<u8>>>, SourceError> {
        let mut parts = entry.signature.is_some().then(Vec::new);
        for commitment in &entry.content {
            match content.next()? {
                Next::Absent => {
                    self.contents_absent += 1;
                    parts = None;
                }
                Next::Damaged => {
                    parts = None;
                    self.find(seq, Code::BundleMalformed, "the content is cut or damaged");
                }
                Next::There(salt) => {
                    self.contents += 1;
                    let length = u64::try_from(content.buffer.len()).unwrap_or(u64::MAX);
                    let same = ContentDigest::of(&salt, &content.buffer) == commitment.digest;
                    if !same || length != commitment.bytes {
                        let name = &commitment.name;
                        let message = format!("the content `{name}` is not what was committed to");
                        self.find(seq, Code::ContentWrong, message);
                        parts = None;
                    } else if let Some(parts) = &mut parts {
                        parts.push(content.buffer.clone());
                    }
                }
            }
        }
        Ok(parts)
    }
}

fn links(entry: &Entry<'_>) -> Links {
    let session =
        entry.session.as_ref().map(|session| (session.id.as_str().into(), session.n, session.prev));
    let cause = |cause: &ResolvedCause<'_>| {
        (cause.rel, sha256(&[cause.id.as_bytes()]), cause.seq, cause.entry_hash)
    };
    let genesis = if let Data::Genesis(genesis) = &*entry.data {
        Some(genesis.origin.to_string().into())
    } else {
        None
    };
    Links {
        id: sha256(&[entry.id.as_bytes()]),
        kind: entry.kind,
        prev: entry.prev,
        received_at: entry.received_at,
        session,
        causes: entry.causes.iter().map(cause).collect(),
        genesis,
    }
}

/// A content bundle, read from its beginning to its end.
struct Content<'a> {
    state: State<'a>,
    /// The bytes of the part that was read last.
    buffer: Vec<u8>,
    /// Whether a part was asked for that a missing bundle would hold.
    missed: bool,
}

enum State<'a> {
    There(Box<dyn Read + Send + 'a>),
    /// There is no such file.
    Missing,
    /// Where the next part begins cannot be told.
    Lost,
}

/// One part of a content bundle.
enum Next {
    /// Its salt; its bytes are in the buffer.
    There(Salt),
    /// Withheld or erased.
    Absent,
    /// The bytes are no part.
    Damaged,
}

impl Content<'_> {
    /// Reads the next part.
    fn next(&mut self) -> io::Result<Next> {
        let State::There(reader) = &mut self.state else {
            self.missed |= matches!(self.state, State::Missing);
            return Ok(Next::Absent);
        };
        let next = match read_part(reader.as_mut(), &mut self.buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Next::Damaged,
            next => next?,
        };
        if matches!(next, Next::Damaged) {
            self.state = State::Lost;
        }
        Ok(next)
    }

    fn has_more(&mut self) -> io::Result<bool> {
        let State::There(reader) = &mut self.state else { return Ok(false) };
        Ok(reader.read(&mut [0])? > 0)
    }
}

fn read_part(reader: &mut dyn Read, buffer: &mut Vec<u8>) -> io::Result<Next> {
    let mut state = [0];
    reader.read_exact(&mut state)?;
    match state {
        [0x00] => return Ok(Next::Absent),
        [0x01] => {}
        _ => return Ok(Next::Damaged),
    }
    let (mut salt, mut length) = ([0; Salt::LEN], [0; 4]);
    reader.read_exact(&mut salt)?;
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if usize::try_from(length).is_ok_and(|length| length > CONTENT_PART_BYTES_MAX) {
        return Ok(Next::Damaged);
    }
    buffer.clear();
    reader.take(u64::from(length)).read_to_end(buffer)?;
    let whole = u32::try_from(buffer.len()).is_ok_and(|found| found == length);
    Ok(if whole { Next::There(Salt::from_bytes(salt)) } else { Next::Damaged })
}
