//! The steps of a commit that reach the disk, in their order, and a place to make each of them fail.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Error;
use super::erase::mark;
use super::flush::Flusher;
use crate::files::sync_parent;

/// One step of a commit, in the order in which a commit takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// The batch is given to sled.
    Apply,
    /// Sled writes its buffers to the file.
    Flush,
    /// The file is fsynced. From here on the batch is durable.
    Sync,
    /// The new head file is written beside the old one.
    HeadWrite,
    /// The new head file is fsynced.
    HeadSync,
    /// The new head file takes the old one's place.
    HeadRename,
    /// The folder of the head file is fsynced. From here on the batch may be acknowledged.
    HeadDirSync,
    /// A part of the index is written and fsynced. It can be derived again, so its failure loses
    /// nothing.
    Index,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 8] = [
        Self::Apply,
        Self::Flush,
        Self::Sync,
        Self::HeadWrite,
        Self::HeadSync,
        Self::HeadRename,
        Self::HeadDirSync,
        Self::Index,
    ];
}

/// Lets a test make any step fail: before it was taken, or after, which is the worse of the two.
///
/// Real disks do both. "Reported failed but persisted" is what an fsync error usually is.
pub trait Faults: fmt::Debug + Send + Sync {
    /// Called before a step. An error means that the step is not taken.
    fn before(&self, step: Step) -> io::Result<()>;
    /// Called after a step succeeded. An error means that it is reported as failed all the same.
    fn after(&self, step: Step) -> io::Result<()>;
}

/// No step fails unless the machine makes it fail.
#[derive(Clone, Copy, Debug)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn before(&self, _: Step) -> io::Result<()> {
        Ok(())
    }

    fn after(&self, _: Step) -> io::Result<()> {
        Ok(())
    }
}

/// The files of one ledger that a commit writes to.
#[derive(Debug)]
pub(super) struct Disk {
    tree: sled::Db,
    flusher: Flusher,
    /// An own handle on sled's file, to fsync it with.
    data_file: File,
    path: PathBuf,
    head: PathBuf,
    faults: Arc<dyn Faults>,
}

impl Disk {
    /// Takes the database at `path`, which sled has open, and the place of its head file.
    pub(super) fn new(
        tree: sled::Db,
        path: &Path,
        head: PathBuf,
        faults: Arc<dyn Faults>,
    ) -> Result<Self, Error> {
        let data_path = path.join("db");
        let data_file =
            File::open(&data_path).map_err(|source| Error::Io { path: data_path, source })?;
        let flusher = Flusher::new(tree.clone())
            .map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(Self { tree, flusher, data_file, path: path.to_owned(), head, faults })
    }

    /// Writes a batch: all or none, and durable on return.
    ///
    /// After an error nobody can know which, until the store was opened again.
    pub(super) fn commit(&self, batch: sled::Batch) -> Result<(), Error> {
        self.apply(batch)?;
        self.sync()
    }

    /// Notes, durably, that the database will hold bytes of what was erased from it.
    pub(super) fn mark_erased(&self) -> Result<(), Error> {
        mark(&self.path).map_err(|source| Error::Io { path: self.path.clone(), source })
    }

    /// Writes a batch that need not be durable before [`Self::sync`].
    pub(super) fn apply(&self, batch: sled::Batch) -> Result<(), Error> {
        self.step(Step::Apply, || Ok(self.tree.apply_batch(batch)?))
    }

    /// Makes everything that was written durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.step(Step::Flush, || self.flusher.flush())?;
        // On Linux sled 0.34 flushes with `sync_file_range`, which leaves the drive's cache and the
        // file's length alone: enough after `kill -9`, not after a power cut. fsync is.
        self.step(Step::Sync, || self.data_file.sync_all())
    }

    /// Makes `note` the recorded head, durably: the old head or the new one is there at any moment.
    pub(super) fn write_head(&self, note: &[u8]) -> Result<(), Error> {
        let fresh = self.head.with_extension("new");
        let mut file = None;
        self.step(Step::HeadWrite, || {
            let mut created = File::create(&fresh)?;
            created.write_all(note)?;
            file = Some(created);
            Ok(())
        })?;
        self.step(Step::HeadSync, || file.take().map_or(Ok(()), |file| file.sync_all()))?;
        self.step(Step::HeadRename, || fs::rename(&fresh, &self.head))?;
        self.step(Step::HeadDirSync, || sync_parent(&self.head))
    }

    /// Makes sure that the recorded head, which was read and found in order, outlives a power cut: a
    /// process that ended between renaming and syncing left that open.
    pub(super) fn confirm_head(&self) -> Result<(), Error> {
        self.step(Step::HeadDirSync, || sync_parent(&self.head))
    }

    /// Writes a part of the index. It is durable on return: sled moves pages between segments and
    /// reuses the old ones, so what is not synced can take with it, in a power cut, what was.
    pub(super) fn write_index(&self, batch: sled::Batch) -> Result<(), Error> {
        self.step(Step::Index, || {
            self.tree.apply_batch(batch)?;
            self.tree.flush()?;
            self.data_file.sync_all()
        })
    }

    fn step(&self, step: Step, take: impl FnOnce() -> io::Result<()>) -> Result<(), Error> {
        let outcome =
            self.faults.before(step).and_then(|()| take()).and_then(|()| self.faults.after(step));
        outcome.map_err(|source| Error::Step { step, source })
    }
}
