//! Everything that is not a unit test, in one binary: it links once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::clone_on_ref_ptr,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and says where; one that cannot run says why; the environment says \
              how long it runs"
)]

use peak_alloc::PeakAlloc;

/// Counts the bytes that this process has allocated.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

mod accesses;
mod api;
mod captures;
mod catalogs;
mod cli;
mod config;
mod delegations;
mod documents;
mod erasure;
mod exports;
mod faults;
mod frameworks;
mod front;
mod gateway;
mod hostile;
mod interop;
mod ledger;
mod limits;
mod log;
mod mcp;
mod otlp;
mod producers;
mod python;
mod readme;
mod receiver;
mod recorded;
mod refusals;
mod rules;
mod search;
mod secrets;
mod tamper;
mod tidy;
mod trace;
mod vectors;
mod watch;
mod wire;
mod workos;
