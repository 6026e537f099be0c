//! `whence demo`: the whole of it, once, on a real server.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::args::Demo;
use super::client::Client;
use super::config::{Config, Layers, Raw};
use super::output::Output;
use super::serve::runtime;
use super::system::environment;
use super::verify::{check_archive, check_url};
use super::{archive, args, scene, search, setup, why};
use crate::http::{self, App, Limits, ServeOptions};
use crate::record::Timestamp;
use crate::seal::VerifierKey;

/// Runs the demonstration. It fails if the forgery is not caught.
pub(super) fn demo(args: &Demo) -> anyhow::Result<ExitCode> {
    // A story has no form for programs.
    let output = Output::new(false);
    let folder = Folder::new()?;
    let raw = Raw {
        data: Some(folder.0.join("data").display().to_string()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Raw::default()
    };
    let mut config = Config::new(&Layers { flags: raw, ..Layers::default() })?;
    let listener = TcpListener::bind(config.listen).context("cannot listen on the loopback")?;
    config.url = format!("http://{}", listener.local_addr()?);

    say(output, "1  A server starts on a fresh directory.")?;
    let data = setup::open(&config, Output::silent())?;
    output.line(&format!("   {}  (data in {})", config.url, config.data.display()))?;
    let app = App::new(
        Arc::clone(&data.ledgers),
        Arc::clone(&data.tokens),
        &environment(),
        Limits::default(),
    );
    let options = ServeOptions { listener, tls: None, drain: Duration::from_secs(5) };
    let runtime = runtime()?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = runtime.spawn(http::serve(app, options, async move {
        // Whether told to stop or left behind, it stops.
        drop(stopped.await);
    }));

    show(&config, &folder.0, output)?;

    if !args.exit {
        // Before the text that says how to end it.
        let mut interrupt = runtime.block_on(async { signal(SignalKind::interrupt()) })?;
        let mut terminate = runtime.block_on(async { signal(SignalKind::terminate()) })?;
        say(output, "The server stays up. In another terminal:")?;
        output.line(&format!(
            "   export WHENCE_URL={} WHENCE_DATA={}",
            config.url,
            config.data.display()
        ))?;
        output.line(&format!("   whence search '{LARGE}'"))?;
        output.line(&format!("   whence why {}", scene::SURPRISE))?;
        output.line(&format!("   whence effects {}", scene::SOURCE))?;
        output.line("   whence session s-mallory")?;
        output.line(&format!("   whence verify {}/tlog/main", config.url))?;
        output.line("   Ctrl-C ends it and removes the directory.")?;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
    }
    drop(stop);
    runtime.block_on(server)??;
    drop(runtime);
    drop(data.tokens);
    if let Some(ledgers) = Arc::into_inner(data.ledgers) {
        ledgers.close();
    }
    Ok(ExitCode::SUCCESS)
}

/// The steps that need the running server, one after the other.
fn show(config: &Config, folder: &Path, output: Output) -> anyhow::Result<()> {
    let client = Client::new(config)?;
    let mut story = Story { client, output, chapter: 1 };
    let last = story.record()?;
    story.find(last)?;
    story.explain()?;
    story.follow()?;
    let key = story.audit()?;
    story.forge(config, folder, &key)
}

/// How long ago the story began: two hours.
const AGO_NANOS: i128 = 2 * 60 * 60 * 1_000_000_000;

/// What an accountant looks for.
const LARGE: &str = "tool:send_money content.arguments.amount:>5000";

/// The demonstration as far as it has been told.
struct Story {
    client: Client,
    output: Output,
    chapter: u32,
}

impl Story {
    fn chapter(&mut self, text: &str) -> anyhow::Result<()> {
        self.chapter += 1;
        say(self.output, &format!("{}  {text}", self.chapter))
    }

    /// Says which record is the last one.
    fn record(&mut self) -> anyhow::Result<u64> {
        self.chapter("Seven sessions of an agent that pays invoices are recorded.")?;
        let (mut count, mut end) = (0, 0);
        // The story is of this morning, whenever that is.
        let now = environment().clock.now().unix_nanos();
        let begin = Timestamp::from_unix_nanos(now - AGO_NANOS)?;
        for session in scene::records(begin) {
            let path = self.client.in_ledger("records");
            let answer = self.client.post(&path, &Value::Array(session))?;
            let receipts = answer.get("data").and_then(Value::as_array).context("no receipts")?;
            count += receipts.len();
            let last = receipts.last().context("no receipt")?;
            let hash = last.get("entry_hash").and_then(Value::as_str).unwrap_or("");
            let seq = last.get("seq").and_then(Value::as_u64).unwrap_or(0);
            end = end.max(seq);
            self.output.line(&format!(
                "   {:>2} records sealed up to seq {seq:>3}, entry {hash}",
                receipts.len()
            ))?;
        }
        self.output.line(&format!(
            "   {count} receipts: every record is on disk, under a signed checkpoint"
        ))?;
        Ok(end)
    }

    fn find(&mut self, last: u64) -> anyhow::Result<()> {
        self.chapter("An accountant looks for large transfers.")?;
        self.output.line(&format!("   $ whence search '{LARGE}'"))?;
        let asked = args::Search {
            query: LARGE.to_owned(),
            wait_for: Some(last),
            ..args::Search::default()
        };
        search::search(&self.client, &asked, self.output)
    }

    fn explain(&mut self) -> anyhow::Result<()> {
        self.chapter("That one is a surprise. Why did it happen, and for whom?")?;
        self.output.line(&format!("   $ whence why {}", scene::SURPRISE))?;
        why::why(&self.client, scene::SURPRISE, self.output)?;
        self.output.line("")?;
        self.output
            .line("   The words behind it stand in the retrieved document, not in the prompt:")?;
        let source =
            self.client.get(&self.client.in_ledger(&format!("records/{}", scene::SOURCE)))?;
        let text = source.pointer("/content/0/value").and_then(Value::as_str);
        for line in wrap(text.context("the document has no text")?, 84) {
            self.output.line(&format!("     | {line}"))?;
        }
        Ok(())
    }

    fn follow(&mut self) -> anyhow::Result<()> {
        self.chapter("What else did that document touch?")?;
        self.output.line(&format!("   $ whence effects {}", scene::SOURCE))?;
        why::effects(&self.client, scene::SOURCE, self.output)
    }

    fn audit(&mut self) -> anyhow::Result<VerifierKey> {
        self.chapter("An auditor checks the log, trusting nobody.")?;
        let ledger = self.client.get(&self.client.in_ledger(""))?;
        let key = ledger.get("key").and_then(Value::as_str).context("no key")?;
        let key: VerifierKey = key.parse()?;
        let report = check_url(&self.client, "main", &key, self.output)?;
        ensure!(report.findings.total == 0, "the untouched log does not verify");
        self.output.line(&format!(
            "   verified: {} entries, {} checkpoints, {} parts of content, root {}",
            report.entries, report.checkpoints, report.contents, report.root
        ))?;
        Ok(key)
    }

    fn forge(&mut self, config: &Config, folder: &Path, key: &VerifierKey) -> anyhow::Result<()> {
        self.chapter("A forger changes one byte of a copy.")?;
        let copy = folder.join("archive");
        let export = args::Export { archive: copy.clone(), ..args::Export::default() };
        archive::export(config, &export, Output::silent())?;
        let place = forge(&copy)?;
        self.output.line(&format!("   {place}"))?;
        let report = check_archive(&copy, key, self.output)?;
        ensure!(report.findings.total > 0, "the forgery was not caught");
        for finding in &report.findings.listed {
            self.output.line(&format!("   TAMPERED  {finding}"))?;
        }
        let found = report.findings.total;
        self.output.line(&format!("   caught: {found} finding(s), exit code 1"))
    }
}

/// Turns 9,750 into 1,750 in the content of the stolen transfer.
fn forge(archive: &Path) -> anyhow::Result<String> {
    let contents = archive.join("content");
    let mut files = vec![contents];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            for file in fs::read_dir(&path)? {
                files.push(file?.path());
            }
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let amount = b"\"amount\":9750";
        let place = bytes.windows(amount.len()).position(|window| window == amount);
        if let Some(digit) = place.and_then(|place| bytes.get_mut(place + amount.len() - 4)) {
            *digit = b'1';
            fs::write(&path, bytes)?;
            let name = path.strip_prefix(archive)?.display().to_string();
            return Ok(format!("{name}: the stolen amount 9750 becomes 1750"));
        }
    }
    anyhow::bail!("the archive does not hold the transfer")
}

fn say(output: Output, text: &str) -> anyhow::Result<()> {
    output.line("")?;
    output.line(text)
}

/// Breaks a text into lines of at most `width` characters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !line.is_empty() && line.chars().count() + word.chars().count() >= width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// A folder that is gone when the demonstration is over.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let mut name = [0; 8];
        environment().random.fill(&mut name)?;
        let name = format!("whence-demo-{}", data_encoding::HEXLOWER.encode(&name));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left behind is in the folder for such things.
        drop(fs::remove_dir_all(&self.0));
    }
}
