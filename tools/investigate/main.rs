//! Fills a running server with the records of many agents, and asks it what investigators ask.
//!
//! ```text
//! export WHENCE_TOKEN=$(cat DATA/admin.token)
//! cargo run --release --example investigate -- generate
//! cargo run --release --example investigate -- query --ingest 5000
//! ```
//!
//! `generate` posts 2,000,000 records of some 200,000 sessions of 20,000 users, and says how many bytes
//! they were and how fast they were taken. Users, agents, tools, hosts, documents and words are drawn by
//! Zipf's law, sessions have two records or hundreds, and some chains of causes are more than 40 deep. Which
//! records there are follows from `--seed` alone, and so do their ids: posted again, they are duplicates.
//! `generate --dry` makes the records and posts them nowhere, to see that this tool is not what is slow.
//! It needs a token with the role of a writer.
//!
//! `query` asks about the records that `generate` posted with the same `--seed`, `--users` and `--records`.
//! Meanwhile it posts `--ingest` other records in a second, by a second thread. It prints percentiles for
//! each class of questions: a user, a session, a rare word, the commonest word of a user, facets and
//! histogram of a user's month, why from a record 40 steps deep; and how long it takes from the receipt of
//! a record until it is found, with `wait_for` and without. Users are asked about as often as they appear.
//! Each question is sent when the one before is answered. It needs the role of an investigator as well. It
//! fails if a class took longer than it should, unless `--lenient`.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a measuring tool measures time, prints, and may panic"
)]

mod ask;
mod compose;
#[path = "../load/connection.rs"]
mod connection;
mod plan;
mod post;
#[path = "../load/words.rs"]
mod words;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};

use ask::{Asker, Asking, CLASSES, Measured};
use compose::Session;
use post::{Posting, Progress};
use world::World;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fills a running server with records, and asks it what investigators ask
#[derive(Debug, Parser)]
struct Args {
    /// Address of the server
    #[arg(long, env = "WHENCE_URL", default_value = "http://127.0.0.1:7117", global = true)]
    url: String,
    /// Ledger
    #[arg(long, env = "WHENCE_LEDGER", default_value = "main", global = true)]
    ledger: String,
    /// What the records follow from
    #[arg(long, default_value_t = 1, global = true)]
    seed: u64,
    /// Users
    #[arg(long, default_value_t = 20_000, global = true)]
    users: usize,
    /// Records
    #[arg(long, default_value_t = 2_000_000, global = true)]
    records: u64,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Posts records
    Generate {
        /// Records in a request
        #[arg(long, default_value_t = 250)]
        batch: u64,
        /// Connections
        #[arg(long, default_value_t = 8)]
        connections: u64,
        /// Make the records, and post them nowhere
        #[arg(long)]
        dry: bool,
    },
    /// Asks about the records that are there
    Query {
        /// Other records to post in a second meanwhile
        #[arg(long, default_value_t = 5_000.0)]
        ingest: f64,
        /// Questions of each class
        #[arg(long, default_value_t = 1_000)]
        samples: u64,
        /// Ask this class alone
        #[arg(long)]
        only: Option<String>,
        /// Do not fail if a class took longer than it should
        #[arg(long)]
        lenient: bool,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let world = Arc::new(World::new(args.users));
    match &args.command {
        Command::Generate { dry: true, .. } => dry(&args, &world),
        Command::Generate { batch, connections, .. } => {
            let posting = posting(&args, args.seed, *batch, *connections)?;
            generate(&args, posting, world)
        }
        Command::Query { .. } => query(&args, world),
    }
}

/// What tells the records of a seed from others.
fn run_of(seed: u64) -> String {
    format!("{seed:x}")
}

fn token() -> anyhow::Result<String> {
    let token = std::env::var("WHENCE_TOKEN").context("put a token into WHENCE_TOKEN")?;
    Ok(token.trim().to_owned())
}

fn address(args: &Args) -> anyhow::Result<String> {
    let address = args.url.strip_prefix("http://").context("give a URL with http")?;
    Ok(address.trim_end_matches('/').to_owned())
}

fn posting(args: &Args, seed: u64, batch: u64, connections: u64) -> anyhow::Result<Posting> {
    ensure!(batch > 0 && connections > 0, "nothing to do");
    Ok(Posting {
        address: address(args)?,
        ledger: args.ledger.clone(),
        token: token()?,
        seed,
        run: run_of(seed),
        records: args.records,
        batch,
        connections,
        rate: None,
    })
}

fn dry(args: &Args, world: &World) -> anyhow::Result<()> {
    let (start, run) = (Instant::now(), run_of(args.seed));
    let (mut records, mut bytes, mut sessions, mut buffer) = (0, 0, 0, Vec::new());
    while records < args.records {
        let mut session = Session::new(world, args.seed, sessions);
        while session.append(&mut buffer, world, &run) {
            records += 1;
        }
        bytes += u64::try_from(buffer.len())?;
        buffer.clear();
        sessions += 1;
    }
    report(args, &Sums { records, bytes, sessions, busy: 0 }, start.elapsed());
    Ok(())
}

fn generate(args: &Args, posting: Posting, world: Arc<World>) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::default());
    let start = Instant::now();
    post::post(posting, world, Arc::clone(&progress))?;
    report(args, &Sums::of(&progress), start.elapsed());
    Ok(())
}

/// What was posted.
struct Sums {
    records: u64,
    bytes: u64,
    sessions: u64,
    busy: u64,
}

impl Sums {
    fn of(progress: &Progress) -> Self {
        Self {
            records: progress.records.load(Ordering::Relaxed),
            bytes: progress.bytes.load(Ordering::Relaxed),
            sessions: progress.sessions.load(Ordering::Relaxed),
            busy: progress.busy.load(Ordering::Relaxed),
        }
    }
}

fn report(args: &Args, sums: &Sums, time: Duration) {
    let seconds = time.as_secs_f64();
    let values = [
        ("records", sums.records as f64),
        ("sessions", sums.sessions as f64),
        ("seconds", seconds),
        ("records_per_second", sums.records as f64 / seconds),
        ("posted_bytes", sums.bytes as f64),
        ("bytes_per_record", sums.bytes as f64 / sums.records as f64),
        ("busy_429", sums.busy as f64),
    ];
    if args.json {
        let values: serde_json::Map<_, _> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        println!("{}", serde_json::Value::Object(values));
    } else {
        for (name, value) in values {
            println!("{name:<24} {value:>18.2}");
        }
    }
}

fn query(args: &Args, world: Arc<World>) -> anyhow::Result<()> {
    let Command::Query { ingest, samples, only, lenient } = &args.command else { return Ok(()) };
    let progress = Arc::new(Progress::default());
    let start = Instant::now();
    let ingesting = if *ingest > 0.0 {
        // A seed of its own for every run, or the records would be duplicates.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
        let mut posting = posting(args, u64::try_from(now.as_millis())?, 50, 4)?;
        (posting.records, posting.rate) = (u64::MAX, Some(*ingest));
        let (world, progress) = (Arc::clone(&world), Arc::clone(&progress));
        Some(std::thread::spawn(move || post::post(posting, world, progress)))
    } else {
        None
    };
    let asking = Asking {
        address: address(args)?,
        ledger: args.ledger.clone(),
        token: token()?,
        seed: args.seed,
        run: run_of(args.seed),
        records: args.records,
        samples: *samples,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(ask_all(asking, world, only.as_deref()));
    progress.over.store(true, Ordering::Relaxed);
    if let Some(ingesting) = ingesting {
        ingesting.join().unwrap()?;
    }
    let measured = measured?;
    let rate = Sums::of(&progress).records as f64 / start.elapsed().as_secs_f64();
    let slow = print(args, &measured, rate);
    ensure!(*lenient || slow.is_empty(), "too slow: {}", slow.join(", "));
    Ok(())
}

async fn ask_all(
    asking: Asking,
    world: Arc<World>,
    only: Option<&str>,
) -> anyhow::Result<Vec<Measured>> {
    let mut asker = Asker::new(asking, world).await?;
    let mut all = Vec::new();
    for (class, _) in CLASSES {
        if only.is_none_or(|only| only == class) {
            all.push(asker.measure(class).await?);
        }
    }
    Ok(all)
}

/// Prints what was measured, and says what took longer than it should.
fn print(args: &Args, measured: &[Measured], rate: f64) -> Vec<&'static str> {
    let mut slow = Vec::new();
    if !args.json {
        println!("{rate:.0} records posted in a second meanwhile\n");
        println!(
            "{:<26} {:>6} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}",
            "class", "count", "p50 ms", "p95 ms", "p99 ms", "max ms", "found", "limit ms"
        );
    }
    for Measured { class, micros, found } in measured {
        let millis = |micros: u64| micros as f64 / 1_000.0;
        let at = |quantile| millis(micros.value_at_quantile(quantile));
        let limit = CLASSES.iter().find(|(name, _)| name == class).and_then(|(_, limit)| *limit);
        if limit.is_some_and(|limit| at(0.99) > limit) {
            slow.push(*class);
        }
        let mean = *found as f64 / micros.len().max(1) as f64;
        let (p50, p95, p99, max) = (at(0.5), at(0.95), at(0.99), millis(micros.max()));
        if args.json {
            let line = serde_json::json!({
                "class": class, "count": micros.len(), "p50_ms": p50, "p95_ms": p95, "p99_ms": p99,
                "max_ms": max, "found": mean, "limit_ms": limit, "ingested_per_second": rate,
            });
            println!("{line}");
        } else {
            let limit = limit.map_or("-".to_owned(), |limit| limit.to_string());
            println!(
                "{class:<26} {:>6} {p50:>9.2} {p95:>9.2} {p99:>9.2} {max:>9.2} {mean:>10.1} {limit:>9}",
                micros.len()
            );
        }
    }
    slow
}
