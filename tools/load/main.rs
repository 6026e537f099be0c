//! Drives a running server over HTTP as agent runtimes do, and checks every receipt that it gets.
//!
//! Run with `cargo run --release --example load -- --token-file DATA/admin.token`. It shares the machine
//! with the server that it measures, so it is made to be cheap: one thread, bodies made beforehand, and
//! each distinct checkpoint verified once. The processor time that it took is part of the report.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a measuring tool measures time, prints, and may panic"
)]

mod connection;
mod receipts;
mod records;

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use connection::{Connection, head};
use receipts::{Checker, Sent};
use records::{Place, RECORD_BYTES, Records};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Posts records to a running server, and checks every receipt
#[derive(Debug, Parser)]
struct Args {
    /// Address of the server
    #[arg(long, default_value = "127.0.0.1:7117")]
    address: String,
    /// Ledger to append to
    #[arg(long, default_value = "main")]
    ledger: String,
    /// File that holds a token with the role of a writer
    #[arg(long)]
    token_file: PathBuf,
    /// Verifier key of the ledger [default: what the server says]
    #[arg(long)]
    key: Option<String>,
    /// Records in a request
    #[arg(long, default_value_t = 64)]
    batch: u64,
    /// Connections
    #[arg(long, default_value_t = 32)]
    connections: u64,
    /// Records to post
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Seconds after which nothing more is posted
    #[arg(long)]
    seconds: Option<f64>,
    /// Records to post in a second [default: as many as are answered]
    #[arg(long)]
    rate: Option<f64>,
    /// Ask for inclusion proofs, and check them
    #[arg(long)]
    proofs: bool,
    /// Post every so manieth request of a connection again, and compare the receipts
    #[arg(long)]
    again: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One request of a connection.
#[derive(Clone, Copy)]
struct Turn {
    sent: Sent,
    /// When it was sent, or should have been.
    begun: Instant,
    /// Whether to post it again once it is answered.
    twice: bool,
}

/// What all connections share. They take turns on one thread.
struct Load {
    args: Args,
    token: String,
    run: u64,
    records: Records,
    start: Instant,
    state: RefCell<State>,
}

struct State {
    checker: Checker,
    /// Records that nobody has begun to post.
    left: u64,
    answered: u64,
    again: u64,
    bytes_out: u64,
    bytes_in: u64,
    busy: u64,
    failed: u64,
    micros: Histogram<u64>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    ensure!(args.batch > 0 && args.connections > 0, "nothing to do");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::task::LocalSet::new().run_until(run(args)))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let token = std::fs::read_to_string(&args.token_file).context("no token")?.trim().to_owned();
    let key = match &args.key {
        Some(key) => key.clone(),
        None => get(&args, &token, "log.vkey").await?,
    };
    let checker = Checker::new(key.trim().parse()?, args.proofs);
    let left = args.records / args.batch * args.batch;
    let records = Records::new();
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        connections.push(Connection::open(&args.address).await?);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let load = Rc::new(Load {
        token,
        run: u64::try_from(now.as_millis() / 100 % 100_000_000)?,
        records,
        start: Instant::now(),
        state: RefCell::new(State {
            checker,
            left,
            answered: 0,
            again: 0,
            bytes_out: 0,
            bytes_in: 0,
            busy: 0,
            failed: 0,
            micros: Histogram::new_with_bounds(1, 120_000_000, 3)?,
        }),
        args,
    });

    let mut lanes = JoinSet::new();
    let cpu_before = cpu_seconds();
    for (lane, connection) in (0..).zip(connections) {
        lanes.spawn_local(lane_of(Rc::clone(&load), lane, connection));
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let seconds = load.start.elapsed().as_secs_f64();
    let note = get(&load.args, &load.token, "checkpoint").await?;
    report(&load, seconds, cpu_seconds() - cpu_before, &note)
}

/// Posts one request after the other, as one agent runtime does.
async fn lane_of(load: Rc<Load>, lane: u64, mut connection: Connection) -> anyhow::Result<()> {
    let Args { batch, connections, rate, seconds, again, .. } = load.args;
    let query = if load.args.proofs { "?include=proof" } else { "" };
    let path = format!("/v1/ledgers/{}/records{query}", load.args.ledger);
    let kind = if batch == 1 { "json" } else { "x-ndjson" };
    let length = usize::try_from(batch)? * RECORD_BYTES;
    let rest = format!("content-type: application/{kind}\r\ncontent-length: {length}\r\n");
    let head = head("POST", &path, &load.token, &rest);
    // With a rate each request has its time, whether or not the one before is answered by then.
    let every = rate.map(|rate| Duration::from_secs_f64((batch * connections) as f64 / rate));
    let mut due = load.start + every.unwrap_or_default().mul_f64(lane as f64 / connections as f64);

    let mut request = Vec::with_capacity(head.len() + length);
    let (mut number, mut requests) = (0, 0_u64);
    loop {
        let over = seconds.is_some_and(|end| load.start.elapsed().as_secs_f64() >= end);
        if over || !load.take() {
            return Ok(());
        }
        request.clear();
        request.extend_from_slice(head.as_bytes());
        let first = Place { run: load.run, lane, number };
        for number in number..number + batch {
            load.records.append(&mut request, Place { number, ..first });
        }
        number += batch;
        requests += 1;

        let begun = match every {
            None => Instant::now(),
            Some(every) => {
                tokio::time::sleep_until(due.into()).await;
                let begun = due;
                due += every;
                begun
            }
        };
        let sent = Sent { first, records: batch, again: false };
        let twice = again.is_some_and(|every| u64::is_multiple_of(requests, every));
        load.post(&mut connection, &request, Turn { sent, begun, twice }).await?;
    }
}

impl Load {
    /// Takes the records of one request from what is left.
    fn take(&self) -> bool {
        let mut state = self.state.borrow_mut();
        let left = state.left.checked_sub(self.args.batch);
        state.left = left.unwrap_or(state.left);
        left.is_some()
    }

    /// Posts one request until it is taken, checks the receipts, and posts it again if it is to be.
    async fn post(
        &self,
        connection: &mut Connection,
        request: &[u8],
        turn: Turn,
    ) -> anyhow::Result<()> {
        let Turn { mut sent, begun, twice } = turn;
        let mut kept = Vec::new();
        loop {
            let answer = connection.exchange(request).await?;
            let body = connection.body(answer);
            if answer.status == 429 {
                self.state.borrow_mut().busy += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let mut state = self.state.borrow_mut();
            state.bytes_out += u64::try_from(request.len())?;
            state.bytes_in += u64::try_from(body.len())?;
            match answer.status {
                201 if !sent.again => {}
                200 if sent.again => {}
                status => {
                    state.failed += 1;
                    bail!("status {status}: {}", String::from_utf8_lossy(body));
                }
            }
            if !sent.again {
                state.answered += sent.records;
                state.micros.saturating_record(u64::try_from(begun.elapsed().as_micros())?);
            }
            let receipts = receipts::read(body, sent.records)?;
            state.checker.check(sent, &receipts)?;
            if sent.again {
                state.again += sent.records;
                let same = receipts.iter().map(receipts::Receipt::keep).eq(kept);
                ensure!(same, "the receipts of a retry differ");
                return Ok(());
            }
            if !twice {
                return Ok(());
            }
            kept = receipts.iter().map(receipts::Receipt::keep).collect();
            sent.again = true;
        }
    }
}

/// A file of the log.
async fn get(args: &Args, token: &str, file: &str) -> anyhow::Result<String> {
    let mut connection = Connection::open(&args.address).await?;
    let request = head("GET", &format!("/tlog/{}/{file}", args.ledger), token, "");
    let answer = connection.exchange(request.as_bytes()).await?;
    ensure!(answer.status == 200, "{file}: status {}", answer.status);
    Ok(String::from_utf8(connection.body(answer).to_owned())?)
}

/// The processor time of this process.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    ticks / 100.0
}

fn report(load: &Load, seconds: f64, cpu: f64, note: &str) -> anyhow::Result<()> {
    let state = load.state.borrow();
    let size: u64 = note.lines().nth(1).context("no checkpoint")?.parse()?;
    ensure!(size >= state.checker.size, "the log is shorter than what it acknowledged");
    let millis = |micros: u64| micros as f64 / 1_000.0;
    let at = |quantile| millis(state.micros.value_at_quantile(quantile));
    let values = [
        ("records", state.answered as f64),
        ("seconds", seconds),
        ("records_per_second", state.answered as f64 / seconds),
        ("posted_bytes", state.answered as f64 * RECORD_BYTES as f64),
        ("bytes_out_per_second", state.bytes_out as f64 / seconds),
        ("bytes_in_per_second", state.bytes_in as f64 / seconds),
        ("p50_ms", at(0.5)),
        ("p90_ms", at(0.9)),
        ("p99_ms", at(0.99)),
        ("p99_9_ms", at(0.999)),
        ("max_ms", millis(state.micros.max())),
        ("errors", state.failed as f64),
        ("busy_429", state.busy as f64),
        ("posted_again", state.again as f64),
        ("checkpoints_verified", state.checker.verified as f64),
        ("records_per_checkpoint", state.answered as f64 / state.checker.verified as f64),
        ("log_size", size as f64),
        ("client_cpu_seconds", cpu),
    ];
    if load.args.json {
        let values: serde_json::Map<_, _> =
            values.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        println!("{}", serde_json::Value::Object(values));
    } else {
        for (name, value) in values {
            println!("{name:<24} {value:>16.3}");
        }
    }
    Ok(())
}
