//! Looking at a ledger without opening it for writing, and making one from what an archive holds.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::archive::push_parts;
use super::registry::{io, lock_folder, parse_key, write_key};
use super::{Error, Settings};
use crate::canon::TreeHash;
use crate::files;
use crate::proof::{TILE_WIDTH, Tile, TilePath, Tree, bundle, tile_width};
use crate::record::{Entry, LedgerName};
use crate::seal::{Origin, SigningKey, UnverifiedCheckpoint, VerifierKey};
use crate::store::{self, Appender, Inspection, Meta, StoredPart};

/// A ledger's database as it is, for an auditor: nothing is checked and nothing refused.
#[derive(Debug)]
pub struct Inspected {
    store: Inspection,
    tree: Tree,
    /// The full tiles that the store does not have yet, by level and index.
    tiles: BTreeMap<(u8, u64), Arc<Tile>>,
    checkpoint: String,
    size: u64,
}

impl Inspected {
    /// Looks at a ledger whose server must be stopped. See [`store::inspect`]: nothing of the ledger
    /// is written to, and `scratch` needs room for a copy of its database.
    pub fn open(options: &store::Options, scratch: &Path) -> Result<Self, Error> {
        let store = store::inspect(options, scratch)?;
        let reader = &store.reader;
        let last = reader.last_batch()?.ok_or(Error::Unknown)?;
        let size = last.seqs().end;
        let covered = reader.covered();
        let mut tree = Tree::from_full_tiles(covered, reader).map_err(store::Error::from)?;
        let mut completed = Vec::new();
        for entry in reader.entries(covered..size) {
            tree.append(TreeHash::leaf(&entry?.1), &mut completed);
        }
        let tiles = completed.into_iter().map(|tile| ((tile.level, tile.index), tile.tile));
        Ok(Self { tiles: tiles.collect(), store, tree, checkpoint: last.checkpoint, size })
    }

    /// The note in the head file: the last checkpoint that was acknowledged, which nobody who only
    /// changed the database could change with it. `None` if there is no head file.
    pub fn head(&self) -> Option<&[u8]> {
        self.store.head.as_deref()
    }

    /// What the ledger is.
    pub const fn meta(&self) -> &Meta {
        &self.store.meta
    }

    /// The number of entries, by the last batch.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The last checkpoint.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// The checkpoints of all batches, in order.
    pub fn checkpoints(&self) -> Result<Vec<Vec<u8>>, Error> {
        let batches = self.store.reader.batches(0..u64::MAX);
        batches.map(|batch| Ok(batch?.checkpoint.into_bytes())).collect()
    }

    /// The bytes at a path of the archive.
    pub fn file(&self, path: TilePath) -> Result<Option<Vec<u8>>, Error> {
        let (index, width) = match path {
            TilePath::Hash { level, index, width } => return self.tile(level, index, width),
            TilePath::Entries { index, width } | TilePath::Content { index, width } => {
                (index, width)
            }
        };
        let seqs = index * TILE_WIDTH..index * TILE_WIDTH + u64::from(width);
        let mut bytes = Vec::new();
        if matches!(path, TilePath::Content { .. }) {
            for (_, parts) in self.store.reader.contents(seqs)? {
                push_parts(&mut bytes, &parts);
            }
            return Ok(Some(bytes));
        }
        for entry in self.store.reader.entries(seqs) {
            let (seq, entry) = entry?;
            bundle::push_entry(&mut bytes, &entry)
                .map_err(|source| Error::Bundle { seq, source })?;
        }
        Ok(Some(bytes))
    }

    /// A tile that is stored, or that stands above entries of the last run and is not stored yet.
    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Option<Vec<u8>>, Error> {
        if let Some(edge) = self.tree.edge_at(level, index) {
            return Ok(Some(edge.to_bytes()));
        }
        // What is on disk comes first: it is what is audited.
        if let Some(tile) = self.store.reader.stored_tile(level, index)? {
            return Ok(Some(tile.to_bytes()));
        }
        if let Some(tile) = self.tiles.get(&(level, index)) {
            return Ok(Some(tile.to_bytes()));
        }
        if level > 0 || tile_width(self.size, 0, index) != Some(width) {
            return Ok(None);
        }
        let first = index * TILE_WIDTH;
        let mut bytes = Vec::new();
        for entry in self.store.reader.entries(first..first + u64::from(width)) {
            bytes.extend(TreeHash::leaf(&entry?.1).as_bytes());
        }
        Ok(Some(bytes))
    }
}

/// Records and bytes that are written at once. An archive may have a checkpoint for many more.
const PART_RECORDS_MAX: usize = 1_024;
const PART_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Makes a ledger of entries that were sealed elsewhere. Whoever uses it has verified them.
///
/// The ledger is built in `NAME.importing`, which no ledger can be called, and takes its place when it
/// is complete. What an interrupted import leaves there is removed by the next.
#[derive(Debug)]
pub struct Importer {
    settings: Settings,
    ledger: LedgerName,
    folder: PathBuf,
    /// Keeps a second import of the ledger away.
    _locked: File,
    appender: Appender,
    tree: Tree,
    key: VerifierKey,
    seed: Option<[u8; 32]>,
    /// The checkpoints still to come, and the last one that came.
    notes: VecDeque<UnverifiedCheckpoint>,
    last: Option<UnverifiedCheckpoint>,
    /// What is not written yet.
    part: store::Batch,
    bytes: usize,
}

impl Importer {
    /// Checks what was given, and makes an empty store beside the ledger's place. The entries will
    /// stand in the batches that `notes`, the checkpoints in their order, were signed over.
    ///
    /// Nothing is written if a part of such a ledger is there, or if `signing_key`, the text of a
    /// key file, is not the key that signed the archive.
    pub fn create(
        settings: &Settings,
        meta: (LedgerName, Origin),
        key: VerifierKey,
        signing_key: Option<&str>,
        notes: Vec<String>,
    ) -> Result<Self, Error> {
        let (ledger, origin) = meta;
        let seed = signing_key.map(|text| check_key(text, &key)).transpose()?;
        let notes = read_notes(notes, &origin)?;
        nothing_in_the_way(settings, &ledger)?;

        let folder = settings.data.join("ledgers").join(format!("{ledger}.importing"));
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        let locked = File::open(&folder).map_err(io(&folder))?;
        locked.try_lock().map_err(|_| Error::Importing)?;
        clear(&folder).map_err(io(&folder))?;

        let store = building(settings, &ledger, &folder);
        store::create(&store, &ledger, origin)?;
        let verifier = key.clone();
        let appender = store::open(&store, move |_| verifier)?.appender;
        Ok(Self {
            settings: settings.clone(),
            ledger,
            folder,
            _locked: locked,
            appender,
            tree: Tree::new(),
            key,
            seed,
            notes,
            last: None,
            part: store::Batch::default(),
            bytes: 0,
        })
    }

    /// Takes the next entry and its content.
    pub fn push(&mut self, bytes: &[u8], content: Vec<StoredPart>) -> Result<(), Error> {
        let seq = self.tree.size();
        let entry = Entry::parse(bytes).map_err(|source| Error::Entry { seq, source })?;
        self.tree.append(TreeHash::leaf(bytes), &mut self.part.tiles);
        self.bytes += bytes.len();
        self.bytes += content.iter().map(StoredPart::len).sum::<usize>();
        self.part.records.push(store::Record::read_back(&entry, bytes.to_vec(), content));
        if self.notes.front().is_some_and(|note| note.claim().size() == self.tree.size()) {
            self.end_batch()
        } else if self.part.records.len() >= PART_RECORDS_MAX || self.bytes >= PART_BYTES_MAX {
            self.write(String::new())
        } else {
            Ok(())
        }
    }

    /// Says that all entries were taken, and moves the ledger to its place, with its key if one was
    /// given. Without its key it can be audited, and nobody can open it.
    pub fn finish(mut self) -> Result<(), Error> {
        let damaged = || Error::from(store::Error::Damaged { what: "the last batch" });
        let note = self.last.take().ok_or_else(damaged)?;
        if !self.part.records.is_empty() || !self.notes.is_empty() {
            return Err(damaged());
        }
        let text = note.note().to_string();
        note.verify(std::slice::from_ref(&self.key)).map_err(Error::Checkpoint)?;

        // Held so that no server makes the ledger meanwhile.
        let place = self.settings.make_folder(&self.ledger)?;
        let _placed = lock_folder(&place)?;
        nothing_in_the_way(&self.settings, &self.ledger)?;
        self.appender.finish_load(&text)?;
        drop(self.appender);
        store::wait_until_released(&self.folder.join("db"))?;
        if let Some(seed) = &self.seed {
            write_key(&self.folder.join("key"), seed)?;
        }
        files::sync_folder(&self.folder).map_err(io(&self.folder))?;
        fs::rename(&self.folder, &place).map_err(io(&place))?;
        self.settings.make_folder(&self.ledger).map(drop)
    }

    /// Writes the records of a batch that its checkpoint now covers, if it does.
    fn end_batch(&mut self) -> Result<(), Error> {
        let Some(note) = self.notes.pop_front() else { return Ok(()) };
        if note.claim().root() != self.tree.root() {
            return Err(store::Error::Damaged { what: "a checkpoint's root" }.into());
        }
        let text = note.note().to_string();
        self.last = Some(note);
        self.write(text)
    }

    /// Writes a part of a batch, the last one with the checkpoint.
    fn write(&mut self, checkpoint: String) -> Result<(), Error> {
        let mut part = std::mem::take(&mut self.part);
        self.bytes = 0;
        part.first_seq = self.tree.size() - u64::try_from(part.records.len()).unwrap_or(0);
        part.checkpoint = checkpoint;
        Ok(self.appender.load(part)?)
    }
}

/// The seed in a key file, if it is that of the key.
fn check_key(text: &str, key: &VerifierKey) -> Result<[u8; 32], Error> {
    let fail = |why: &str| Error::SigningKey { why: why.to_owned() };
    let seed = parse_key(text).ok_or_else(|| fail("it does not hold 32 bytes in base64"))?;
    let own = SigningKey::from_seed(&seed).verifier_key(key.name().clone());
    if own == *key { Ok(seed) } else { Err(fail("it is not the key that signed the archive")) }
}

/// The checkpoints, as far as they fit together: one log, and growing.
fn read_notes(
    notes: Vec<String>,
    origin: &Origin,
) -> Result<VecDeque<UnverifiedCheckpoint>, Error> {
    let damaged = || store::Error::Damaged { what: "a checkpoint" };
    let mut size = 0;
    let notes = notes.into_iter().map(|note| {
        let note = UnverifiedCheckpoint::parse(note.as_bytes()).map_err(|_| damaged())?;
        if note.claim().size() <= size || note.claim().origin() != origin {
            return Err(damaged().into());
        }
        size = note.claim().size();
        Ok(note)
    });
    notes.collect()
}

/// Refuses if there is anything of such a ledger: its files are not replaced, whatever they are.
fn nothing_in_the_way(settings: &Settings, ledger: &LedgerName) -> Result<(), Error> {
    let refuse = |path: &Path| Err(Error::InTheWay { path: path.display().to_string() });
    let (folder, head) = (settings.folder(ledger), settings.store(ledger).head);
    match fs::read_dir(&folder).map(|mut files| files.next().is_some()) {
        Ok(true) => refuse(&folder),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(&folder)(error)),
        Ok(false) | Err(_) if head.exists() => refuse(&head),
        Ok(false) | Err(_) => Ok(()),
    }
}

/// The store that is built: its head file goes to its place at once if that is elsewhere.
fn building(settings: &Settings, ledger: &LedgerName, folder: &Path) -> store::Options {
    let mut store = settings.store(ledger);
    store.path = folder.join("db");
    if settings.heads.is_none() {
        store.head = folder.join("head");
    }
    store
}

/// Removes what is in a folder.
fn clear(folder: &Path) -> std::io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_type()?.is_dir() {
            fs::remove_dir_all(file.path())?;
        } else {
            fs::remove_file(file.path())?;
        }
    }
    Ok(())
}
