//! Opening a store: what was acknowledged is there and unchanged, or opening fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::database::{Copy, io_error};
use super::disk::Disk;
use super::index::Index;
use super::journal::Keys;
use super::layout::{LAYOUT_VERSION, META};
use super::{Appender, Error, Faults, NoFaults, Reader, database};
use crate::canon::{EntryHash, TreeHash};
use crate::files;
use crate::proof::{self, Tree};
use crate::record::{Entry, LedgerName, Timestamp};
use crate::seal::{KeyName, Origin, SignedCheckpoint, UnverifiedCheckpoint, VerifierKey};

/// What a ledger is, fixed when it is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The version of the layout.
    layout: u8,
    /// The ledger's name within its server.
    pub ledger: LedgerName,
    /// The origin of its checkpoints.
    #[serde(with = "origin_text")]
    pub origin: Origin,
}

impl Meta {
    /// What a new ledger is.
    pub(super) const fn new(ledger: LedgerName, origin: Origin) -> Self {
        Self { layout: LAYOUT_VERSION, ledger, origin }
    }
}

/// An origin as the string it is.
mod origin_text {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::seal::Origin;

    pub(super) fn serialize<S: Serializer>(origin: &Origin, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(origin.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Origin, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// Where the files of a store are, and how to open them.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the database.
    pub path: PathBuf,
    /// The head file. Outside the data directory, a restored backup cannot take it back.
    pub head: PathBuf,
    /// Accept a store whose head file is gone.
    pub accept_missing_head: bool,
    /// Which steps of a commit fail, in a test.
    pub faults: Arc<dyn Faults>,
}

impl Options {
    /// Options for a store at `path` with its head file at `head`.
    pub fn new(path: PathBuf, head: PathBuf) -> Self {
        Self { path, head, accept_missing_head: false, faults: Arc::new(NoFaults) }
    }
}

/// A store that was opened: everything below its checkpoint was found as it was sealed.
#[derive(Debug)]
pub struct Opened {
    /// What the ledger is.
    pub meta: Meta,
    /// Writes.
    pub appender: Appender,
    /// Reads.
    pub reader: Reader,
    /// The end of the log. `None` if nothing was ever committed.
    pub head: Option<Head>,
}

/// The end of a log.
#[derive(Clone, Debug)]
pub struct Head {
    /// The tree over all entries.
    pub tree: Tree,
    /// The hash of the last entry.
    pub last: EntryHash,
    /// When the last entry was received.
    pub received_at: Timestamp,
    /// The checkpoint that covers all entries.
    pub checkpoint: SignedCheckpoint,
}

/// Opens a store, and checks its end against its last checkpoint and against the head file.
///
/// What is checked: every entry since the last complete run of the index (seldom more than 65,536),
/// the tree over all entries, the signature, and that the log continues the history in the head file.
/// A full check of every byte is the auditor's (`whence verify`).
///
/// `key` gives the ledger's verifier key under the name that the store's origin asks for.
pub fn open(options: &Options, key: impl FnOnce(KeyName) -> VerifierKey) -> Result<Opened, Error> {
    let path = &options.path;
    let (tree, meta) = open_database(path)?;
    let key = key(meta.origin.key_name().clone());
    let index = Arc::new(Index::open(tree.clone())?);
    let reader = Reader::new(tree.clone(), Arc::clone(&index));
    let head = recover(&meta, &reader, &index, &key)?;
    let recorded = compare_with_head_file(options, &meta, &reader, head.as_ref(), &key)?;

    let faults = Arc::clone(&options.faults);
    let disk = Disk::new(tree, path, options.head.clone(), faults)?;
    let mut appender = Appender::new(disk, reader.clone(), index);
    // Whoever opens a store shows its head to others. A commit may have ended in between, so the head
    // is made durable and recorded first, as in a commit.
    match &head {
        Some(head) if recorded != Some(head.tree.size()) => {
            appender.record_head(&head.checkpoint.note().to_string())?;
        }
        Some(_) => appender.confirm_head()?,
        None => {}
    }
    appender.settle_all()?;
    Ok(Opened { meta, appender, reader, head })
}

/// A store as it is.
#[derive(Debug)]
pub struct Inspection {
    /// What the ledger is.
    pub meta: Meta,
    /// Reads.
    pub reader: Reader,
    /// The bytes of the head file, if there is one.
    pub head: Option<Vec<u8>>,
    _copy: Copy,
}

/// Opens a copy of a store only to look at it: nothing is checked and nothing is refused, because
/// what an auditor is looking for is exactly what [`open`] would refuse.
///
/// Opening a database repairs it, and would remove traces. So the store itself is only read, and the
/// copy, in a folder of its own in `scratch`, goes with the answer.
pub fn inspect(options: &Options, scratch: &Path) -> Result<Inspection, Error> {
    let copy = Copy::of(&options.path, scratch)?;
    let head = files::read_if_there(&options.head).map_err(io_error(&options.head))?;
    let (tree, meta) = open_database(&copy.path())?;
    let index = Arc::new(Index::open(tree.clone())?);
    Ok(Inspection { meta, reader: Reader::new(tree, index), head, _copy: copy })
}

fn open_database(path: &Path) -> Result<(sled::Db, Meta), Error> {
    let tree = database::open(path)?;
    let meta = read_meta(&tree)?;
    Ok((tree, meta))
}

fn read_meta(tree: &sled::Db) -> Result<Meta, Error> {
    let bytes = tree.get(META)?.ok_or(Error::damaged("the meta"))?;
    let meta: Meta = serde_json::from_slice(&bytes).map_err(|_| Error::damaged("the meta"))?;
    if meta.layout != LAYOUT_VERSION {
        return Err(Error::Version { found: meta.layout, known: LAYOUT_VERSION });
    }
    Ok(meta)
}

/// Folds what the index does not cover yet, by the code that running uses, and compares the result
/// with the checkpoint that was committed with the last batch.
fn recover(
    meta: &Meta,
    reader: &Reader,
    index: &Index,
    key: &VerifierKey,
) -> Result<Option<Head>, Error> {
    let covered = index.covered();
    let Some(batch) = reader.last_batch()? else {
        return if covered == 0 { Ok(None) } else { Err(Error::damaged("the journal")) };
    };
    let size = batch.seqs().end;
    let checkpoint = read_checkpoint(meta, &batch.checkpoint, key, "last checkpoint of the store")?;
    let changed = |why| Error::Changed { since: covered, size, why };
    let signed = checkpoint.checkpoint();
    if signed.size() != size || covered > size {
        return Err(changed("the number of entries differs"));
    }

    let mut tree = Tree::from_full_tiles(covered, reader)?;
    let before = covered.checked_sub(1);
    let before = before.map(|seq| reader.entry(seq)).transpose()?.flatten();
    let mut last = before.map(|bytes| (EntryHash::of(&bytes), bytes));
    for entry in reader.entries(covered..size) {
        let (seq, bytes) = entry?;
        let entry = Entry::parse(&bytes).map_err(|_| changed("an entry cannot be read"))?;
        if entry.seq != seq || seq != tree.size() {
            return Err(changed("an entry is missing or out of place"));
        }
        if entry.prev != last.as_ref().map(|(hash, _)| *hash) {
            return Err(changed("the chain is broken"));
        }
        let mut tiles = Vec::new();
        tree.append(TreeHash::leaf(&bytes), &mut tiles);
        index.fold(&[Keys::of(&entry).into_rows()], tiles);
        last = Some((EntryHash::of(&bytes), Arc::clone(&bytes)));
    }
    if tree.size() != size || tree.root() != signed.root() {
        return Err(changed("the tree has another root"));
    }
    let Some((last, bytes)) = last else { return Err(changed("the last entry is missing")) };
    let entry = Entry::parse(&bytes).map_err(|_| changed("an entry cannot be read"))?;
    let received_at = entry.received_at;
    Ok(Some(Head { tree, last, received_at, checkpoint }))
}

/// Compares the log with the last checkpoint that was ever acknowledged, and returns that one's size.
fn compare_with_head_file(
    options: &Options,
    meta: &Meta,
    reader: &Reader,
    head: Option<&Head>,
    key: &VerifierKey,
) -> Result<Option<u64>, Error> {
    let path = &options.head;
    let note = match fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Nothing was acknowledged before the first head file; the first batch is genesis alone.
            let fresh = head.is_none_or(|head| head.tree.size() <= 1);
            return if fresh || options.accept_missing_head {
                Ok(None)
            } else {
                Err(Error::HeadMissing { path: path.clone() })
            };
        }
        Err(source) => return Err(Error::Io { path: path.clone(), source }),
    };
    let recorded = read_checkpoint(meta, &note, key, "checkpoint in the head file")?;
    let recorded = recorded.checkpoint();
    let size = head.map_or(0, |head| head.tree.size());
    let Some(end) = head.filter(|head| recorded.size() <= head.tree.size()) else {
        return Err(Error::Lost {
            head: path.clone(),
            recorded: recorded.size(),
            found: size,
            last: head.map(|head| head.received_at),
        });
    };
    let root = proof::root_at(&reader.tiles(&end.tree), recorded.size())?;
    if root == recorded.root() {
        Ok(Some(recorded.size()))
    } else {
        Err(Error::Forked { head: path.clone(), size: recorded.size() })
    }
}

fn read_checkpoint(
    meta: &Meta,
    note: &str,
    key: &VerifierKey,
    what: &'static str,
) -> Result<SignedCheckpoint, Error> {
    let wrong = || Error::WrongKey { what, key: key.to_string() };
    let note = UnverifiedCheckpoint::parse(note.as_bytes()).map_err(|_| Error::damaged(what))?;
    let checkpoint = note.verify(std::slice::from_ref(key)).map_err(|_| wrong())?;
    if *checkpoint.checkpoint().origin() == meta.origin { Ok(checkpoint) } else { Err(wrong()) }
}
