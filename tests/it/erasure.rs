//! Content that goes: nobody can read it, no file holds it, and everything else is as it was.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use axum::http::StatusCode;
use proptest::prelude::*;
use serde_json::{Value, json};
use whence::access::Role;
use whence::canon::{EntryHash, Json};
use whence::ledger::{EraseError, Erased, Ledger, Order, StoredPart};
use whence::record::data::{ConfigChange, IngestRefusal, Policy, Reach};
use whence::record::{Draft, Event, Timestamp};

use crate::api::Server;
use crate::cli::{Serving, text, whence};
use crate::log::{TestLog, chain, main_ledger, prompt, submit};

/// A word that stands nowhere else.
const WORD: &str = "zyzzyvaquixotic";
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The files below a folder in which one of these stands: as it is, or compressed at any place of the
/// file.
fn files_with(folder: &Path, needles: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, needles));
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let has = |bytes: &[u8]| {
            needles.iter().any(|needle| bytes.windows(needle.len()).any(|part| part == needle))
        };
        let frames = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&MAGIC));
        let mut unpacked = frames.map(|at| {
            let mut raw = Vec::new();
            let frame = zstd::stream::read::Decoder::new(&bytes[at..]).unwrap().single_frame();
            // What comes after the first part of a block stands elsewhere: then it ends early.
            drop(frame.take(1 << 22).read_to_end(&mut raw));
            raw
        });
        if has(&bytes) || unpacked.any(|raw| has(&raw)) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn reach(kind: &str, id: &str) -> Reach {
    let given = |name| (kind == name).then(|| id.into());
    Reach {
        all: (kind == "all").then_some(true),
        record: given("record"),
        session: given("session"),
        user: given("user"),
    }
}

fn order(kind: &str, id: &str) -> Order {
    Order { actor: "tok-1".into(), reach: reach(kind, id), reason: "asked for it".into() }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

fn erase(ledger: &Ledger, kind: &str, id: &str) -> Result<Erased, EraseError> {
    wait(ledger.erase(order(kind, id), "GDPR Art. 17".into(), after(ledger, 0)))
}

/// So many days after the ledger was made.
fn after(ledger: &Ledger, days: i128) -> Timestamp {
    let made: Timestamp = serde_json::from_value(entry(ledger, 0)["received_at"].clone()).unwrap();
    Timestamp::from_unix_nanos(made.unix_nanos() + days * 86_400 * 1_000_000_000).unwrap()
}

/// A record that the server writes, with content.
fn by_server(ledger: &Ledger, mut draft: Draft, text: Option<&str>) -> u64 {
    let content = text.map(|text| ("record".to_owned(), Json::from_value(text.into())));
    draft.content = content.into_iter().collect();
    let prepared = ledger.prepare(Event::by_server(draft).unwrap()).unwrap();
    wait(ledger.submit(vec![prepared])).unwrap()[0].seq
}

/// Everything that is kept of every record.
fn contents(ledger: &Ledger) -> BTreeMap<u64, Vec<StoredPart>> {
    ledger.view().contents(0..u64::MAX).unwrap().into_iter().collect()
}

fn is_erased(ledger: &Ledger, id: &str) -> bool {
    let view = ledger.view();
    let parts = view.content(view.seq_of(id).unwrap().unwrap()).unwrap();
    assert!(!parts.is_empty(), "{id} never had any");
    parts.iter().all(|part| *part == StoredPart::Erased)
}

fn entry(ledger: &Ledger, seq: u64) -> Value {
    serde_json::from_slice(&ledger.view().entry(seq).unwrap().unwrap()).unwrap()
}

#[test]
fn what_is_erased_is_gone_and_every_entry_stays() {
    let log = TestLog::new();
    let ledger = log.ledger();
    for number in 0..10 {
        log.submit(&chain(number)).unwrap();
    }
    let first = log.submit(&[prompt("p", "s-p", WORD)]).unwrap().remove(0);
    let size = ledger.view().size();
    let entries = ledger.view().entries(0..size).unwrap();
    let before = contents(&ledger);
    let proof = |seq| ledger.view().inclusion(seq, size).unwrap();
    let proven = proof(first.seq);

    let erased = erase(&ledger, "record", "p").unwrap();
    assert_eq!((erased.records, erased.parts, erased.receipts.len()), (1, 1, 1));
    assert!(is_erased(&ledger, "p"));
    let leaf = entry(&ledger, erased.receipts[0].seq);
    assert_eq!(leaf["kind"], "erasure");
    assert_eq!(leaf["data"]["authority"], "GDPR Art. 17");
    assert_eq!(leaf["data"]["reach"], json!({ "record": "p" }));
    assert_eq!(leaf["causes"][0]["id"], "p");
    assert_eq!(leaf["causes"][0]["rel"], "about");

    // Nothing else has changed, and what was proven is proven as before.
    assert_eq!(ledger.view().entries(0..size).unwrap(), entries);
    assert_eq!(proof(first.seq), proven);
    let mut after = contents(&ledger);
    after.retain(|seq, _| *seq < size && *seq != first.seq);
    let expected = before.into_iter().filter(|(seq, _)| *seq != first.seq).collect();
    assert_eq!(after, expected);

    // The same record is still the same record, and an other one under its id is none.
    let again = log.submit(&[prompt("p", "s-p", WORD)]).unwrap().remove(0);
    assert!(again.duplicate);
    assert_eq!((again.seq, again.entry_hash), (first.seq, first.entry_hash));
    assert!(log.submit(&[prompt("p", "s-other", WORD)]).is_err());

    assert_eq!(erase(&ledger, "record", "p").unwrap().records, 0);
    assert!(matches!(erase(&ledger, "record", "nobody"), Err(EraseError::UnknownRecord)));
    assert!(matches!(erase(&ledger, "session", "nobody"), Err(EraseError::UnknownSession)));
    assert_eq!(erase(&ledger, "user", "nobody").unwrap().records, 0);
    assert!(matches!(erase(&ledger, "all", ""), Err(EraseError::Reach)));
    assert_eq!(ledger.erasures(u64::MAX, 2).unwrap().len(), 2);
    assert_eq!(ledger.erasures(u64::MAX, 9).unwrap().len(), 3);
}

#[test]
fn sessions_and_users_go_with_what_was_refused_in_their_name() {
    let log = TestLog::new();
    let ledger = log.ledger();
    let mut bob = prompt("bob-1", "s-3", "of bob");
    bob["user"]["id"] = json!("bob@example.com");
    log.submit(&[prompt("alice-1", "s-1", "one"), prompt("alice-2", "s-2", "two"), bob]).unwrap();
    let refused = |user: &str, session: &str, id: &str| {
        let data = IngestRefusal {
            bytes: None,
            claimed_agent: None,
            claimed_id: Some(id.into()),
            claimed_kind: None,
            claimed_producer: None,
            claimed_session: Some(session.into()),
            claimed_user: Some(user.into()),
            code: "session_ended".into(),
            count: None,
            token_id: None,
        };
        by_server(&ledger, Draft::new(data, after(&ledger, 0)), Some("what was posted"))
    };
    let of_session = refused("carol@example.com", "s-1", "r-1");
    let of_user = refused("alice@example.com", "s-9", "r-2");
    let of_record = refused("carol@example.com", "s-9", "r-3");
    let gone = |seq: u64| ledger.view().content(seq).unwrap() == [StoredPart::Erased];

    assert_eq!(erase(&ledger, "session", "s-1").unwrap().records, 2);
    assert!(is_erased(&ledger, "alice-1") && gone(of_session));
    assert!(!is_erased(&ledger, "alice-2") && !gone(of_user) && !gone(of_record));
    assert_eq!(erase(&ledger, "user", "alice@example.com").unwrap().records, 2);
    assert!(is_erased(&ledger, "alice-2") && gone(of_user) && !gone(of_record));
    assert!(!is_erased(&ledger, "bob-1"));
    assert_eq!(erase(&ledger, "record", "r-3").unwrap().records, 1);
    assert!(gone(of_record));
}

#[test]
fn a_hold_forbids_erasing_until_it_is_released_also_after_opening_again() {
    let mut log = TestLog::new();
    log.submit(&chain(1)).unwrap();
    log.submit(&[prompt("free", "s-free", "not held")]).unwrap();
    let place = |ledger: &Ledger, kind: &str, id: &str| {
        wait(ledger.place_hold(order(kind, id), after(ledger, 0)))
            .map(|hold| hold.hold.hold_id.to_string())
    };
    let hold = place(&log.ledger(), "session", "s-1").unwrap();
    assert!(matches!(place(&log.ledger(), "record", "nobody"), Err(EraseError::UnknownRecord)));
    log.reopen();
    let ledger = log.ledger();
    let size = ledger.view().size();
    for (kind, id) in [
        ("record", "output-1"),
        ("session", "s-1"),
        // One of them is held: none of them goes.
        ("user", "alice@example.com"),
    ] {
        match erase(&ledger, kind, id) {
            Err(EraseError::Held { hold_id }) => assert_eq!(hold_id, hold),
            other => panic!("{kind} {id}: {other:?}"),
        }
    }
    assert_eq!(ledger.view().size(), size, "a refused erasure leaves nothing");
    assert_eq!(erase(&ledger, "record", "free").unwrap().records, 1);
    let all = place(&ledger, "all", "").unwrap();
    let release = |id: &str| {
        wait(ledger.release_hold(id, "tok-2".into(), "closed".into(), after(&ledger, 0)))
    };
    assert_eq!(release(&hold).unwrap().hold.reason.to_string(), "closed");
    assert!(matches!(release(&hold), Err(EraseError::UnknownHold)));
    assert!(matches!(erase(&ledger, "session", "s-1"), Err(EraseError::Held { .. })));
    release(&all).unwrap();
    assert!(ledger.holds().unwrap().is_empty());
    assert_eq!(erase(&ledger, "session", "s-1").unwrap().records, 4);
}

#[test]
fn a_hold_that_is_placed_while_something_is_erased_comes_before_or_after_it() {
    let log = TestLog::new();
    let ledger = log.ledger();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for number in 0..40 {
        let (id, session) = (format!("p-{number}"), format!("s-{number}"));
        submit(&ledger, &[prompt(&id, &session, "words")]).unwrap();
        let (one, other, at) = (ledger.clone(), ledger.clone(), after(&ledger, 0));
        let (to_erase, to_hold) = (order("session", &session), order("session", &session));
        let (erased, held) = runtime.block_on(async move {
            let erasing = tokio::spawn(async move { one.erase(to_erase, "x".into(), at).await });
            let holding = tokio::spawn(async move { other.place_hold(to_hold, at).await });
            (erasing.await.unwrap(), holding.await.unwrap().unwrap())
        });
        match erased {
            Ok(erased) => assert!(erased.receipts[0].seq < held.seq),
            Err(EraseError::Held { hold_id }) => {
                assert_eq!(*hold_id, *held.hold.hold_id);
                assert!(!is_erased(&ledger, &id));
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_large_erasure_takes_several_leaves_that_list_everything() {
    let log = TestLog::new();
    let ledger = log.ledger();
    for number in 0..6 {
        let id = |place| format!("p-{number}-{place}");
        let batch: Vec<_> = (0..400).map(|place| prompt(&id(place), "s", "words")).collect();
        log.submit(&batch).unwrap();
        log.submit(&[prompt(&format!("other-{number}"), "other", "words")]).unwrap();
    }
    let erased = erase(&ledger, "session", "s").unwrap();
    assert_eq!((erased.records, erased.receipts.len()), (2_400, 3));
    let mut listed = Vec::new();
    for receipt in &erased.receipts {
        assert_eq!(entry(&ledger, receipt.seq)["causes"].as_array().unwrap().len(), 128);
        let StoredPart::Kept { bytes, .. } = ledger.view().content(receipt.seq).unwrap().remove(0)
        else {
            panic!("the list is content")
        };
        let text: String = serde_json::from_slice(&bytes).unwrap();
        listed.extend(whence::record::spans::parse(&text).unwrap().into_iter().flatten());
    }
    let kept = contents(&ledger);
    let gone = kept.iter().filter(|(_, parts)| parts.contains(&StoredPart::Erased));
    assert_eq!(listed, gone.map(|(seq, _)| *seq).collect::<Vec<_>>());
    for number in 0..6 {
        assert!(!is_erased(&ledger, &format!("other-{number}")));
    }
    let size = ledger.view().size();
    assert!(ledger.view().entries(0..size).unwrap().len() == usize::try_from(size).unwrap());
}

#[test]
fn a_policy_lets_content_go_by_its_age_and_holds_keep_it() {
    let log = TestLog::new();
    let ledger = log.ledger();
    log.submit(&[prompt("old", "s-old", "words"), prompt("held", "s-held", "words")]).unwrap();
    let purge = |days| wait(ledger.purge_due(after(&ledger, days))).unwrap().records;
    assert_eq!(purge(400), 0, "without a policy nothing goes");
    let policy = Policy { retention_days: Some(30), ..Policy::default() };
    let change =
        ConfigChange { actor: "tok-1".into(), policy: Some(policy), setting: "policy".into() };
    by_server(&ledger, Draft::new(change, after(&ledger, 0)), None);
    let hold = wait(ledger.place_hold(order("session", "s-held"), after(&ledger, 0))).unwrap();

    assert_eq!(purge(29), 0);
    assert_eq!(purge(31), 1);
    assert!(is_erased(&ledger, "old") && !is_erased(&ledger, "held"));
    let (seq, _) = ledger.erasures(u64::MAX, 1).unwrap()[0].clone();
    let leaf = entry(&ledger, seq);
    assert_eq!(leaf["kind"], "retention_purge");
    assert_eq!(leaf["data"]["before"], json!(after(&ledger, 1)));
    let size = ledger.view().size();
    assert_eq!(purge(31), 0);
    assert_eq!(ledger.view().size(), size, "where nothing goes nothing is said");

    let id = hold.hold.hold_id.to_string();
    wait(ledger.release_hold(&id, "tok-1".into(), "closed".into(), after(&ledger, 31))).unwrap();
    assert_eq!(purge(32), 1);
    assert!(is_erased(&ledger, "held"));
}

/// What a crash can leave of a copy that was to take the database's place.
#[test]
fn whatever_a_crash_leaves_of_a_compaction_the_ledger_opens_and_it_is_done_again() {
    let mut log = TestLog::new();
    log.submit(&chain(1)).unwrap();
    log.submit(&[prompt("p", "s-p", WORD)]).unwrap();
    erase(&log.ledger(), "record", "p").unwrap();
    let expected = contents(&log.ledger());
    let root = log.ledger().view().checkpoint().clone();
    log.close();
    let store = log.settings().store(&main_ledger());
    let (db, fresh, old) =
        (store.path.clone(), store.path.with_extension("new"), store.path.with_extension("old"));
    let marker = db.with_extension("erased");
    assert!(marker.exists(), "the erasure left a note for the next opening");
    let keep = log.folder.path().join("kept");
    copy(&db, &keep);
    for state in 0..6 {
        drop(fs::remove_dir_all(&db));
        match state {
            // Half of a copy; before the first rename; between the two; after both; the old one half
            // removed; and done but for the marker.
            0 => {
                copy(&keep, &db);
                fs::create_dir(&fresh).unwrap();
                fs::write(fresh.join("db"), b"half").unwrap();
            }
            1 => [&db, &fresh].into_iter().for_each(|to| copy(&keep, to)),
            2 => [&old, &fresh].into_iter().for_each(|to| copy(&keep, to)),
            3 => [&old, &db].into_iter().for_each(|to| copy(&keep, to)),
            4 => {
                for to in [&old, &db] {
                    copy(&keep, to);
                }
                fs::remove_file(old.join("db")).unwrap();
            }
            _ => copy(&keep, &db),
        }
        fs::write(&marker, b"").unwrap();
        log.reopen();
        assert_eq!(contents(&log.ledger()), expected, "{state}");
        assert_eq!(log.ledger().view().checkpoint().note(), root.note(), "{state}");
        log.close();
        assert!(!marker.exists() && !fresh.exists() && !old.exists(), "{state}");
        assert!(files_with(&db, &[WORD.into()]).is_empty(), "{state}");
    }
    assert!(!files_with(&keep, &[WORD.into()]).is_empty(), "the scan would have found it");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &place);
        } else {
            fs::copy(file.path(), place).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn erasing_any_records_leaves_the_others_byte_for_byte(
        lengths in prop::collection::vec(1..3_000_usize, 8..30),
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..8),
    ) {
        let mut log = TestLog::new();
        let ids: Vec<_> = (0..lengths.len()).map(|place| format!("p-{place}")).collect();
        for (batch, lengths) in ids.chunks(5).zip(lengths.chunks(5)) {
            let records: Vec<_> = batch.iter().zip(lengths)
                .map(|(id, length)| prompt(id, "s", &format!("{id} ").repeat(*length))).collect();
            log.submit(&records).unwrap();
        }
        let mut expected = contents(&log.ledger());
        for index in chosen {
            let id = &ids[index.index(ids.len())];
            erase(&log.ledger(), "record", id).unwrap();
            let seq = log.ledger().view().seq_of(id).unwrap().unwrap();
            expected.insert(seq, vec![StoredPart::Erased]);
        }
        for _ in 0..2 {
            let mut found = contents(&log.ledger());
            found.retain(|seq, _| expected.contains_key(seq));
            prop_assert_eq!(&found, &expected);
            // The second time all of it was copied.
            log.reopen();
        }
    }
}

#[test]
fn roles_and_scopes_hold_for_erasing_and_holding() {
    let server = Server::new();
    let admin = server.token(Role::Admin, Some("main"));
    let reader = server.token(Role::Investigator, Some("main"));
    let foreign = server.token(Role::Admin, Some("other"));
    let writer = server.token(Role::Writer, None);
    server.post(&writer, &json!([prompt("p", "s", "words"), prompt("q", "s", "words")]));
    let at = |path: &str| format!("/v1/ledgers/main/{path}");
    let call = |path: &str, token: &str, body: &Value| {
        let answer = server.call("POST", &at(path), token, body.to_string());
        let status = answer.status.as_u16();
        (status, if status < 300 { answer.json() } else { json!(answer.code()) })
    };
    let erasure = |reach: Value| json!({ "reach": reach, "reason": "r", "authority": "a" });
    let of = |id: &str| erasure(json!({ "record": id }));
    let hold = json!({ "reach": { "session": "s" }, "reason": "r" });
    for (token, status, code) in [
        (&foreign, 404, "ledger_unknown"),
        (&writer, 403, "role_missing"),
        (&reader, 403, "role_missing"),
    ] {
        for (path, body) in
            [("erasures", &of("p")), ("holds", &hold), ("holds/x/release", &json!({"reason": "r"}))]
        {
            assert_eq!(call(path, token, body), (status, json!(code)), "{path}");
        }
    }
    assert_eq!(call("erasures", &admin, &of("nobody")), (404, json!("record_unknown")));
    assert_eq!(
        call("holds/x/release", &admin, &json!({"reason": "r"})),
        (404, json!("hold_unknown"))
    );
    for reach in [json!({}), json!({"all": true}), json!({"record": "p", "user": "u"})] {
        assert_eq!(call("erasures", &admin, &erasure(reach)), (422, json!("field_invalid")));
    }
    let long = json!({ "reach": { "record": "p" }, "reason": "r".repeat(501), "authority": "a" });
    assert_eq!(call("erasures", &admin, &long), (422, json!("field_too_long")));

    let (status, placed) = call("holds", &admin, &hold);
    assert_eq!(status, 201);
    assert_eq!(call("erasures", &admin, &of("p")), (409, json!("held")));
    let listed = server.get(&at("holds"), &reader).json();
    assert_eq!(listed["data"], json!([placed]));
    let release = format!("holds/{}/release", placed["hold_id"].as_str().unwrap());
    assert_eq!(call(&release, &admin, &json!({"reason": "closed"})).0, 200);
    let (status, erased) = call("erasures", &admin, &of("p"));
    assert_eq!((status, &erased["records"], &erased["parts"]), (201, &json!(1), &json!(1)));

    let record = server.get(&at("records/p"), &reader).json();
    let part = &record["content"][0];
    assert_eq!((&part["erased"], part.get("value"), part.get("salt")), (&json!(true), None, None));
    assert!(part["digest"].is_string());
    let listed = server.get(&at("erasures?limit=1"), &reader).json();
    assert_eq!(listed["data"][0]["about"], json!(["p"]));
    assert_eq!(listed["data"][0]["data"]["reason"], "r");
    assert_eq!(server.get(&at("erasures"), &writer).status, StatusCode::FORBIDDEN);
    assert_eq!(server.get(&at("erasures"), &foreign).status, StatusCode::NOT_FOUND);
}

#[test]
fn a_search_finds_what_is_left_and_nothing_that_was_erased() {
    let server = Server::new();
    let all = server.token_with(&[Role::Writer, Role::Admin, Role::Investigator]);
    server.post(&all, &json!([prompt("p", "s", WORD), prompt("q", "s", "other words")]));
    let found = |query: &str| {
        let size = server.ledger().view().size();
        let path = format!("/v1/ledgers/main/records?q={query}&wait_for={}", size - 1);
        let page = server.get(&path, &all).json();
        let data = page["data"].as_array().unwrap().iter();
        data.map(|hit| hit["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(WORD), ["p"]);
    let body = json!({ "reach": { "record": "p" }, "reason": "r", "authority": "a" });
    let answer = server.call("POST", "/v1/ledgers/main/erasures", &all, body.to_string());
    assert_eq!(answer.status, StatusCode::CREATED);
    assert!(found(WORD).is_empty());
    assert_eq!(found("session:s"), ["q", "p"], "each of them once");
    assert_eq!(found("words"), ["q"]);
}

/// With the command: erased, exported, verified, compacted, and looked for in every byte on the disk.
#[test]
fn after_a_compaction_no_file_holds_a_byte_of_what_was_erased() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let run = |url: &str, args: &[&str]| {
        let mut all = vec!["--data", "data", "--url", url];
        all.extend(args);
        let output = whence(path, &all);
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    run("", &["init"]);
    let serving = Serving::start(path, &[]);
    let url = serving.url.clone();
    let mut records = fs::File::create(path.join("records.ndjson")).unwrap();
    for record in (0..20).flat_map(chain).chain([prompt("p", "s-p", WORD)]) {
        writeln!(records, "{record}").unwrap();
    }
    run(&url, &["append", "records.ndjson"]);
    let record: Value = serde_json::from_str(&run(&url, &["--json", "get", "p"])).unwrap();
    let salt = record["content"][0]["salt"].as_str().unwrap().to_owned();
    let salt = data_encoding::HEXLOWER.decode(salt.as_bytes()).unwrap();
    let needles = [WORD.into(), salt];
    // Who searches for the word itself leaves it in the log of who read: that is a record of its own.
    run(&url, &["search", "kind:prompt"]);

    let hold = run(&url, &["--json", "hold", "place", "--session", "s-p", "--reason", "case"]);
    let hold: Value = serde_json::from_str(&hold).unwrap();
    let erase = ["erase", "--record", "p", "--reason", "asked", "--authority", "GDPR Art. 17"];
    let mut refused = vec!["--data", "data", "--url", &url];
    refused.extend(erase);
    let refused = whence(path, &refused);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("409 held"), "{}", text(&refused.stderr));
    run(&url, &["hold", "release", hold["hold_id"].as_str().unwrap(), "--reason", "closed"]);
    run(&url, &erase);
    assert!(run(&url, &["erasures"]).contains("GDPR Art. 17"));
    let rows = run(&url, &["export", "--format", "ndjson", "-"]);
    assert!(!rows.contains(WORD) && rows.contains("\"p\""));
    assert!(whence(path, &["--data", "data", "compact"]).status.code() == Some(2), "it is running");
    serving.stop();

    let data = path.join("data");
    let found = files_with(&data, &needles);
    assert!(found.iter().any(|file| file.ends_with("ledgers/main/db/db")), "{found:?}");
    run("", &["verify", "data"]);
    run("", &["compact"]);
    assert_eq!(files_with(&data, &needles), Vec::<String>::new());
    assert!(!data.join("search/main").exists());
    run("", &["verify", "data"]);

    // The server goes on from there, and finds everything else.
    let serving = Serving::start(path, &[]);
    let url = serving.url.clone();
    let record: Value = serde_json::from_str(&run(&url, &["--json", "get", "p"])).unwrap();
    assert_eq!(record["content"][0]["erased"], json!(true));
    let entry = record["entry"].to_string();
    assert_eq!(record["receipt"]["entry_hash"], json!(EntryHash::of(entry.as_bytes())));
    let size: Value = serde_json::from_str(&run(&url, &["--json", "ledger", "list"])).unwrap();
    let wait_for = (size["data"][0]["size"].as_u64().unwrap() - 1).to_string();
    let hits = run(&url, &["--json", "search", "invoice", "--wait-for", &wait_for]);
    assert!(hits.contains("prompt-7"), "{hits}");
    serving.stop();
    assert_eq!(files_with(&data, &needles), Vec::<String>::new());
}
