//! How fast `whence verify` audits a data directory, and in how much memory.
//!
//! Run with `cargo bench --bench verify [-- RECORDS]`. A ledger of that many records is made in a
//! temporary folder; then the command itself checks it, three times, as an auditor would run it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a benchmark measures time, prints, and may panic"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use whence::ledger::{Ledger, Ledgers, Settings};
use whence::record::{Event, LedgerName};

#[path = "machine.rs"]
mod machine;
#[path = "../tools/load/records.rs"]
mod records;

use records::{Place, Records};

/// The allocator that the server has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUEST_RECORDS: usize = 1_024;
const ROUNDS: usize = 3;

fn main() {
    let records: usize =
        std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(500_000);
    let folder = tempfile::tempdir_in(".").unwrap();
    let ledgers = Ledgers::new(
        Settings::new(folder.path().to_owned(), "bench.example", "bench"),
        machine::environment(),
    );
    let name: LedgerName = "main".parse().unwrap();
    fill(&ledgers.create(&name).unwrap(), records);
    ledgers.close();

    for _ in 0..ROUNDS {
        let (seconds, peak_kib) = verify(folder.path());
        println!(
            "verified {:>10.0} entries/s, peak {} MiB, {:.0} bytes an entry",
            records as f64 / seconds,
            peak_kib / 1024,
            peak_kib as f64 * 1024.0 / records as f64,
        );
    }
}

/// Seals `records` records.
fn fill(ledger: &Ledger, records: usize) {
    let texts = Records::new();
    for first in (0..records).step_by(REQUEST_RECORDS) {
        let prepare = |number: usize| {
            let mut bytes = Vec::new();
            let number = u64::try_from(number).unwrap();
            texts.append(&mut bytes, Place { run: 1, lane: 0, number });
            ledger.prepare(Event::parse(&bytes).unwrap()).unwrap()
        };
        let request: Vec<_> = (first..records.min(first + REQUEST_RECORDS)).map(prepare).collect();
        ledger.submit_blocking(request).unwrap();
    }
}

/// Runs the command on a data directory: the seconds that it took, and the most memory that it held.
fn verify(data: &Path) -> (f64, u64) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_whence"))
        .arg("verify")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut peak = 0;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak = peak.max(peak_kib(child.id()).unwrap_or(0));
        thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "the log does not verify");
    (start.elapsed().as_secs_f64(), peak)
}

/// The most memory that a running process has held, in KiB.
fn peak_kib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.split_whitespace().next()?.parse().ok()
}
