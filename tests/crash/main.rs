//! The real server, as a process of its own, killed and failed in every way that can be arranged from
//! outside. What it acknowledged is there afterwards, or it says clearly why it will not open.
//!
//! Five kinds of fault, each with a short run that belongs to every `cargo test` and a long one:
//!
//! | fault | module | long run |
//! | --- | --- | --- |
//! | `kill -9` at random moments under load from 8 clients | `kill` | `WHENCE_CRASH_ROUNDS=200` |
//! | an acknowledgement before the fsync | `order` | - |
//! | every system call fails, or the process is killed at it | `inject` | `WHENCE_CRASH_ALL=1` |
//! | the disk is full | `full` | - |
//! | the search index is cut off, taken away, or has no room | `index` | `WHENCE_CRASH_ROUNDS=200` |
//!
//! The long runs take some minutes each:
//!
//! ```text
//! WHENCE_CRASH_ROUNDS=200 cargo test --release --test crash kill -- --nocapture
//! WHENCE_CRASH_ALL=1 cargo test --release --test crash inject -- --nocapture
//! ```
//!
//! Every run prints its seed first; `WHENCE_CRASH_SEED=N` repeats it, as far as a race can be repeated.
//! `WHENCE_CRASH_BINARY=PATH` tests another build of the program than the one made for the test.
//! `order` and `inject` need strace and the right to trace, and say so when they have to be skipped.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::needless_collect,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and says where; one that cannot run says why; what runs \
              beside it takes time, and threads are started before the first is waited for"
)]

mod full;
mod history;
mod index;
mod inject;
mod kill;
mod load;
mod order;
mod server;
mod trace;

#[expect(
    dead_code,
    clippy::indexing_slicing,
    reason = "the records are those of the other tests; the ledger in this process is not needed"
)]
#[path = "../it/log.rs"]
mod log;

/// A number from the environment, or what the short run takes.
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

/// The seed of this run, which is printed so that the run can be repeated.
fn seed(test: &str) -> u64 {
    let fresh = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().subsec_nanos();
    let seed = setting("WHENCE_CRASH_SEED", u64::from(fresh));
    println!("{test}: WHENCE_CRASH_SEED={seed}");
    seed
}
