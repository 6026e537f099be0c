//! The folder of sled's files: making it, opening it, and waiting until sled has let go of it.

use std::fs::{self, File};
use std::io;
use std::panic;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::disk::{Disk, sync_folder, sync_parent};
use super::layout::{META, SEGMENT_BYTES};
use super::{Error, Meta, Options};
use crate::canon;
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
    let tree = config(&fresh).open()?;
    Disk::new(tree, &fresh, head.clone(), Arc::clone(&options.faults))?.commit(writes)?;
    wait_until_released(&fresh)?;

    // sled syncs neither its `conf` nor a folder.
    let synced = File::open(fresh.join("conf")).and_then(|conf| conf.sync_all());
    synced.and_then(|()| sync_folder(&fresh)).map_err(io_error(&fresh))?;
    let placed = fs::rename(&fresh, path).and_then(|()| sync_parent(path));
    placed.map_err(io_error(path))
}

/// Whether there is a store at this path.
pub fn exists(path: &Path) -> bool {
    path.join("db").exists()
}

/// Opens the database at `path`.
pub(super) fn open(path: &Path) -> Result<sled::Db, Error> {
    if !exists(path) {
        return Err(Error::Missing { path: path.to_owned() });
    }
    let mut tries = 0;
    loop {
        // On some kinds of damage sled panics in place of returning an error.
        let opened = panic::catch_unwind(|| config(path).open());
        match opened.map_err(|_| Error::damaged("the database"))? {
            Ok(tree) => return Ok(tree),
            Err(error) if !is_lock(&error) => return Err(Error::Database(error)),
            Err(_) if tries == LOCK_TRIES => return Err(Error::Locked { path: path.to_owned() }),
            Err(_) => {
                tries += 1;
                thread::sleep(LOCK_WAIT);
            }
        }
    }
}

/// Waits until sled's threads have closed the files of a database whose last handle was dropped.
pub(super) fn wait_until_released(path: &Path) -> Result<(), Error> {
    let file = File::open(path.join("db")).map_err(io_error(path))?;
    for _ in 0..LOCK_TRIES {
        if file.try_lock().is_ok() {
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
