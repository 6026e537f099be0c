//! Copying a database without what is not in it any more.
//!
//! The copy is built in `db.new`, compared with what it is a copy of, and takes its place by two
//! renames: the old database to `db.old`, the new one to `db`. Whatever a crash leaves is told from
//! which of the three are there, and [`super::erase::marker`] says that it is to be done again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::database::{self, io_error, remove_folder, wait_until_released};
use super::disk::Disk;
use super::erase::{mark, marker};
use super::{Error, Options};
use crate::files::{sync_folder, sync_parent};

/// Bytes that are copied at a time.
const CHUNK_BYTES: usize = 4 * 1024 * 1024;

/// Whether the database holds bytes of what was erased from it.
pub fn holds_erased(options: &Options) -> bool {
    marker(&options.path).exists()
}

/// Copies the database without the bytes of what was erased or replaced, and puts the copy in its place.
///
/// The folder `derived` is removed, if it is there: what was derived from the database may hold such
/// bytes too. Nobody else may open either meanwhile: the caller holds a lock on the ledger's folder.
pub fn compact(options: &Options, derived: &Path) -> Result<(), Error> {
    let path = &options.path;
    let (fresh, old) = (path.with_extension("new"), old(path));
    mend(path)?;
    if !database::exists(path) {
        return Err(Error::Missing { path: path.clone() });
    }
    mark(path).map_err(io_error(path))?;
    for leftover in [&fresh, &old] {
        remove_folder(leftover).map_err(io_error(leftover))?;
    }
    fs::create_dir(&fresh).map_err(io_error(&fresh))?;
    if let Err(error) = copy(options, &fresh) {
        // What was not finished takes no room from a ledger that goes on without it.
        drop(wait_until_released(&fresh).map(|()| remove_folder(&fresh)));
        return Err(error);
    }
    wait_until_released(path)?;
    wait_until_released(&fresh)?;
    let synced = File::open(fresh.join("conf")).and_then(|conf| conf.sync_all());
    synced.and_then(|()| sync_folder(&fresh)).map_err(io_error(&fresh))?;

    let replaced = fs::rename(path, &old).and_then(|()| fs::rename(&fresh, path));
    replaced.and_then(|()| sync_parent(path)).map_err(io_error(path))?;
    remove_folder(&old).and_then(|()| sync_parent(&old)).map_err(io_error(&old))?;
    // A crash before the last step has all of it done again.
    remove_folder(derived).map_err(io_error(derived))?;
    if let Some(folder) = derived.parent().filter(|folder| folder.exists()) {
        sync_folder(folder).map_err(io_error(folder))?;
    }
    let marker = marker(path);
    fs::remove_file(&marker).and_then(|()| sync_parent(&marker)).map_err(io_error(&marker))
}

/// Puts a database back that was moved away for a copy which did not get to its place.
pub(super) fn mend(path: &Path) -> Result<(), Error> {
    let old = old(path);
    if path.exists() || !database::exists(&old) {
        return Ok(());
    }
    fs::rename(&old, path).and_then(|()| sync_parent(path)).map_err(io_error(path))
}

/// Where the old database is while the new one takes its place.
pub(super) fn old(path: &Path) -> PathBuf {
    path.with_extension("old")
}

/// Copies every key that there is, and makes sure that the copy says the same.
fn copy(options: &Options, fresh: &Path) -> Result<(), Error> {
    let from = database::open(&options.path)?;
    let to = database::make(fresh)?;
    let disk = Disk::new(to.clone(), fresh, options.head.clone(), Arc::clone(&options.faults))?;
    let (mut writes, mut bytes) = (sled::Batch::default(), 0);
    for row in from.iter() {
        let (key, value) = row?;
        bytes += key.len() + value.len();
        writes.insert(key, value);
        if bytes >= CHUNK_BYTES {
            disk.apply(std::mem::take(&mut writes))?;
            bytes = 0;
        }
    }
    disk.commit(writes)?;
    let (mut rows, mut copied) = (from.iter(), to.iter());
    loop {
        match (rows.next().transpose()?, copied.next().transpose()?) {
            (None, None) => return Ok(()),
            (one, other) if one == other => {}
            _ => {
                return Err(Error::Io {
                    path: fresh.to_owned(),
                    source: io::ErrorKind::InvalidData.into(),
                });
            }
        }
    }
}
