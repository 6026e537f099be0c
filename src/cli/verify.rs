//! `whence verify`.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::EXIT_TAMPERED;
use super::args::Verify;
use super::client::Client;
use super::config::Config;
use super::output::Output;
use super::sources::{ArchiveSource, StoreSource, UrlSource};
use super::system::SOFTWARE;
use crate::ledger::{Inspected, Settings};
use crate::seal::VerifierKey;
use crate::verify::{self, Options, ReceiptClaim, Report, Source};

/// Checks a log and says what is wrong with it.
pub(super) fn verify(config: &Config, args: &Verify, output: Output) -> anyhow::Result<ExitCode> {
    let source = source(config, &args.target)?;
    let keys = args.key.iter().map(|key| read_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
    let read = |path: &std::path::PathBuf| {
        fs::read(path).with_context(|| format!("cannot read {}", path.display()))
    };
    let known = args.since.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    let receipts = args.receipt.iter().map(|path| {
        let receipt: ReceiptClaim = serde_json::from_slice(&read(path)?)
            .with_context(|| format!("{} is not a receipt", path.display()))?;
        Ok(receipt)
    });
    let receipts = receipts.collect::<anyhow::Result<Vec<_>>>()?;
    let report = check(source.as_ref(), keys, known, receipts, output)?;
    print(&report, output)?;
    Ok(if report.findings.total == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_TAMPERED) })
}

/// Runs the audit behind a progress bar.
pub(super) fn check(
    source: &dyn Source,
    keys: Vec<VerifierKey>,
    known: Vec<Vec<u8>>,
    receipts: Vec<ReceiptClaim>,
    output: Output,
) -> anyhow::Result<Report> {
    let total = source.meta().map_err(anyhow::Error::from_boxed)?.size;
    let bar = output.progress("verifying", total);
    let progress = |done| bar.set_position(done);
    let options = Options { keys, known, receipts, progress: Some(&progress) };
    let report = verify::verify(source, &options)?;
    bar.finish_and_clear();
    Ok(report)
}

/// Whatever the target is: a URL, an archive, or a data directory.
fn source(config: &Config, target: &str) -> anyhow::Result<Box<dyn Source>> {
    if target.starts_with("http://") || target.starts_with("https://") {
        return Ok(Box::new(UrlSource::new(Client::to(config, target)?)?));
    }
    let path = Path::new(target);
    if path.join("archive.json").exists() {
        return Ok(Box::new(ArchiveSource::new(path)));
    }
    let settings = Settings::new(path.to_owned(), "", SOFTWARE);
    let store = settings.store(&config.ledger);
    let inspected = Inspected::open(&store.path).with_context(|| {
        format!("{target} is neither an archive nor a data directory with ledger {}", config.ledger)
    })?;
    Ok(Box::new(StoreSource::new(inspected)))
}

/// A verifier key, given as it is or by the file that holds it.
pub(super) fn read_key(key: &str) -> anyhow::Result<VerifierKey> {
    if let Ok(key) = key.parse() {
        return Ok(key);
    }
    let text = fs::read_to_string(key)
        .with_context(|| format!("{key} is neither a verifier key nor a file that holds one"))?;
    text.trim_end().parse().with_context(|| format!("{key} does not hold a verifier key"))
}

/// Prints a report.
pub(super) fn print(report: &Report, output: Output) -> anyhow::Result<()> {
    if output.json {
        return output.value(report);
    }
    let Report { origin, key, size, root, .. } = report;
    output.line(&format!("log          {origin}"))?;
    let whose = if report.key_is_given { "" } else { "  (from the log itself)" };
    output.line(&format!("key          {key}{whose}"))?;
    output.line(&format!("size         {size}, entries {} to {}", report.from, report.to))?;
    output.line(&format!("root         {root}"))?;
    output.line(&format!(
        "checked      {} entries, {} checkpoints, {} sessions, {} parts of content ({} absent)",
        report.entries,
        report.checkpoints,
        report.sessions,
        report.contents,
        report.contents_absent
    ))?;
    for finding in &report.findings.listed {
        output.line(&format!("TAMPERED     {finding}"))?;
    }
    let total = report.findings.total;
    let verdict = match total {
        0 => "verified: this is the log that the key signed".to_owned(),
        1 => "NOT verified: 1 finding".to_owned(),
        _ => format!("NOT verified: {total} findings"),
    };
    output.line(&verdict)?;
    if !report.key_is_given {
        output.note(
            "hint: the key was taken from the log, which shows that it is whole but not whose it \
             is; give the key that you were given with --key",
        );
    }
    Ok(())
}

/// The archive of a demonstration or an import, checked with a key.
pub(super) fn check_archive(
    folder: &Path,
    key: &VerifierKey,
    output: Output,
) -> anyhow::Result<Report> {
    let source = ArchiveSource::new(folder);
    check(&source, vec![key.clone()], Vec::new(), Vec::new(), output)
}

/// A running server's log, checked over HTTP with a key.
pub(super) fn check_url(
    client: &Client,
    ledger: &str,
    key: &VerifierKey,
    output: Output,
) -> anyhow::Result<Report> {
    let source = UrlSource::new(client.below(&format!("/tlog/{ledger}")))?;
    check(&source, vec![key.clone()], Vec::new(), Vec::new(), output)
}
