//! One index on disk, opened to go on with it: checked, or built anew.

use std::fs;
use std::io;
use std::ops::{Bound, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use tantivy::directory::MmapDirectory;
use tantivy::query::RangeQuery;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, Term};

use super::Error;
use super::document::Indexed;
use super::schema::{Fields, VERSION, register_tokenizers};
use crate::canon::{EntryHash, sorted_to_bytes};
use crate::store::Reader;

/// Bytes of memory in which documents are gathered before they are written as a segment.
const BUDGET_BYTES: usize = 96 * 1024 * 1024;
/// Records that are read from the store at a time.
const CHUNK: u64 = 1_024;

/// A secret that nobody can guess.
pub(super) type Secret = [u8; 32];

/// How far an index is, in the payload of its commits: what is in it is a prefix of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    version: u32,
    /// The number of records in it.
    next: u64,
    /// The hash of the log's first entry, which names the log.
    first: EntryHash,
    /// The hash of the last entry in it.
    last: EntryHash,
    /// The key of its digests of documents.
    secret: String,
}

/// An index that can be gone on with.
pub(super) struct Writer {
    fields: Fields,
    indexing: IndexWriter,
    reader: IndexReader,
    secret: Secret,
    /// The hash of the log's first entry and of the last one that was added.
    ends: Option<(EntryHash, EntryHash)>,
    next: u64,
    committed: u64,
}

impl Writer {
    /// Opens the index in a folder if it is whole and of this log, and otherwise begins a new one in its
    /// place. Whatever it was then, it was derived.
    pub(super) fn open(
        folder: &Path,
        log: &Reader,
        size: u64,
        secret: impl FnOnce() -> io::Result<Secret>,
    ) -> Result<Self, Error> {
        if folder.exists() {
            // A file that another program wrote is not worth being careful with.
            let opened = catch_unwind(AssertUnwindSafe(|| Self::open_whole(folder, log, size)));
            match opened {
                Ok(Ok(writer)) => return Ok(writer),
                Ok(Err(why)) => {
                    tracing::warn!(folder = %folder.display(), why, "the index is built again");
                }
                Err(_) => {
                    let why = "it cannot be read";
                    tracing::warn!(folder = %folder.display(), why, "the index is built again");
                }
            }
        }
        remove(folder)?;
        fs::create_dir_all(folder).map_err(io_error(folder))?;
        let secret = secret().map_err(io_error(folder))?;
        let fields = Fields::new();
        let index = Index::create_in_dir(folder, fields.schema.clone())?;
        Self::with(&index, fields, secret, None, 0)
    }

    fn open_whole(folder: &Path, log: &Reader, size: u64) -> Result<Self, String> {
        let fields = Fields::new();
        let failed = |error: tantivy::TantivyError| error.to_string();
        let directory = MmapDirectory::open(folder).map_err(|error| error.to_string())?;
        let index = Index::open(directory).map_err(failed)?;
        if index.schema() != fields.schema {
            return Err("its fields are others".to_owned());
        }
        let payload = index.load_metas().map_err(failed)?.payload;
        let position: Position = payload
            .and_then(|payload| serde_json::from_str(&payload).ok())
            .ok_or("it does not say how far it is")?;
        let secret = HEXLOWER.decode(position.secret.as_bytes()).ok();
        let secret = secret.and_then(|secret| Secret::try_from(secret).ok());
        let secret = secret.ok_or("it does not say how far it is")?;
        if position.version != VERSION {
            return Err("it is of another version".to_owned());
        }
        if position.next > size {
            return Err("it is ahead of the log".to_owned());
        }
        let hash = |seq: u64| match log.entry(seq) {
            Ok(entry) => Ok(entry.map(|entry| EntryHash::of(&entry))),
            Err(error) => Err(error.to_string()),
        };
        let last = position.next.checked_sub(1).map(hash).transpose()?.flatten();
        if hash(0)? != Some(position.first) || last != Some(position.last) {
            return Err("it is of another log".to_owned());
        }
        if !index.validate_checksum().map_err(failed)?.is_empty() {
            return Err("a file of it is damaged".to_owned());
        }
        let ends = Some((position.first, position.last));
        let writer = Self::with(&index, fields, secret, ends, position.next);
        let writer = writer.map_err(|error| error.to_string())?;
        if writer.reader.searcher().num_docs() != position.next {
            return Err("records are missing from it".to_owned());
        }
        Ok(writer)
    }

    fn with(
        index: &Index,
        fields: Fields,
        secret: Secret,
        ends: Option<(EntryHash, EntryHash)>,
        next: u64,
    ) -> Result<Self, Error> {
        register_tokenizers(index);
        let indexing = index.writer_with_num_threads(1, BUDGET_BYTES)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        Ok(Self { fields, indexing, reader, secret, ends, next, committed: next })
    }

    /// The fields of the index.
    pub(super) const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The key of its digests of documents.
    pub(super) const fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The number of records that were added.
    pub(super) const fn next(&self) -> u64 {
        self.next
    }

    /// The number of records that a search finds.
    pub(super) const fn committed(&self) -> u64 {
        self.committed
    }

    /// What was committed, to search in.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Adds the next records of the log, at most a chunk of them, and none from `size` on.
    pub(super) fn add(&mut self, log: &Reader, size: u64) -> Result<(), Error> {
        let seqs = self.next..size.min(self.next.saturating_add(CHUNK));
        let mut contents = log.contents(seqs.clone())?.into_iter().peekable();
        let mut last = None;
        for entry in log.entries(seqs) {
            let (seq, bytes) = entry?;
            let entry: Indexed =
                serde_json::from_slice(&bytes).map_err(|_| Error::Entry { seq })?;
            let parts = contents.next_if(|(of, _)| *of == seq).map(|(_, parts)| parts);
            let parts = parts.unwrap_or_default();
            self.indexing.add_document(entry.document(&self.fields, &self.secret, &parts))?;
            for span in entry.erased(&parts) {
                self.add_again(log, span)?;
            }
            if seq == 0 {
                let hash = EntryHash::of(&bytes);
                self.ends = Some((hash, hash));
            }
            self.next = seq + 1;
            last = Some(bytes);
        }
        if let (Some((_, end)), Some(last)) = (&mut self.ends, last) {
            *end = EntryHash::of(&last);
        }
        Ok(())
    }

    /// Takes records out and adds them again, as they are in the store now: without their content, if it
    /// was erased.
    fn add_again(&mut self, log: &Reader, span: RangeInclusive<u64>) -> Result<(), Error> {
        let bound = |seq| Bound::Included(Term::from_field_u64(self.fields.seq, seq));
        let those = RangeQuery::new(bound(*span.start()), bound(*span.end()));
        self.indexing.delete_query(Box::new(those))?;
        let seqs = *span.start()..span.end().saturating_add(1);
        let mut contents = log.contents(seqs.clone())?.into_iter().peekable();
        for entry in log.entries(seqs) {
            let (seq, bytes) = entry?;
            let entry: Indexed =
                serde_json::from_slice(&bytes).map_err(|_| Error::Entry { seq })?;
            let parts = contents.next_if(|(of, _)| *of == seq).map(|(_, parts)| parts);
            let parts = parts.unwrap_or_default();
            self.indexing.add_document(entry.document(&self.fields, &self.secret, &parts))?;
        }
        Ok(())
    }

    /// Makes what was added durable, and lets searches find it.
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        let Some((first, last)) = self.ends.filter(|_| self.next > self.committed) else {
            return Ok(());
        };
        let position = Position {
            version: VERSION,
            next: self.next,
            first,
            last,
            secret: HEXLOWER.encode(&self.secret),
        };
        let payload = sorted_to_bytes(&position).unwrap_or_default();
        let payload = String::from_utf8(payload).unwrap_or_default();
        let mut prepared = self.indexing.prepare_commit()?;
        prepared.set_payload(&payload);
        prepared.commit()?;
        self.reader.reload()?;
        self.committed = self.next;
        Ok(())
    }
}

/// Removes a folder, or what stands in its place, if it is there.
pub(super) fn remove(folder: &Path) -> Result<(), Error> {
    let removed = fs::symlink_metadata(folder).and_then(|found| {
        if found.is_dir() { fs::remove_dir_all(folder) } else { fs::remove_file(folder) }
    });
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(folder)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn io_error(path: &Path) -> impl Fn(io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::Io { path: path.clone(), source }
}
