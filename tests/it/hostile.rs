//! Input that means harm: mutated requests against the whole server, and mutated bytes against every
//! parser of what comes from outside.
//!
//! Every case follows from a seed, which is printed. `WHENCE_HOSTILE_SEED` chooses another one, and
//! `WHENCE_HOSTILE_CASES` the number of requests.

mod mutate;
mod requests;
mod server;
mod wire;

#[path = "../../tools/fuzz/src/laws.rs"]
#[expect(
    unreachable_pub,
    clippy::expect_used,
    reason = "a library in the crate of the fuzz targets"
)]
mod laws;
#[path = "../../tools/fuzz/src/seeds.rs"]
#[expect(
    unreachable_pub,
    clippy::expect_used,
    reason = "a library in the crate of the fuzz targets"
)]
pub(crate) mod seeds;

use std::collections::BTreeMap;
use std::panic;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use whence::verify::{Options, verify};

use self::mutate::Rng;

/// Mutations of each valid input of a parser.
const MUTATIONS: u64 = 300;

/// The seed of this run.
fn seed() -> u64 {
    number("WHENCE_HOSTILE_SEED").unwrap_or(20_261_124)
}

#[expect(clippy::disallowed_methods, reason = "the long runs ask for more cases than the suite")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|number| number.parse().unwrap())
}

/// Clients at once.
const CLIENTS: usize = 8;

/// Does every case once, and counts what comes of them.
fn in_parallel<T: Ord + Send>(cases: u64, one: impl Fn(u64) -> T + Sync) -> BTreeMap<T, u64> {
    let (next, outcomes) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
                for number in numbers.take_while(|number| *number < cases) {
                    let outcome = one(number);
                    *outcomes.lock().unwrap().entry(outcome).or_insert(0) += 1;
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}

/// Runs a test of this file that needs a process of its own, because it looks at the memory and the
/// panics of the whole process.
fn in_its_own_process(test: &str) {
    let program = std::env::current_exe().unwrap();
    let arguments = ["--ignored", "--nocapture", "--exact", test];
    let output = Command::new(program).args(arguments).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    println!("{shown}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}\n{errors}");
}

#[test]
fn ten_thousand_mutated_requests_do_no_harm() {
    in_its_own_process("hostile::requests::mutated_requests");
}

#[test]
fn garbage_on_the_wire_does_no_harm() {
    in_its_own_process("hostile::wire::garbage");
}

#[test]
fn the_seed_archive_is_whole() {
    let files = seeds::archive_files();
    let options = Options { keys: vec![seeds::key()], ..Options::default() };
    let report = verify(&files, &options).unwrap();
    assert_eq!(report.findings.listed, []);
    assert_eq!(report.entries, 21);
    assert_eq!(report.contents, 40);
    laws::archive(&files.pack());
}

#[test]
fn every_seed_is_taken_by_its_parser() {
    use whence::canon::Json;
    use whence::proof::TilePath;
    use whence::record::{Draft, Entry, Event, Timestamp};
    use whence::seal::TlogProof;

    for seed in seeds::record() {
        Event::try_from(Draft::parse(&seed).unwrap()).unwrap();
    }
    for seed in seeds::entry() {
        Entry::parse(&seed).unwrap();
    }
    for seed in seeds::tlog_proof() {
        TlogProof::parse(&seed).unwrap();
    }
    for seed in seeds::tile_path() {
        str::from_utf8(&seed).unwrap().parse::<TilePath>().unwrap();
    }
    for seed in seeds::query() {
        whence::search::parse(str::from_utf8(&seed).unwrap(), Timestamp::EPOCH).unwrap();
    }
    for seed in seeds::otlp() {
        use whence::capture::otlp::{Encoding, Signal, decode};
        let forms = [Encoding::Protobuf, Encoding::Json];
        let signals = [Signal::Traces, Signal::Logs];
        let read = forms.iter().flat_map(|form| signals.map(|signal| decode(signal, *form, &seed)));
        assert!(read.flatten().any(|decoded| !decoded.items.is_empty() && decoded.rejected == 0));
    }
    for seed in seeds::json() {
        serde_json::from_slice::<Json>(&seed).unwrap();
    }
}

#[test]
fn every_parser_keeps_its_law_for_mutated_bytes() {
    println!("seed {}", seed());
    for target in laws::TARGETS {
        for (place, valid) in (0u64..).zip((target.seeds)()) {
            (target.law)(&valid);
            for case in 0..MUTATIONS {
                let mut rng = Rng::new(seed(), place << 32 | case);
                let mut bytes = valid.clone();
                let parsed = serde_json::from_slice(&valid);
                if let (Ok(value), true) = (parsed, rng.one_in(2)) {
                    bytes = mutate::json(&mut rng, &value);
                } else {
                    (0..=rng.below(3)).for_each(|_| mutate::bytes(&mut rng, &mut bytes));
                }
                let outcome = panic::catch_unwind(|| (target.law)(&bytes));
                let (name, text) = (target.name, String::from_utf8_lossy(&bytes));
                assert!(outcome.is_ok(), "{name}, seed {}, {place}.{case}: {text}", seed());
            }
        }
    }
}
