//! `whence export`: a ledger as files that anybody can check.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use super::args::Export;
use super::client::Client;
use super::config::Config;
use super::output::Output;
use super::sources::{StoreSource, UrlSource};
use super::system::SOFTWARE;
use crate::canon;
use crate::ledger::Inspected;
use crate::ledger::Settings;
use crate::ledger::archive::{ARCHIVE_VERSION, ArchiveMeta, push_checkpoint};
use crate::proof::{TILE_WIDTH, TilePath, tile_width};
use crate::verify::Source;

/// Exports from the data directory if its server is stopped, or else from the server.
pub(super) fn export(config: &Config, args: &Export, output: Output) -> anyhow::Result<()> {
    let settings = Settings::new(config.data.clone(), "", SOFTWARE);
    let store = settings.store(&config.ledger);
    let source: Box<dyn Source> = if let Ok(inspected) = Inspected::open(&store.path) {
        Box::new(StoreSource::new(inspected))
    } else {
        let client = Client::new(config)?;
        Box::new(UrlSource::new(client.below(&format!("/tlog/{}", config.ledger)))?)
    };
    write(source.as_ref(), &args.archive, args.from..args.to.unwrap_or(u64::MAX), args, output)
}

/// Writes an archive into a folder that must not be there yet.
fn write(
    source: &dyn Source,
    folder: &Path,
    seqs: std::ops::Range<u64>,
    args: &Export,
    output: Output,
) -> anyhow::Result<()> {
    ensure!(!folder.exists(), "{} is there already", folder.display());
    let meta = source.meta().map_err(anyhow::Error::from_boxed)?;
    let from = seqs.start.min(meta.size) / TILE_WIDTH * TILE_WIDTH;
    let to = seqs.end.min(meta.size).div_ceil(TILE_WIDTH).saturating_mul(TILE_WIDTH).min(meta.size);
    ensure!(from < to, "there are no entries from {} on", seqs.start);

    let put = |path: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    };
    let bar = output.progress("exporting", to - from);
    for path in paths(meta.size, from, to) {
        if matches!(path, TilePath::Content { .. }) && args.without_content {
            continue;
        }
        let bytes = source.read(path).map_err(anyhow::Error::from_boxed)?;
        put(&path.to_string(), &bytes.with_context(|| format!("{path} is missing"))?)?;
        if let TilePath::Entries { width, .. } = path {
            bar.inc(u64::from(width));
        }
    }
    bar.finish_and_clear();

    let mut notes = Vec::new();
    for note in source.checkpoints().map_err(anyhow::Error::from_boxed)? {
        push_checkpoint(&mut notes, std::str::from_utf8(&note)?);
    }
    put("checkpoints", &notes)?;
    put("checkpoint", &source.checkpoint().map_err(anyhow::Error::from_boxed)?)?;
    let archive = ArchiveMeta {
        archive: ARCHIVE_VERSION,
        from,
        ledger: meta.ledger,
        origin: meta.origin,
        size: meta.size,
        software: SOFTWARE.to_owned(),
        to,
    };
    // Last, because an archive without it is none: a copy that was cut short is not taken for whole.
    put("archive.json", &canon::sorted_to_bytes(&archive)?)?;
    output.note(&format!("exported entries {from} to {to} into {}", folder.display()));
    Ok(())
}

/// The paths of an archive: every hash tile of the log, and the bundles of the range.
fn paths(size: u64, from: u64, to: u64) -> Vec<TilePath> {
    let mut paths = Vec::new();
    for level in 0u8.. {
        if tile_width(size, level, 0).is_none() {
            break;
        }
        for index in 0u64.. {
            let Some(width) = tile_width(size, level, index) else { break };
            paths.push(TilePath::Hash { level, index, width });
        }
    }
    for index in from / TILE_WIDTH..to.div_ceil(TILE_WIDTH) {
        let Some(width) = tile_width(size, 0, index) else { break };
        paths.push(TilePath::Entries { index, width });
        paths.push(TilePath::Content { index, width });
    }
    paths
}
