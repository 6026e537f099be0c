//! The folder of sled's files: making it, opening it, and waiting until sled has let go of it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::disk::Disk;
use super::layout::{META, SEGMENT_BYTES};
use super::{Error, Meta, Options, compact};
use crate::canon;
use crate::files::{sync_folder, sync_parent};
use crate::record::LedgerName;
use crate::seal::Origin;

/// Memory for pages of the database.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How often, and how long apart, a locked database is tried again: sled's own threads hold on to the
/// lock for a moment after the last handle was dropped.
const LOCK_TRIES: u32 = 40;
const LOCK_WAIT: Duration = Duration::from_millis(25);

/// Makes an empty store for a ledger, and leaves it closed. It appears at its path complete or not at
/// all: it is built in `db.new` beside it, and what an interrupted creation left there goes first.
///
/// Refused where a store or its head file is. Two processes must not do this at once: the caller
/// holds a lock on the ledger's folder, which has to exist.
pub fn create(options: &Options, ledger: &LedgerName, origin: Origin) -> Result<(), Error> {
    let Options { path, head, .. } = options;
    if exists(path) {
        return Err(Error::Exists { path: path.clone() });
    }
    if head.exists() {
        return Err(Error::DatabaseMissing { path: path.clone(), witness: head.clone() });
    }
    let fresh = path.with_extension("new");
    let built = remove_folder(&fresh).and_then(|()| fs::create_dir(&fresh));
    built.map_err(io_error(&fresh))?;
    if let Some(folder) = head.parent() {
        let made = fs::create_dir_all(folder).and_then(|()| sync_parent(folder));
        made.map_err(io_error(folder))?;
    }

    let meta = Meta::new(ledger.clone(), origin);
    let mut writes = sled::Batch::default();
    writes.insert(META, canon::sorted_to_bytes(&meta).map_err(|_| Error::damaged("the meta"))?);
    let tree = make(&fresh)?;
    Disk::new(tree, &fresh, head.clone(), Arc::clone(&options.faults))?.commit(writes)?;
    wait_until_released(&fresh)?;

    // sled syncs neither its `conf` nor a folder.
    let synced = File::open(fresh.join("conf")).and_then(|conf| conf.sync_all());
    synced.and_then(|()| sync_folder(&fresh)).map_err(io_error(&fresh))?;
    let placed = fs::rename(&fresh, path).and_then(|()| sync_parent(path));
    placed.map_err(io_error(path))
}

/// Whether there is a store at this path, be it that a crash left it moved aside.
pub fn exists(path: &Path) -> bool {
    current(path).join("db").exists()
}

/// Where the database is that belongs to this path.
fn current(path: &Path) -> PathBuf {
    let aside = compact::old(path);
    if !path.exists() && aside.exists() { aside } else { path.to_owned() }
}

/// Makes an empty database in a folder that is there.
pub(super) fn make(path: &Path) -> Result<sled::Db, Error> {
    Ok(config(path).open()?)
}

/// Opens the database at `path`.
pub(super) fn open(path: &Path) -> Result<sled::Db, Error> {
    compact::mend(path)?;
    if !exists(path) {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let mut tries = 0;
    let mut swept = false;
    loop {
        // On some kinds of damage sled panics in place of returning an error.
        let opened = panic::catch_unwind(|| config(path).open());
        match opened.map_err(|_| Error::damaged("the database"))? {
            Ok(tree) => return Ok(tree),
            Err(sled::Error::Corruption { .. })
                if !swept && remove_partial_snapshots(path).map_err(io_error(path))? =>
            {
                swept = true;
            }
            Err(error) if !is_lock(&error) => return Err(Error::Database(error)),
            Err(_) if tries == LOCK_TRIES => return Err(Error::Locked { path: path.to_owned() }),
            Err(_) => {
                tries += 1;
                thread::sleep(LOCK_WAIT);
            }
        }
    }
}

/// Removes what sled left of a snapshot that it had not written to the end. It takes such a file for
/// the newest snapshot and finds it damaged, for ever; without it, it reads its log instead. Whether
/// there was one.
fn remove_partial_snapshots(path: &Path) -> io::Result<bool> {
    let mut found = false;
    for file in fs::read_dir(path)? {
        let file = file?;
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(file.path())?;
            found = true;
        }
    }
    Ok(found)
}

/// A copy of a database in a folder of its own, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Copy {
    folder: PathBuf,
}

impl Copy {
    /// Copies a database that nobody has open into `scratch`. It is only read.
    pub(super) fn of(path: &Path, scratch: &Path) -> Result<Self, Error> {
        if !exists(path) {
            return Err(Error::Missing { path: path.to_owned() });
        }
        let path = &current(path);
        let file = File::open(path.join("db")).map_err(io_error(path))?;
        wait_for(path, || file.try_lock_shared().is_ok())?;
        let copy = Self { folder: make_folder_in(scratch).map_err(io_error(scratch))? };
        copy_folder(path, &copy.path()).map_err(io_error(&copy.folder))?;
        Ok(copy)
    }

    /// Where the copy is.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join("db")
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What is left is in a folder for temporary files, and only its owner can read it.
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Makes a folder that only its owner can read, under a name that nothing has.
fn make_folder_in(scratch: &Path) -> io::Result<PathBuf> {
    for number in 0u32.. {
        let folder = scratch.join(format!("whence-{}-{number}", std::process::id()));
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| folder),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for file in fs::read_dir(from)? {
        let file = file?;
        let place = to.join(file.file_name());
        if file.file_type()?.is_dir() {
            copy_folder(&file.path(), &place)?;
        } else {
            fs::copy(file.path(), place)?;
        }
    }
    Ok(())
}

/// Waits until sled's threads have closed the files of a database whose last handle was dropped.
pub fn wait_until_released(path: &Path) -> Result<(), Error> {
    let file = File::open(path.join("db")).map_err(io_error(path))?;
    wait_for(path, || file.try_lock().is_ok())
}

fn wait_for(path: &Path, mut locked: impl FnMut() -> bool) -> Result<(), Error> {
    for _ in 0..LOCK_TRIES {
        if locked() {
            return Ok(());
        }
        thread::sleep(LOCK_WAIT);
    }
    Err(Error::Locked { path: path.to_owned() })
}

/// Removes a folder, if it is there.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Io { path, source }
}

fn is_lock(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(source) if source.to_string().contains("lock"))
}

fn config(path: &Path) -> sled::Config {
    sled::Config::new()
        .path(path)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
}
