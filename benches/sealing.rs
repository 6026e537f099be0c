//! How fast one ledger seals, against a raw file that takes the same bytes.
//!
//! Run with `cargo bench --bench sealing [-- RECORDS]`. Both sides run in turn in one process: the raw
//! side writes and `fdatasync`s the posted bytes in groups as large as the ledger's batches, the
//! ledger parses, checks, salts, chains, signs, stores, syncs and answers. The ratio is the figure.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a benchmark measures time, prints, and may panic"
)]

#[path = "machine.rs"]
mod machine;
#[path = "../tools/load/records.rs"]
mod records;

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use records::{Place, Records};
use whence::ledger::{Ledger, Ledgers, Settings};
use whence::record::{Event, LedgerName};

/// The allocator that the server has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUEST_RECORDS: usize = 64;
const REQUESTS_AT_ONCE: usize = 128;

fn main() {
    let records: usize =
        std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(200_000);
    let folder = tempfile::tempdir_in(".").unwrap();
    let requests = requests(records / REQUEST_RECORDS);

    let raw = raw_file(&requests, &folder.path().join("raw"));
    let ledger = sealing(requests, folder.path());
    println!("raw write + fdatasync  {raw:>10.0} records/s");
    println!("sealed and durable     {ledger:>10.0} records/s");
    println!("ratio                  {:>10.2}", ledger / raw);
}

/// Requests that do not depend on one another, so that they can be taken in any order.
fn requests(count: usize) -> Vec<Vec<Vec<u8>>> {
    let records = Records::new();
    let record = |request, place: usize| {
        let mut bytes = Vec::new();
        let number = u64::try_from(place).unwrap();
        records.append(&mut bytes, Place { run: 1, lane: u64::try_from(request).unwrap(), number });
        bytes
    };
    let request = |number| (0..REQUEST_RECORDS).map(|place| record(number, place)).collect();
    (0..count).map(request).collect()
}

fn raw_file(requests: &[Vec<Vec<u8>>], path: &std::path::Path) -> f64 {
    let mut file = File::create(path).unwrap();
    let start = Instant::now();
    // As many as the ledger's batches take.
    for group in requests.chunks(1_024 / REQUEST_RECORDS) {
        for record in group.iter().flatten() {
            file.write_all(record).unwrap();
        }
        file.sync_data().unwrap();
    }
    (requests.len() * REQUEST_RECORDS) as f64 / start.elapsed().as_secs_f64()
}

fn sealing(requests: Vec<Vec<Vec<u8>>>, folder: &std::path::Path) -> f64 {
    let settings = Settings::new(folder.to_owned(), "bench.example", "bench");
    let ledgers = Ledgers::new(settings, machine::environment());
    let name: LedgerName = "main".parse().unwrap();
    let ledger = ledgers.create(&name).unwrap();
    let records = requests.len() * REQUEST_RECORDS;

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let start = Instant::now();
    runtime.block_on(async {
        let requests = Arc::new(std::sync::Mutex::new(requests));
        let workers: Vec<_> = (0..REQUESTS_AT_ONCE)
            .map(|_| tokio::spawn(worker(ledger.clone(), Arc::clone(&requests))))
            .collect();
        for worker in workers {
            worker.await.unwrap();
        }
    });
    let seconds = start.elapsed().as_secs_f64();
    assert_eq!(ledger.view().size(), u64::try_from(records).unwrap() + 1);
    drop(ledger);
    ledgers.close();
    records as f64 / seconds
}

async fn worker(ledger: Ledger, requests: Arc<std::sync::Mutex<Vec<Vec<Vec<u8>>>>>) {
    loop {
        let Some(request) = requests.lock().unwrap().pop() else { return };
        let prepared = request
            .iter()
            .map(|bytes| ledger.prepare(Event::parse(bytes).unwrap()).unwrap())
            .collect();
        assert_eq!(ledger.submit(prepared).await.unwrap().len(), REQUEST_RECORDS);
    }
}
