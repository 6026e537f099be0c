//! Where a log's bytes are: in an archive, on a server, or in the database of a stopped one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::client::Client;
use crate::ledger::archive::ArchiveMeta;
use crate::proof::TilePath;
use crate::verify::{self, Meta, SourceError, parse_checkpoints};

/// A folder in the archive's layout.
#[derive(Debug)]
pub(super) struct ArchiveSource {
    folder: PathBuf,
}

impl ArchiveSource {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let path = self.folder.join(name);
        fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()).into())
    }
}

impl verify::Source for ArchiveSource {
    fn meta(&self) -> Result<Meta, SourceError> {
        meta(&self.file("archive.json")?)
    }

    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        self.file("checkpoint")
    }

    fn checkpoints(&self) -> Result<Vec<Vec<u8>>, SourceError> {
        checkpoints(&self.file("checkpoints")?)
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        let path = self.folder.join(path.to_string());
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("cannot read {}: {error}", path.display()).into()),
        }
    }
}

/// A server's `/tlog/LEDGER`, as of one moment.
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
            anyhow::ensure!(status == 200, "{url}{name} answers {status}");
            Ok(body)
        };
        let checkpoint = fetch("/checkpoint")?;
        let mut meta = meta(&fetch("/archive.json")?).map_err(anyhow::Error::from_boxed)?;
        let size = std::str::from_utf8(&checkpoint)
            .ok()
            .and_then(|note| note.split('\n').nth(1)?.parse::<u64>().ok())
            .context("the server's checkpoint cannot be read")?;
        (meta.size, meta.to) = (size, size);
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

    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.checkpoint.clone())
    }

    fn checkpoints(&self) -> Result<Vec<Vec<u8>>, SourceError> {
        let notes = self.client.checkpoints(self.meta.size)?;
        // Those that came after the first look are not of the log that is audited.
        let end = notes.iter().position(|note| *note == self.checkpoint);
        Ok(notes.into_iter().take(end.map_or(usize::MAX, |end| end + 1)).collect())
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        self.fetch(&format!("/{path}"))
    }
}

fn meta(bytes: &[u8]) -> Result<Meta, SourceError> {
    let meta: ArchiveMeta = serde_json::from_slice(bytes)
        .map_err(|error| format!("archive.json cannot be read: {error}"))?;
    let ArchiveMeta { from, ledger, origin, size, to, .. } = meta;
    Ok(Meta { ledger, origin, size, from, to })
}

fn checkpoints(bytes: &[u8]) -> Result<Vec<Vec<u8>>, SourceError> {
    parse_checkpoints(bytes).ok_or_else(|| "the file of checkpoints is damaged".into())
}

/// The database of a stopped server, seen as an archive.
#[derive(Debug)]
pub(super) struct StoreSource {
    view: crate::ledger::Inspected,
}

impl StoreSource {
    pub(super) fn new(view: crate::ledger::Inspected) -> Self {
        Self { view }
    }
}

impl verify::Source for StoreSource {
    fn meta(&self) -> Result<Meta, SourceError> {
        let size = self.view.size();
        let ledger = self.view.meta().ledger.to_string();
        let origin = self.view.meta().origin.to_string();
        Ok(Meta { ledger, origin, size, from: 0, to: size })
    }

    fn checkpoint(&self) -> Result<Vec<u8>, SourceError> {
        Ok(self.view.checkpoint().as_bytes().to_vec())
    }

    fn checkpoints(&self) -> Result<Vec<Vec<u8>>, SourceError> {
        Ok(self.view.checkpoints()?)
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.view.file(path)?)
    }
}
