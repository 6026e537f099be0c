//! Everything that is not a unit test, in one binary: it links once.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and says where"
)]

mod faults;
mod ledger;
mod log;
mod tidy;
