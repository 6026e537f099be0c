//! Where a log's bytes are: in an archive, on a server, or in the database of a stopped one.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::client::Client;
use crate::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, ArchivedContent};
use crate::ledger::{self, Inspected};
use crate::proof::{TILE_WIDTH, TilePath};
use crate::record::limits::{CONTENT_PART_BYTES_MAX, CONTENT_PARTS_MAX, ENTRY_BYTES_MAX};
use crate::seal::NOTE_BYTES_MAX;
use crate::verify::{self, Head, Meta, Notes, SourceError, parse_checkpoints, read_checkpoints};

/// Checkpoints of one page.
const PAGE_CHECKPOINTS: usize = 10_000;
/// The longest `archive.json` that is read.
const META_BYTES_MAX: u64 = 65_536;
/// A note may be this long; of a longer one, enough is read to see that it is.
const NOTE_LIMIT: usize = NOTE_BYTES_MAX + 1;
/// The longest hash tile.
const TILE_BYTES_MAX: u64 = TILE_WIDTH * 32;
/// The longest entry bundle.
const BUNDLE_BYTES_MAX: u64 = TILE_WIDTH * (2 + widen(ENTRY_BYTES_MAX));
/// The longest content bundle.
const CONTENT_BYTES_MAX: u64 =
    TILE_WIDTH * widen(CONTENT_PARTS_MAX) * (1 + 32 + 4 + widen(CONTENT_PART_BYTES_MAX));

#[expect(clippy::as_conversions, reason = "a limit, in a constant, where `try_from` cannot stand")]
const fn widen(limit: usize) -> u64 {
    limit as u64
}

/// A folder in the archive's layout. Nothing of it is believed: what is no regular file is not
/// there, and of no file is more read than it can have.
#[derive(Debug)]
pub(super) struct ArchiveSource {
    folder: PathBuf,
}

impl ArchiveSource {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, name: &str) -> Result<Option<File>, SourceError> {
        open_regular(&self.folder.join(name))
    }
}

impl verify::Source for ArchiveSource {
    fn meta(&self) -> Result<Meta, SourceError> {
        let none = || format!("{} has no archive.json", self.folder.display());
        let file = self.file("archive.json")?.ok_or_else(none)?;
        let meta = archive_meta(&read_up_to(file, META_BYTES_MAX)?)?;
        let whole = meta.from == 0 && meta.to == meta.size && meta.size > 0;
        let part = (!whole).then_some(meta.from..meta.to);
        let withheld = meta.content == ArchivedContent::Withheld;
        Ok(Meta { ledger: meta.ledger, origin: meta.origin, size: meta.size, part, withheld })
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        let file = self.file("checkpoint")?;
        Ok(file.map(|file| read_up_to(file, widen(NOTE_LIMIT))).transpose()?)
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        Ok(match self.file("checkpoints")? {
            Some(file) => read_checkpoints(BufReader::new(file)),
            None => Box::new(std::iter::empty()),
        })
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        let limit = match path {
            TilePath::Hash { .. } => TILE_BYTES_MAX,
            TilePath::Entries { .. } => BUNDLE_BYTES_MAX,
            TilePath::Content { .. } => CONTENT_BYTES_MAX,
        };
        // One byte too many is as wrong as all of them.
        let file = self.file(&path.to_string())?;
        Ok(file.map(|file| read_up_to(file, limit + 1)).transpose()?)
    }

    fn content(
        &self,
        index: u64,
        width: u16,
    ) -> Result<Option<Box<dyn Read + Send + '_>>, SourceError> {
        let file = self.file(&TilePath::Content { index, width }.to_string())?;
        Ok(file.map(|file| -> Box<dyn Read + Send> { Box::new(BufReader::new(file)) }))
    }
}

/// The regular file at a path, or behind a link at that path. Anything else is as good as nothing, and
/// is not opened: a pipe would never answer.
fn open_regular(path: &Path) -> Result<Option<File>, SourceError> {
    use io::ErrorKind::{NotADirectory, NotFound};
    let file = match std::fs::metadata(path) {
        Ok(found) if found.is_file() => File::open(path),
        Ok(_) => return Ok(None),
        Err(error) => Err(error),
    };
    match file {
        // Whatever it was a moment ago, it is looked at once more.
        Ok(file) if file.metadata().is_ok_and(|found| found.is_file()) => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        // A link that leads round in a circle.
        Err(_) if std::fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
    }
}

/// A small file that the auditor or the operator names: what is wrong with it is an error.
pub(super) fn read_small(path: &Path) -> anyhow::Result<Vec<u8>> {
    let file = open_regular(path).map_err(anyhow::Error::from_boxed)?;
    let file = file.with_context(|| format!("there is no file {}", path.display()))?;
    let bytes = read_up_to(file, widen(NOTE_LIMIT))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() < NOTE_LIMIT, "{} is too long to be what it should be", path.display());
    Ok(bytes)
}

fn read_up_to(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A server's `/tlog/LEDGER`, as of one moment. It is always the whole log, whatever the server says.
#[derive(Debug)]
pub(super) struct UrlSource {
    client: Client,
    /// What was there at the first look: the log may grow while it is audited.
    meta: Meta,
    checkpoint: Vec<u8>,
}

impl UrlSource {
    /// The log whose URL the client has.
    pub(super) fn new(client: Client) -> anyhow::Result<Self> {
        let url = client.url();
        let fetch = |name: &str| -> anyhow::Result<Vec<u8>> {
            let (status, body) = client.get_bytes(name)?;
            ensure!(status == 200, "{url}{name} answers {status}");
            Ok(body)
        };
        let checkpoint = fetch("/checkpoint")?;
        let meta = archive_meta(&fetch("/archive.json")?).map_err(anyhow::Error::from_boxed)?;
        let size = claimed_size(&checkpoint).unwrap_or(meta.size);
        let ArchiveMeta { ledger, origin, .. } = meta;
        let meta = Meta { ledger, origin, size, part: None, withheld: false };
        Ok(Self { client, meta, checkpoint })
    }

    fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, SourceError> {
        match self.client.get_bytes(path)? {
            (200, body) => Ok(Some(body)),
            (404, _) => Ok(None),
            (status, _) => Err(format!("the server answers {status} for {path}").into()),
        }
    }
}

impl verify::Source for UrlSource {
    fn meta(&self) -> Result<Meta, SourceError> {
        Ok(self.meta.clone())
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Some(self.checkpoint.clone()))
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        Ok(Box::new(Pages { log: self, page: Vec::new().into_iter(), next: Some(0) }))
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        self.fetch(&format!("/{path}"))
    }
}

/// The checkpoints of a server's log up to the one that was its newest at the first look, fetched page
/// by page.
struct Pages<'a> {
    log: &'a UrlSource,
    page: std::vec::IntoIter<Vec<u8>>,
    /// The first entry of the batches that come next, if any do.
    next: Option<u64>,
}

impl Pages<'_> {
    /// The page that begins with the batch at `from`; `None` if it is damaged.
    fn fetch(&self, from: u64) -> Result<Option<Vec<Vec<u8>>>, SourceError> {
        let path = format!("/checkpoints?from={from}&limit={PAGE_CHECKPOINTS}");
        Ok(parse_checkpoints(&self.log.fetch(&path)?.unwrap_or_default()))
    }
}

impl Iterator for Pages<'_> {
    type Item = Result<Option<Vec<u8>>, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(note) = self.page.next() {
                if note == self.log.checkpoint {
                    // Those that came after the first look are not of the log that is audited.
                    (self.page, self.next) = (Vec::new().into_iter(), None);
                }
                return Some(Ok(Some(note)));
            }
            let from = self.next.take().filter(|from| *from < self.log.meta.size)?;
            match self.fetch(from) {
                Ok(Some(notes)) => {
                    // A batch begins where the one before it ends.
                    let end = notes.last().and_then(|note| claimed_size(note));
                    self.next = end.filter(|end| *end > from);
                    self.page = notes.into_iter();
                }
                Ok(None) => return Some(Ok(None)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// The size that a checkpoint claims, whoever signed it.
fn claimed_size(note: &[u8]) -> Option<u64> {
    std::str::from_utf8(note).ok()?.split('\n').nth(1)?.parse().ok()
}

fn archive_meta(bytes: &[u8]) -> Result<ArchiveMeta, SourceError> {
    let unreadable = |error| format!("archive.json cannot be read: {error}");
    let meta: Value = serde_json::from_slice(bytes).map_err(unreadable)?;
    let version = meta.get("archive").and_then(Value::as_u64);
    if let Some(version) = version.filter(|version| *version != u64::from(ARCHIVE_VERSION)) {
        let known = ARCHIVE_VERSION;
        let why =
            format!("the archive has version {version}, and this program reads version {known}");
        return Err(why.into());
    }
    Ok(serde_json::from_slice(bytes).map_err(unreadable)?)
}

/// The database of a stopped server, seen as an archive, and the head file beside it.
#[derive(Debug)]
pub(super) struct StoreSource {
    view: Inspected,
    head: PathBuf,
}

impl StoreSource {
    pub(super) fn new(view: Inspected, head: PathBuf) -> Self {
        Self { view, head }
    }

    /// Reads from the database. What is damaged there is not there.
    fn look<T>(
        &self,
        read: impl FnOnce(&Inspected) -> Result<T, ledger::Error>,
    ) -> Result<Option<T>, SourceError> {
        // On some kinds of damage sled panics in place of returning an error.
        match panic::catch_unwind(AssertUnwindSafe(|| read(&self.view))) {
            Ok(Ok(found)) => Ok(Some(found)),
            Ok(Err(error)) if is_damage(&error) => Ok(None),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Ok(None),
        }
    }
}

/// Whether an error says that bytes are not those that were written.
pub(super) fn is_damage(error: &ledger::Error) -> bool {
    if let ledger::Error::Store(error) = error {
        return error.is_damage();
    }
    matches!(error, ledger::Error::Entry { .. } | ledger::Error::Bundle { .. })
}

impl verify::Source for StoreSource {
    fn meta(&self) -> Result<Meta, SourceError> {
        let ledger = self.view.meta().ledger.to_string();
        let origin = self.view.meta().origin.to_string();
        Ok(Meta { ledger, origin, size: self.view.size(), part: None, withheld: false })
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(Some(self.view.checkpoint().as_bytes().to_vec()))
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        let notes = self.look(Inspected::checkpoints)?;
        Ok(match notes {
            Some(notes) => Box::new(notes.into_iter().map(|note| Ok(Some(note)))),
            None => Box::new(std::iter::once(Ok(None))),
        })
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.look(|view| view.file(path))?.flatten())
    }

    fn head(&self) -> Result<Head, SourceError> {
        let name = format!("the head file {}", self.head.display());
        let Some(file) = open_regular(&self.head)? else { return Ok(Head::Missing { name }) };
        Ok(Head::There { name, note: read_up_to(file, widen(NOTE_LIMIT))? })
    }
}
