//! `whence import`: an archive back into a ledger.

use std::fs;

use anyhow::{Context, bail, ensure};

use super::args::Import;
use super::config::Config;
use super::output::Output;
use super::setup;
use super::sources::ArchiveSource;
use super::verify::{check_archive, print, read_key};
use crate::canon::Salt;
use crate::ledger::Importer;
use crate::proof::{TILE_WIDTH, TilePath, bundle, tile_width};
use crate::record::Entry;
use crate::store::StoredPart;
use crate::verify::Source;

/// Checks an archive with the log's key, and only then makes the same ledger of it: the same entries
/// in the same batches under the same checkpoints.
pub(super) fn import(config: &Config, args: &Import, output: Output) -> anyhow::Result<()> {
    let key = read_key(&args.key)?;
    let report = check_archive(&args.archive, &key, output)?;
    if report.findings.total > 0 {
        print(&report, &format!("the archive {}", args.archive.display()), output)?;
        bail!("the archive is not what was signed: nothing was imported");
    }
    ensure!(!report.is_of_a_part(), "the archive is only a part of its log");

    let source = ArchiveSource::new(&args.archive);
    let meta = source.meta().map_err(anyhow::Error::from_boxed)?;
    let settings = setup::settings(config)?;
    let signing_key = args.signing_key.as_ref().map(|path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    });
    let signing_key = signing_key.transpose()?;
    let notes = source.checkpoints().map_err(anyhow::Error::from_boxed)?;
    let note = |note: Result<Option<Vec<u8>>, _>| {
        let note =
            note.map_err(anyhow::Error::from_boxed)?.context("the checkpoints are damaged")?;
        Ok(String::from_utf8(note)?)
    };
    let notes = notes.map(note).collect::<anyhow::Result<Vec<_>>>()?;
    let of = (meta.ledger.parse()?, meta.origin.parse()?);
    let mut importer = Importer::create(&settings, of, key, signing_key.as_deref(), notes)?;
    let bar = output.progress("importing", meta.size);
    for index in 0..meta.size.div_ceil(TILE_WIDTH) {
        let width = tile_width(meta.size, 0, index).context("a bundle is missing")?;
        let read = |path| source.read(path).map_err(anyhow::Error::from_boxed);
        let entries = read(TilePath::Entries { index, width })?.context("a bundle is missing")?;
        let content = read(TilePath::Content { index, width })?;
        let mut rest = content.as_deref();
        for bytes in bundle::entries(&entries) {
            let bytes = bytes?;
            let parts = Entry::parse(bytes)?.content.len();
            importer.push(bytes, take_parts(&mut rest, parts)?)?;
        }
        bar.inc(u64::from(width));
    }
    importer.finish()?;
    bar.finish_and_clear();
    output.note(&format!(
        "imported {} entries of {} into {}",
        meta.size,
        meta.origin,
        config.data.display()
    ));
    Ok(())
}

/// The next parts of a content bundle, which the audit has read before; all erased if there is none.
fn take_parts(rest: &mut Option<&[u8]>, count: usize) -> anyhow::Result<Vec<StoredPart>> {
    let Some(rest) = rest else { return Ok(vec![StoredPart::Erased; count]) };
    let cut = "the content is cut";
    let mut parts = Vec::new();
    for _ in 0..count {
        let (state, after) = rest.split_first().context(cut)?;
        *rest = after;
        if *state == 0x00 {
            parts.push(StoredPart::Erased);
            continue;
        }
        let (salt, after) = rest.split_first_chunk::<{ Salt::LEN }>().context(cut)?;
        let (length, after) = after.split_first_chunk::<4>().context(cut)?;
        let length = usize::try_from(u32::from_be_bytes(*length))?;
        let (bytes, after) = after.split_at_checked(length).context(cut)?;
        *rest = after;
        parts.push(StoredPart::Kept { salt: Salt::from_bytes(*salt), bytes: bytes.to_vec() });
    }
    Ok(parts)
}
