//! The index against the ledger it was made from: what it finds, how it follows, and what becomes of it
//! when its files do not survive.

mod api;
mod brute;
mod language;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use brute::Facts;
use proptest::prelude::*;
use serde_json::{Value, json};
use whence::record::{Entry, Timestamp};
use whence::search::{Facet, Index, Order, Query, Request, Secrets, parse};
use whence::store::StoredPart;

use crate::log::{TestLog, chain, prompt, submit};

const PATIENCE: Duration = Duration::from_secs(20);

/// A ledger and its index.
struct Searched {
    log: TestLog,
    index: Arc<Index>,
}

fn secrets() -> Secrets {
    Arc::new(|| Ok([7; 32]))
}

fn folder(log: &TestLog) -> PathBuf {
    log.folder.path().join("search/main")
}

fn open(log: &TestLog) -> Arc<Index> {
    Arc::new(Index::open(log.ledger().committed(), folder(log), secrets()).unwrap())
}

fn query(text: &str) -> Query {
    parse(text, "2026-11-25T00:00:00Z".parse::<Timestamp>().unwrap()).unwrap()
}

impl Searched {
    fn new(records: &[Value]) -> Self {
        let log = TestLog::new();
        for batch in records.chunks(500) {
            log.submit(batch).unwrap();
        }
        let index = open(&log);
        let searched = Self { log, index };
        searched.catch_up();
        searched
    }

    fn size(&self) -> u64 {
        self.log.ledger().view().size()
    }

    fn catch_up(&self) {
        assert!(self.index.wait_for(self.size() - 1, PATIENCE), "{:?}", self.index);
    }

    fn submit(&self, records: &[Value]) {
        submit(&self.log.ledger(), records).unwrap();
        self.catch_up();
    }

    /// The seqs of all records that match, in ascending order.
    fn all(&self, query: &Query) -> Vec<u64> {
        let order = Order::Ascending;
        let request = Request { order, ..Request::new(query, self.size(), 100_000) };
        let found = self.index.search(&request).unwrap();
        assert_eq!(found.total, u64::try_from(found.seqs.len()).unwrap());
        found.seqs
    }

    /// The ids of all records that match, in the order of the ledger.
    fn ids(&self, text: &str) -> Vec<String> {
        let view = self.log.ledger().view();
        let id = |seq| {
            let entry: Value = serde_json::from_slice(&view.entry(seq).unwrap().unwrap()).unwrap();
            entry["id"].as_str().unwrap().to_owned()
        };
        self.all(&query(text)).into_iter().map(id).collect()
    }
}

#[test]
fn a_record_is_found_by_each_of_its_fields_and_by_its_words() {
    let mut records = chain(1);
    records[3]["labels"] = json!({ "env": "Prod" });
    records[3]["trace"] = json!({
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "span_id": "b7ad6b7169203331",
    });
    records.push(prompt("other", "s-2", "Zahle die Rechnung an Müller, bitte."));
    let searched = Searched::new(&records);
    for (text, found) in [
        ("user:ALICE@example.com -genesis kind:prompt", vec!["prompt-1", "other"]),
        ("session:s-1 kind:api_call", vec!["api-1"]),
        ("session:S-1", vec![]),
        ("agent:invoice* tool:*", vec!["invocation-1"]),
        ("tool:send_money", vec!["invocation-1"]),
        ("model:m-1", vec!["output-1"]),
        ("call_id:call-1", vec!["invocation-1"]),
        ("host:bank.example method:post path:/transfers status:201", vec!["api-1"]),
        ("status:200..299 status:<202", vec!["api-1"]),
        ("label.env:prod", vec!["api-1"]),
        ("label.env:*", vec!["api-1"]),
        ("delegation:jti-7f", vec!["invocation-1", "api-1"]),
        ("trace:0af7651916cd43dd8448eb211c80319c", vec!["api-1"]),
        ("id:output-1", vec!["output-1"]),
        ("id:nobody", vec![]),
        ("seq:2..3", vec!["output-1", "invocation-1"]),
        ("\"pay the invoice\"", vec!["prompt-1"]),
        ("\"the pay invoice\"", vec![]),
        ("rechnung muller", vec!["other"]),
        ("rech*", vec!["other"]),
        ("\"an mul\"*", vec!["other"]),
        ("send_money", vec!["invocation-1"]),
        ("de02 OR rechnung", vec!["invocation-1", "other"]),
        ("content.arguments.to:DE02", vec!["invocation-1"]),
        ("content.arguments.to:*", vec!["invocation-1"]),
        ("content.arguments:*", vec!["invocation-1"]),
        ("content.arguments.amount:>0 content.arguments.amount:<=1", vec!["invocation-1"]),
        ("content.arguments.amount:>1", vec![]),
        ("data.effect:external", vec!["invocation-1"]),
        ("NOT user:*", vec!["genesis"]),
        ("kind:(prompt OR api_call) -session:s-2", vec!["prompt-1", "api-1"]),
        ("received:>=2030-01-01", vec![]),
        ("occurred:2026-11-24..2026-11-24 kind:prompt", vec!["prompt-1", "other"]),
    ] {
        assert_eq!(searched.ids(text), found, "{text}");
    }
}

#[test]
fn pages_fit_together_while_records_come_in() {
    let records: Vec<_> = (0..120).flat_map(chain).collect();
    let searched = Searched::new(&records[..400]);
    let asked = query("user:alice@example.com");
    let all = searched.all(&asked);
    for order in [Order::Ascending, Order::Descending] {
        let (below, mut after, mut seqs) = (searched.size(), None, Vec::<u64>::new());
        loop {
            let request = Request { order, after, ..Request::new(&asked, below, 37) };
            let found = searched.index.search(&request).unwrap();
            assert!(found.total >= 400);
            seqs.extend(&found.seqs);
            if found.seqs.len() < 37 {
                break;
            }
            after = found.seqs.last().copied();
            if order == Order::Descending && seqs.len() == 37 {
                searched.submit(&records[400..]);
            }
        }
        if order == Order::Descending {
            seqs.reverse();
        }
        assert_eq!(seqs, all);
    }
}

#[test]
fn facets_and_histogram_count_exactly() {
    let records: Vec<_> = (0..50).flat_map(chain).collect();
    let searched = Searched::new(&records);
    let asked = query("session:s-1 OR session:s-2");
    let facets = [Facet::Session, Facet::Kind, Facet::Tool, Facet::Flag];
    let request = Request {
        facets: &facets,
        facet_values: 2,
        histogram: true,
        ..Request::new(&asked, searched.size(), 1)
    };
    let found = searched.index.search(&request).unwrap();
    assert_eq!(found.total, 80);
    let owned = |values: &[(&str, u64)]| {
        values.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect::<Vec<_>>()
    };
    assert_eq!(found.facets[0].values, owned(&[("s-1", 40), ("s-2", 40)]));
    assert_eq!(found.facets[1].distinct, 4);
    assert_eq!(found.facets[1].values, owned(&[("api_call", 20), ("model_output", 20)]));
    assert_eq!(found.facets[2].values, owned(&[("send_money", 20)]));
    assert_eq!(found.facets[3].values, owned(&[("delegation_unknown", 40)]));
    let bars = found.histogram.unwrap().bars;
    assert_eq!(bars.iter().map(|(_, count)| count).sum::<u64>(), 80);
}

#[test]
fn sessions_are_listed_by_their_newest_match_and_paged() {
    let records: Vec<_> = (0..20).flat_map(chain).collect();
    let searched = Searched::new(&records);
    let asked = query("kind:prompt");
    let below = searched.size();
    let first = searched.index.sessions(&asked, below, None, 3).unwrap();
    let after = Some(first.hits[2].seq);
    let rest = searched.index.sessions(&asked, below, after, 3).unwrap();
    let ids: Vec<_> = first.hits.iter().chain(&rest.hits).map(|hit| hit.id.as_str()).collect();
    assert_eq!((first.through, rest.through), (below, below));
    assert_eq!((first.total, ids), (5, vec!["s-4", "s-3", "s-2", "s-1", "s-0"]));
}

#[test]
fn the_same_document_is_found_across_sessions_however_it_is_set() {
    let text = "Dear customer, please send the money to account DE99 at once.";
    let retrieved = |id: &str, session: &str, text: &str| {
        let mut record = prompt(id, session, text);
        record["kind"] = json!("retrieval");
        record["agent"] = json!({ "id": "invoice-agent" });
        record["data"] = json!({ "source": "inbox" });
        record
    };
    let searched = Searched::new(&[
        retrieved("one", "s-1", text),
        retrieved("two", "s-2", &text.to_uppercase().replace(' ', "  ")),
        retrieved("three", "s-3", &text.replace("DE99", "DE98")),
        retrieved("short", "s-4", "Yes."),
        retrieved("short-too", "s-5", "Yes."),
        // What people ask is no document: many ask for the same.
        prompt("asked", "s-6", text),
    ]);
    assert_eq!(searched.index.same_documents(1, 0..searched.size(), 10).unwrap(), [2]);
    assert_eq!(searched.index.same_documents(2, 0..searched.size(), 10).unwrap(), [1]);
    assert_eq!(
        searched.index.same_documents(4, 0..searched.size(), 10).unwrap(),
        Vec::<u64>::new()
    );
}

/// Stops the index, does something to its folder, and opens it again.
fn after(searched: &mut Searched, act: impl FnOnce(&Path)) {
    searched.index.close();
    act(&folder(&searched.log).join("0"));
    searched.index = open(&searched.log);
    searched.catch_up();
}

#[test]
fn an_index_goes_on_where_it_was() {
    let records: Vec<_> = (0..40).flat_map(chain).collect();
    let mut searched = Searched::new(&records);
    let asked = query("send_money");
    let before = searched.all(&asked);
    after(&mut searched, |folder| assert!(folder.join("meta.json").exists()));
    assert_eq!(searched.all(&asked), before);
    searched.submit(&chain(100));
    assert_eq!(searched.all(&asked).len(), before.len() + 1);
}

#[test]
fn an_index_that_was_deleted_cut_or_changed_is_built_again() {
    let records: Vec<_> = (0..40).flat_map(chain).collect();
    let mut searched = Searched::new(&records);
    let asked = query("send_money OR bank");
    let before = searched.all(&asked);
    let files = |folder: &Path| {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.filter(|file| file.metadata().unwrap().len() > 0).collect();
        files.sort();
        files
    };
    let count = files(&folder(&searched.log).join("0")).len();
    assert!(count > 5);
    for place in 0..count {
        for damage in 0..4 {
            after(&mut searched, |folder| {
                let files = files(folder);
                let Some(file) = files.get(place) else { return };
                let mut bytes = fs::read(file).unwrap();
                match damage {
                    0 => fs::remove_file(file).unwrap(),
                    1 => fs::write(file, &bytes[..bytes.len() / 2]).unwrap(),
                    2 => fs::write(file, []).unwrap(),
                    _ => {
                        let middle = bytes.len() / 2;
                        bytes[middle] ^= 0x10;
                        fs::write(file, bytes).unwrap();
                    }
                }
            });
            assert_eq!(searched.all(&asked), before, "file {place}, damage {damage}");
        }
    }
    after(&mut searched, |folder| fs::remove_dir_all(folder).unwrap());
    assert_eq!(searched.all(&asked), before);
}

#[test]
fn an_index_that_is_changed_while_it_is_in_use_is_built_again() {
    let records: Vec<_> = (0..40).flat_map(chain).collect();
    let searched = Searched::new(&records);
    let asked = query("send_money OR bank");
    let before = searched.all(&asked);
    for file in fs::read_dir(folder(&searched.log).join("0")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|kind| kind != "json" && kind != "lock") {
            // In its place, so that what is mapped changes.
            let length = fs::metadata(&path).unwrap().len();
            let mut open = fs::OpenOptions::new().write(true).open(&path).unwrap();
            open.write_all(&vec![0xff; usize::try_from(length).unwrap()]).unwrap();
        }
    }
    let request = Request::new(&asked, searched.size(), 100_000);
    let request = Request { order: Order::Ascending, ..request };
    assert!(searched.index.search(&request).is_err(), "it does not notice");
    let started = std::time::Instant::now();
    while searched.index.search(&request).map(|found| found.seqs).ok() != Some(before.clone()) {
        assert!(started.elapsed() < PATIENCE, "it is not built again");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_index_of_another_ledger_is_not_used() {
    let mut searched = Searched::new(&chain(1));
    let foreign = Searched::new(&(0..40).flat_map(chain).collect::<Vec<_>>());
    foreign.index.close();
    let from = folder(&foreign.log).join("0");
    after(&mut searched, |to| {
        fs::remove_dir_all(to).unwrap();
        fs::create_dir_all(to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    });
    assert_eq!(searched.ids("send_money"), ["invocation-1"]);
}

#[test]
fn an_index_ahead_of_its_ledger_is_built_again() {
    // The ledger was restored from a backup, its index was not.
    let Searched { mut log, index } = Searched::new(&chain(1));
    let close = |log: &mut TestLog, index: Arc<Index>| {
        index.close();
        drop(index);
        log.close();
    };
    close(&mut log, index);
    let copy = |from: &Path, to: &Path| {
        let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
        assert!(done.success());
    };
    let (folder, backup) = (log.folder.path().to_owned(), tempfile::tempdir().unwrap());
    copy(&folder.join("ledgers"), backup.path());
    log.reopen();
    log.submit(&chain(2)).unwrap();
    let index = open(&log);
    assert!(index.wait_for(8, PATIENCE));
    close(&mut log, index);

    fs::remove_dir_all(folder.join("ledgers")).unwrap();
    copy(&backup.path().join("ledgers"), &folder);
    log.reopen();
    let index = open(&log);
    let searched = Searched { log, index };
    searched.catch_up();
    assert_eq!(searched.ids("send_money"), ["invocation-1"]);
    searched.submit(&chain(3));
    assert_eq!(searched.ids("send_money"), ["invocation-1", "invocation-3"]);
}

#[test]
fn an_index_is_built_again_beside_the_one_in_use() {
    let records: Vec<_> = (0..40).flat_map(chain).collect();
    let searched = Searched::new(&records);
    let asked = query("send_money");
    let before = searched.all(&asked);
    assert!(searched.index.rebuild().unwrap());
    while searched.index.rebuilding().is_some() {
        assert_eq!(searched.all(&asked), before);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(searched.all(&asked), before);
    searched.submit(&chain(100));
    assert_eq!(searched.all(&asked).len(), before.len() + 1);
    searched.index.close();
    let left = fs::read_dir(folder(&searched.log)).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["1"]);
}

/// Everything that is known of each record of a ledger.
fn facts(searched: &Searched) -> Vec<Facts> {
    let view = searched.log.ledger().view();
    let fact = |seq| {
        let bytes = view.entry(seq).unwrap().unwrap();
        let entry = Entry::parse(&bytes).unwrap();
        let parts = entry.content.iter().zip(view.content(seq).unwrap());
        let parts: Vec<_> = parts
            .map(|(commitment, part)| match part {
                StoredPart::Kept { bytes, .. } => (commitment.name.to_string(), bytes),
                StoredPart::Erased => panic!("nothing was erased"),
            })
            .collect();
        Facts::new(&bytes, &parts)
    };
    (0..view.size()).map(fact).collect()
}

/// Records whose texts are made of few words, so that queries find some of them and not others.
fn varied(number: u64) -> Vec<Value> {
    const WORDS: [&str; 12] = [
        "pay",
        "PAYMENT",
        "invoice",
        "Rechnung",
        "für",
        "Müller",
        "支付",
        "a_b",
        "3.50",
        "urgent",
        "café",
        "https://x.example/p?q=1",
    ];
    let word = |place: u64| {
        let mixed = (number * 12 + place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        WORDS[usize::try_from(mixed).unwrap() % WORDS.len()]
    };
    let text = |from: u64| (from..from + 1 + number % 5).map(word).collect::<Vec<_>>().join(" ");
    let mut records = chain(number);
    records[0]["content"]["text"] = json!(text(0));
    // A session is of one user.
    let user = ["alice@example.com", "Bob@example.com"][usize::try_from(number % 5 % 2).unwrap()];
    for record in &mut records {
        record["user"]["id"] = json!(user);
    }
    records[1]["content"] =
        json!({ "text": [text(6), { "deep": text(3), "deep.er": number }, null] });
    records[2]["content"]["arguments"] = json!({ "to": word(9), "amount": number, "rate": f64::from(u32::try_from(number).unwrap()) / 4.0, "ok": number.is_multiple_of(2), "none": {} });
    records[3]["data"]["url"] = json!(
        [
            "https://Bank.example:8443/Transfers?x=1",
            "http://api.bank.example",
            "https://[::1]:80/v1#f"
        ][usize::try_from(number % 3).unwrap()]
    );
    records[3]["data"]["status_code"] = json!(200 + number % 3 * 100);
    records[3]["labels"] = json!({ "env": word(4), "team": "A" });
    records
}

/// One condition, as it is written.
fn condition() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "pay",
        "pay*",
        "payment",
        "rechnung",
        "\"fur muller\"",
        "\"pay invoice\"",
        "\"pay in\"*",
        "支付",
        "\"支 付\"",
        "a_b",
        "a",
        "3.50",
        "\"3 50\"",
        "x.example",
        "true",
        "cafe",
        "zzz",
        "2",
        "user:alice@example.com",
        "user:BOB*",
        "user:*",
        "session:s-3",
        "session:s-*",
        "agent:*",
        "tool:send_money",
        "tool:*",
        "kind:prompt",
        "kind:(api_call OR tool_invocation)",
        "model:m-*",
        "call_id:call-7",
        "host:bank.example",
        "host:*.example",
        "host:api*",
        "host:*",
        "method:post",
        "path:/Transfers",
        "path:/*",
        "label.env:pay",
        "label.env:*",
        "label.team:a",
        "flag:*",
        "delegation:jti-7f",
        "delegation:*",
        "id:prompt-3",
        "status:200",
        "status:>=300",
        "status:*",
        "seq:10..40",
        "seq:>100",
        "received:>=2026-01-01",
        "occurred:<2026-11-25",
        "content.text:pay",
        "content.text.deep:pay*",
        "content.text.deep.er:>5",
        "content.text:*",
        "content.arguments.to:invoice",
        "content.arguments.amount:3..11",
        "content.arguments.rate:<1.25",
        "content.arguments.rate:>=1.25",
        "content.arguments.none:*",
        "content.arguments.ok:true",
        "content.arguments:*",
        "data.effect:external",
        "data.model:*",
        "data.status_code:>=300",
        "data:*",
        "content.nothing:*",
    ])
    .prop_map(str::to_owned)
}

/// Conditions, joined in every way.
fn written() -> impl Strategy<Value = String> {
    condition().prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" "))),
            prop::collection::vec(inner.clone(), 2..4)
                .prop_map(|parts| format!("({})", parts.join(" OR "))),
            inner.prop_map(|part| format!("-{part}")),
        ]
    })
}

#[test]
fn whatever_is_asked_the_index_finds_what_a_look_at_every_record_finds() {
    let records: Vec<_> = (0..60).flat_map(varied).collect();
    // In several commits, so that there are several segments.
    let searched = Searched::new(&records[..100]);
    searched.submit(&records[100..170]);
    searched.submit(&records[170..]);
    let facts = facts(&searched);
    let mut runner = proptest::test_runner::TestRunner::default();
    let outcome = runner.run(&written(), |text| {
        let Ok(query) = parse(&text, "2026-11-25T00:00:00Z".parse().unwrap()) else {
            return Err(TestCaseError::reject("not a query"));
        };
        let expected = (0u64..).zip(&facts).filter(|(_, fact)| brute::matches(&query, fact));
        let expected: Vec<_> = expected.map(|(seq, _)| seq).collect();
        prop_assert_eq!(searched.all(&query), expected, "{}", text);
        Ok(())
    });
    outcome.unwrap();
}
