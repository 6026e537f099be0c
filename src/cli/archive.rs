//! `whence export`: a ledger as files that anybody can check.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, ensure};

use super::args::Export;
use super::client::Client;
use super::config::Config;
use super::output::Output;
use super::sources::{StoreSource, UrlSource};
use super::system::SOFTWARE;
use crate::canon;
use crate::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, ArchivedContent, push_checkpoint};
use crate::ledger::{self, Inspected, Settings};
use crate::proof::{TILE_WIDTH, TilePath, tile_width};
use crate::store::Error::{Locked, Missing};
use crate::verify::{Meta, Source};

/// Exports from the data directory, or from the server if that has the data directory open or there is
/// none on this machine.
pub(super) fn export(config: &Config, args: &Export, output: Output) -> anyhow::Result<()> {
    let mut settings = Settings::new(config.data.clone(), "", SOFTWARE);
    settings.heads.clone_from(&config.heads);
    let store = settings.store(&config.ledger);
    let (source, from): (Box<dyn Source>, _) = match Inspected::open(&store, &std::env::temp_dir())
    {
        Ok(view) => {
            let from = format!("ledger {} in {}", config.ledger, config.data.display());
            (Box::new(StoreSource::new(view, store.head)), from)
        }
        Err(ledger::Error::Store(Locked { .. } | Missing { .. })) => {
            let client = Client::new(config)?.below(&format!("/tlog/{}", config.ledger));
            let from = client.url().to_owned();
            (Box::new(UrlSource::new(client)?), from)
        }
        Err(error) => {
            let data = config.data.display();
            return Err(error)
                .with_context(|| format!("cannot read ledger {} in {data}", config.ledger));
        }
    };
    output.note(&format!("exporting {from}"));
    write(source.as_ref(), args, output)
}

/// Writes an archive into a folder that must not be there yet. Prompts are in it, so that only its
/// owner may read it.
fn write(source: &dyn Source, args: &Export, output: Output) -> anyhow::Result<()> {
    let folder = &args.archive;
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let meta = source.meta().map_err(anyhow::Error::from_boxed)?;
    let from = args.from.min(meta.size) / TILE_WIDTH * TILE_WIDTH;
    let to = args.to.unwrap_or(u64::MAX).min(meta.size);
    let to = to.div_ceil(TILE_WIDTH).saturating_mul(TILE_WIDTH).min(meta.size);
    ensure!(from < to, "there are no entries from {} on", args.from);

    let bar = output.progress("exporting", to - from);
    for path in paths(meta.size, from, to) {
        if matches!(path, TilePath::Content { .. }) && args.without_content {
            continue;
        }
        let bytes = source.read(path).map_err(anyhow::Error::from_boxed)?;
        let bytes = bytes.with_context(|| format!("{path} is missing"))?;
        put(folder, &path.to_string(), &bytes)?;
        if let TilePath::Entries { width, .. } = path {
            bar.inc(u64::from(width));
        }
    }
    bar.finish_and_clear();

    let mut notes = Vec::new();
    for note in source.checkpoints().map_err(anyhow::Error::from_boxed)? {
        let note = note.map_err(anyhow::Error::from_boxed)?.context("a checkpoint is damaged")?;
        push_checkpoint(&mut notes, std::str::from_utf8(&note)?);
    }
    put(folder, "checkpoints", &notes)?;
    let newest = source.checkpoint().map_err(anyhow::Error::from_boxed)?;
    put(folder, "checkpoint", &newest.context("the checkpoint is missing")?)?;
    let Meta { ledger, origin, size, .. } = meta;
    let content =
        if args.without_content { ArchivedContent::Withheld } else { ArchivedContent::Kept };
    let (archive, software) = (ARCHIVE_VERSION, SOFTWARE.to_owned());
    let archive = ArchiveMeta { archive, content, from, ledger, origin, size, software, to };
    // Last, because an archive without it is none: a copy that was cut short is not taken for whole.
    put(folder, "archive.json", &canon::sorted_to_bytes(&archive)?)?;
    output.note(&format!("exported entries {from} to {to} into {}", folder.display()));
    Ok(())
}

/// Writes one file of an archive.
fn put(folder: &Path, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(path);
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
        made.with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(bytes))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The paths of an archive, one after the other: every hash tile of the log, and the bundles of the
/// range.
fn paths(size: u64, from: u64, to: u64) -> impl Iterator<Item = TilePath> {
    let tiles = (0u8..).map_while(move |level| tile_width(size, level, 0).map(|_| level));
    let tiles = tiles.flat_map(move |level| {
        (0u64..).map_while(move |index| {
            Some(TilePath::Hash { level, index, width: tile_width(size, level, index)? })
        })
    });
    let bundles = (from / TILE_WIDTH..to.div_ceil(TILE_WIDTH)).flat_map(move |index| {
        let width = tile_width(size, 0, index);
        let of =
            move |width| [TilePath::Entries { index, width }, TilePath::Content { index, width }];
        width.into_iter().flat_map(of)
    });
    tiles.chain(bundles)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_s_paths_are_those_of_its_size_however_large_that_is() {
        let names = |size, from, to| paths(size, from, to).map(|path| path.to_string());
        let expected = [
            "tile/0/000",
            "tile/0/001.p/44",
            "tile/1/000.p/1",
            "tile/entries/001.p/44",
            "content/001.p/44",
        ];
        assert_eq!(names(300, 256, 300).collect::<Vec<_>>(), expected);
        // As many as fit nowhere: they are made as they are asked for.
        assert_eq!(names(1 << 60, 0, 1 << 60).nth(1_000).unwrap(), "tile/0/x001/000");
    }
}
