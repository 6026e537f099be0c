//! Every capture, byte for byte as it was posted, into a ledger of its own.
//!
//! `cargo test --test it otlp::replayed -- --nocapture` prints what was found of what happened.

use super::*;

use crate::captures::{self, Seen, captures};

/// The records of a ledger that came of telemetry, and the refusals of others.
fn records(ledger: &Ledger) -> Vec<Seen> {
    let view = ledger.view();
    let entries = view.entries(0..view.size()).unwrap();
    let records = entries.iter().filter_map(|(seq, bytes)| {
        let mut record: Value = serde_json::from_slice(bytes).unwrap();
        let told = record.get("source").is_some() || record["kind"] == "ingest_refusal";
        let names = record["content"].as_array().cloned().unwrap_or_default();
        let parts = names.iter().zip(view.content(*seq).unwrap()).map(|(named, part)| {
            let StoredPart::Kept { bytes, .. } = part else { panic!("nothing was erased") };
            let name = named["name"].as_str().unwrap().to_owned();
            (name, serde_json::from_slice::<Value>(&bytes).unwrap())
        });
        record["content"] = Value::Object(parts.collect());
        told.then(|| Seen::of(&record))
    });
    records.collect()
}

#[test]
fn every_capture_is_told_as_it_happened() {
    let Some(folder) = captures() else { return };
    let truth = captures::begin(&folder);
    let variants: Vec<_> = captures::variants(&folder).into_iter().collect();
    for chunk in variants.chunks(5) {
        let replayed: Vec<Vec<Seen>> = thread::scope(|scope| {
            #[expect(clippy::needless_collect, reason = "all begin before the first is waited for")]
            let replays: Vec<_> =
                chunk.iter().map(|(_, posts)| scope.spawn(|| replay(posts))).collect();
            replays.into_iter().map(|replay| replay.join().unwrap()).collect()
        });
        for ((name, _), records) in chunk.iter().zip(&replayed) {
            let found = captures::compare(&truth, records);
            println!("{name:56} {}", found.row());
            captures::check(name, &found);
        }
    }
}

/// Posts everything to a server, and waits until all of it is told.
fn replay(posts: &[captures::Post]) -> Vec<Seen> {
    let mut limits = limits();
    limits.telemetry_times.settle = Duration::from_millis(600);
    limits.telemetry_times.timeout = Duration::from_millis(1_200);
    let server = started(limits);
    let bearer = format!("Bearer {}", server.token(Role::Writer, None));
    for post in posts {
        let mut headers = vec![("authorization", bearer.as_str())];
        for name in ["content-type", "content-encoding"] {
            headers.extend(post.header(name).map(|value| (name, value)));
        }
        let answer = server.export(&post.path, &headers, post.body.clone());
        assert_eq!(answer.status, 200, "{}", post.path);
    }
    let journal = server.folder.path().join("ledgers/main/telemetry");
    let is_empty = || std::fs::read_dir(&journal).unwrap().count() == 0;
    server.wait_until("all of it is told", |_| is_empty());
    records(&server.main())
}
