//! `whence verify`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Serialize;

use super::EXIT_TAMPERED;
use super::args::Verify;
use super::client::Client;
use super::config::Config;
use super::output::{Output, is_broken_pipe};
use super::sources::{ArchiveSource, StoreSource, UrlSource, is_damage, read_small};
use super::system::SOFTWARE;
use crate::ledger::{self, Inspected, Settings};
use crate::seal::VerifierKey;
use crate::verify::{self, Brought, Options, ReceiptClaim, Report, Source};

/// Checks a log and says what is wrong with it. The exit code is that of the findings, whether or not
/// anybody reads what is printed.
pub(super) fn verify(config: &Config, args: &Verify, output: Output) -> anyhow::Result<ExitCode> {
    let keys = args.key.iter().map(|key| read_key(key)).collect::<anyhow::Result<Vec<_>>>()?;
    let known = args
        .since
        .iter()
        .map(|path| Ok(Brought { name: path.display().to_string(), what: read_small(path)? }));
    let known = known.collect::<anyhow::Result<Vec<_>>>()?;
    let receipts = args.receipt.iter().map(|path| read_receipt(path.as_path()));
    let receipts = receipts.collect::<anyhow::Result<Vec<_>>>()?;

    let Target { audited, source } = target(config, &args.target)?;
    let report = match source {
        Ok(source) => {
            let options = Options { keys, known, receipts, progress: None };
            check(source.as_ref(), options, output)?
        }
        Err(damage) => Report::unreadable(damage),
    };
    let tampered = report.findings.total > 0;
    match print(&report, &audited, output) {
        Err(error) if !tampered && !is_broken_pipe(&error) => Err(error),
        _ if tampered => Ok(ExitCode::from(EXIT_TAMPERED)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs the audit behind a progress bar.
fn check(source: &dyn Source, options: Options<'_>, output: Output) -> anyhow::Result<Report> {
    let total = source.meta().map_err(anyhow::Error::from_boxed)?.size;
    let bar = output.progress("verifying", total);
    let progress = |done| bar.set_position(done);
    let options = Options { progress: Some(&progress), ..options };
    let report = verify::verify(source, &options)?;
    bar.finish_and_clear();
    Ok(report)
}

/// What is audited, in words, and its bytes, or why nothing of them can be read.
struct Target {
    audited: String,
    source: Result<Box<dyn Source>, String>,
}

/// Whatever the target is: a URL, a data directory, or an archive. Where a data directory holds the
/// files of an archive too, it is the database that is audited.
fn target(config: &Config, target: &str) -> anyhow::Result<Target> {
    if target.starts_with("http://") || target.starts_with("https://") {
        let source = Box::new(UrlSource::new(Client::to(config, target)?)?);
        return Ok(Target { audited: format!("the log at {target}"), source: Ok(source) });
    }
    let path = Path::new(target);
    let mut settings = Settings::new(path.to_owned(), "", SOFTWARE);
    settings.heads.clone_from(&config.heads);
    let store = settings.store(&config.ledger);
    if !crate::store::exists(&store.path) {
        let of_archive = path.join("archive.json").exists();
        // Where the head file is left, there was a database.
        if !of_archive && !store.head.exists() {
            let ledger = &config.ledger;
            bail!("{target} is neither an archive nor a data directory with ledger {ledger}");
        }
        if of_archive {
            let source = Box::new(ArchiveSource::new(path));
            return Ok(Target { audited: format!("the archive {target}"), source: Ok(source) });
        }
    }
    let audited = format!("the database of ledger {} in {target}", config.ledger);
    let source: Result<Box<dyn Source>, String> =
        match Inspected::open(&store, &std::env::temp_dir()) {
            Ok(view) => Ok(Box::new(StoreSource::new(view, store.head))),
            Err(error) if is_damage(&error) || is_emptied(&error, &store.head) => {
                Err(format!("{audited} cannot be read: {:#}", anyhow::Error::from(error)))
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {audited}")),
        };
    Ok(Target { audited, source })
}

/// Whether the database holds nothing, and its head file says that it held something.
fn is_emptied(error: &ledger::Error, head: &Path) -> bool {
    use crate::store::Error::Missing;
    matches!(error, ledger::Error::Unknown | ledger::Error::Store(Missing { .. })) && head.exists()
}

fn read_receipt(path: &Path) -> anyhow::Result<Brought<ReceiptClaim>> {
    let name = path.display().to_string();
    let what = serde_json::from_slice(&read_small(path)?)
        .with_context(|| format!("{name} is not a receipt"))?;
    Ok(Brought { name, what })
}

/// A verifier key, given as it is or by the file that holds it.
pub(super) fn read_key(key: &str) -> anyhow::Result<VerifierKey> {
    if let Ok(key) = key.parse() {
        return Ok(key);
    }
    let text = read_small(Path::new(key))
        .with_context(|| format!("{key} is neither a verifier key nor a file that holds one"))?;
    let text = String::from_utf8(text).with_context(|| format!("{key} is not text"))?;
    text.trim_end().parse().with_context(|| format!("{key} does not hold a verifier key"))
}

/// A report, and what it is on.
#[derive(Serialize)]
struct Printed<'a> {
    audited: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

/// Prints a report.
pub(super) fn print(report: &Report, audited: &str, output: Output) -> anyhow::Result<()> {
    if output.json {
        return output.value(&Printed { audited, report });
    }
    let Report { origin, key, size, root, .. } = report;
    output.line(&format!("audited      {audited}"))?;
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
    if report.signatures + report.signatures_unchecked > 0 {
        output.line(&format!(
            "signatures   {} of producers checked, {} not: their content or key is not there",
            report.signatures, report.signatures_unchecked
        ))?;
    }
    for finding in &report.findings.listed {
        output.line(&format!("TAMPERED     {finding}"))?;
    }
    output.line(&verdict(report))?;
    if !report.key_is_given && !key.is_empty() {
        output.note(
            "hint: the key was taken from the log, which shows that it is whole but not whose it \
             is; give the key that you were given with --key",
        );
    }
    Ok(())
}

/// The last line. It never says more than was checked.
fn verdict(report: &Report) -> String {
    match report.findings.total {
        0 => {}
        1 => return "NOT verified: 1 finding".to_owned(),
        total => return format!("NOT verified: {total} findings"),
    }
    let what = if report.is_of_a_part() {
        let Report { from, to, size, .. } = report;
        format!(" entries {from} to {to} of {size}: they are of the log")
    } else {
        ": this is the log".to_owned()
    };
    let content = if report.content_withheld { ", without its content" } else { "" };
    format!("verified{what} that the key signed{content}")
}

/// The archive of a demonstration or an import, checked with a key.
pub(super) fn check_archive(
    folder: &Path,
    key: &VerifierKey,
    output: Output,
) -> anyhow::Result<Report> {
    let options = Options { keys: vec![key.clone()], ..Options::default() };
    check(&ArchiveSource::new(folder), options, output)
}

/// A running server's log, checked over HTTP with a key.
pub(super) fn check_url(
    client: &Client,
    ledger: &str,
    key: &VerifierKey,
    output: Output,
) -> anyhow::Result<Report> {
    let source = UrlSource::new(client.below(&format!("/tlog/{ledger}")))?;
    let options = Options { keys: vec![key.clone()], ..Options::default() };
    check(&source, options, output)
}
