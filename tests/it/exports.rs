//! Exports: whole, resumable, logged before they begin, and good for proofs by themselves.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use data_encoding::BASE64;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use whence::access::Role;
use whence::canon::{ContentDigest, EntryHash, Salt, TreeHash};
use whence::http::Limits;
use whence::proof::verify_inclusion;
use whence::record::Entry;
use whence::seal::{UnverifiedCheckpoint, VerifierKey};

use crate::api::Server;
use crate::log::{chain, prompt};

const EXPORT: &str = "/v1/ledgers/main/export";

/// A server with 40 chains of four, and tokens to write and to read.
fn filled() -> (Server, String, String) {
    let server = Server::new();
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    for number in 0..40 {
        server.post(&writer, &Value::Array(chain(number)));
    }
    (server, writer, reader)
}

fn export(server: &Server, token: &str, query: &str) -> String {
    let answer = server.get(&format!("{EXPORT}{query}"), token);
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", String::from_utf8_lossy(&answer.body));
    String::from_utf8(answer.body).unwrap()
}

fn json_lines(text: &str) -> Vec<Value> {
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// One line of NDJSON, with the entry as it stands there.
#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    entry: &'a RawValue,
    content: Vec<Part<'a>>,
}

#[derive(serde::Deserialize)]
struct Part<'a> {
    digest: ContentDigest,
    salt: Salt,
    #[serde(borrow)]
    value: &'a RawValue,
}

#[test]
fn every_row_can_be_hashed_anew_and_proven_from_the_exported_bytes_alone() {
    let (server, _, reader) = filled();
    let key = server.get("/v1/ledgers/main", &reader).json();
    let key: VerifierKey = key["key"].as_str().unwrap().parse().unwrap();
    let text = export(&server, &reader, "");
    let mut lines: Vec<_> = text.lines().collect();
    let end: Value = serde_json::from_str(lines.pop().unwrap()).unwrap();
    assert_eq!(lines.len(), 161);
    assert_eq!((&end["object"], &end["complete"]), (&json!("export_end"), &json!(true)));
    assert_eq!((&end["rows"], &end["after"]), (&json!(161), &json!(160)));
    let note = UnverifiedCheckpoint::parse(end["checkpoint"].as_str().unwrap().as_bytes()).unwrap();
    let signed = note.verify(&[key]).unwrap();
    let checkpoint = signed.checkpoint();

    let mut parts = 0;
    for (seq, line) in (0..).zip(lines) {
        let row: Line<'_> = serde_json::from_str(line).unwrap();
        let said: Value = serde_json::from_str(line).unwrap();
        let bytes = row.entry.get().as_bytes();
        let integrity = &said["record_integrity"];
        assert_eq!(integrity["entry_hash"], EntryHash::of(bytes).to_string());
        let leaf = TreeHash::leaf(bytes);
        assert_eq!(integrity["leaf_hash"], leaf.to_string());
        assert_eq!(integrity["checkpoint"]["size"], checkpoint.size());
        assert_eq!(integrity["checkpoint"]["root"], checkpoint.root().to_string());
        assert_eq!(integrity["checkpoint"]["origin"], "log.example/main");
        assert_eq!(said["seq"], seq);

        let entry = Entry::parse(bytes).unwrap();
        assert_eq!(entry.content.len(), row.content.len());
        for (commitment, part) in entry.content.iter().zip(&row.content) {
            let digest = ContentDigest::of(&part.salt, part.value.get().as_bytes());
            assert_eq!((digest, digest), (commitment.digest, part.digest));
            parts += 1;
        }
        let proof = server.ledger().view().inclusion(seq, checkpoint.size()).unwrap();
        verify_inclusion(&leaf, seq, checkpoint.size(), &proof, &checkpoint.root()).unwrap();
    }
    assert_eq!(parts, 160);
}

#[test]
fn an_export_goes_on_where_it_ended_and_misses_and_repeats_nothing() {
    let (server, writer, reader) = filled();
    let first = export(&server, &reader, "");
    let all: Vec<_> = first.lines().collect();
    for after in [0, 1, 77, 159] {
        let rest = export(&server, &reader, &format!("?after={after}"));
        let rest = json_lines(&rest);
        assert_eq!(rest[0]["seq"], after + 1);
        assert_eq!(
            rest[0]["entry"],
            serde_json::from_str::<Value>(all[after + 1]).unwrap()["entry"]
        );
    }
    let end = json_lines(&first).pop().unwrap();
    server.post(&writer, &prompt("late", "s", "hello"));
    let late = json_lines(&export(&server, &reader, &format!("?after={}", end["after"])));
    // Between them stand the records that say who exported.
    let kinds: Vec<_> = late.iter().filter_map(|row| row["entry"]["kind"].as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "log_export").count(), 5);
    assert_eq!(kinds.last(), Some(&"prompt"));
    let past = json_lines(&export(&server, &reader, "?after=100000"));
    assert_eq!((past.len(), &past[0]["after"], &past[0]["rows"]), (1, &json!(100_000), &json!(0)));
}

#[test]
fn who_exports_what_is_in_the_ledger_before_the_first_byte_leaves() {
    let (server, _, reader) = filled();
    let rows = json_lines(&export(&server, &reader, "?after=9&content=withheld"));
    let exports = server.of_kinds(&["log_export"]);
    assert_eq!(exports.len(), 1);
    let (entry, _) = &exports[0];
    let data = &entry["data"];
    assert_eq!(data["actor"], server.tokens.authenticate(&reader, 0).unwrap().id);
    assert_eq!((&data["start"], &data["end"]), (&json!(10), &json!(161)));
    assert_eq!((&data["format"], &data["content"]), (&json!("ndjson"), &json!(false)));
    // It is none of the rows: they are of the checkpoint before.
    assert!(rows.iter().all(|row| row["entry"]["kind"] != "log_export"));
    assert!(rows.iter().all(|row| row.get("content").is_none()));
    assert!(!rows.iter().any(|row| row.to_string().contains("Pay the invoice")));
}

#[test]
fn times_bound_an_export_by_what_the_server_received() {
    let (server, _, reader) = filled();
    let rows = json_lines(&export(&server, &reader, ""));
    let received: Vec<_> =
        rows.iter().filter_map(|row| row["entry"]["received_at"].as_str()).collect();
    let (since, until) = (received[40], received[100]);
    let part = json_lines(&export(&server, &reader, &format!("?since={since}&until={until}")));
    let expected: Vec<_> = received.iter().filter(|time| (since..until).contains(*time)).collect();
    assert!(expected.len() > 40 && part.len() == expected.len() + 1, "{}", part.len());
    let end = part.last().unwrap();
    assert_eq!(end["after"], part[part.len() - 2]["seq"], "nothing after it was looked at");
    let none = json_lines(&export(&server, &reader, "?since=2100-01-01T00:00:00Z"));
    assert_eq!(none.len(), 1);
    let wrong = server.get(&format!("{EXPORT}?since=yesterday"), &reader);
    assert_eq!(wrong.code(), "query_invalid");
}

#[test]
fn large_records_are_streamed_and_none_is_missing() {
    let server = Server::with(Limits::default(), None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    for number in 0..12 {
        let text = number.to_string().repeat(400_000);
        server.post(&writer, &prompt(&format!("p-{number}"), "s", &text));
    }
    let answer = server.get(EXPORT, &reader);
    assert!(answer.headers.get("content-length").is_none(), "it is streamed");
    let rows = json_lines(&String::from_utf8(answer.body).unwrap());
    assert_eq!(rows.len(), 14);
    for (number, row) in rows[1..13].iter().enumerate() {
        let text = row["content"][0]["value"].as_str().unwrap();
        assert_eq!(text, number.to_string().repeat(400_000));
    }
}

#[test]
fn a_table_has_a_row_for_each_record_and_the_note_in_the_first() {
    let (server, _, reader) = filled();
    let answer = server.get(&format!("{EXPORT}?format=csv"), &reader);
    assert_eq!(answer.headers["content-type"], "text/csv; charset=utf-8");
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(text.lines().count(), 162, "every line is a row");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let column = |name: &str| names.iter().position(|column| column == name).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 161);
    let view = server.ledger().view();
    for (seq, row) in (0..).zip(&rows) {
        assert_eq!(row[column("seq")], seq.to_string());
        let bytes = view.entry(seq).unwrap().unwrap();
        assert_eq!(row[column("entry_hash")], EntryHash::of(&bytes).to_string());
        assert_eq!(row[column("leaf_hash")], TreeHash::leaf(&bytes).to_string());
        assert_eq!(&row[column("checkpoint_size")], "161");
        let note = &row[column("checkpoint_note")];
        assert_eq!(note.is_empty(), seq > 0);
    }
    let note = BASE64.decode(rows[0][column("checkpoint_note")].as_bytes()).unwrap();
    assert_eq!(UnverifiedCheckpoint::parse(&note).unwrap().claim().size(), 161);
    let call = &rows[4];
    assert_eq!(&call[column("kind")], "api_call");
    assert_eq!(&call[column("url")], "https://bank.example/transfers");
    assert_eq!((&call[column("status")], &call[column("user_id")]), ("201", "alice@example.com"));
    assert_eq!(&call[column("content")], r#"{"request_body":{"amount":0}}"#);
    assert_eq!(&call[column("causes")], "triggered_by:invocation-0");
    assert_eq!(&rows[3][column("tool")], "send_money");
}

#[test]
fn every_event_has_what_its_class_requires_and_says_which_leaf_it_is() {
    let server = Server::new();
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let records = crate::hostile::seeds::records();
    let answer = server.post(&writer, &Value::from(records));
    assert_eq!(answer.status, StatusCode::CREATED);
    let events = json_lines(&export(&server, &reader, "?format=ocsf"));
    let view = server.ledger().view();
    let mut seen = BTreeSet::new();
    for (seq, event) in (0..).zip(&events) {
        let kind = event["unmapped"]["kind"].as_str().unwrap();
        let number = |name: &str| event[name].as_u64().unwrap_or_else(|| panic!("{kind}: {name}"));
        assert_eq!(number("type_uid"), number("class_uid") * 100 + number("activity_id"), "{kind}");
        assert_eq!(number("class_uid") / 1000, number("category_uid"), "{kind}");
        assert!((1..=4).contains(&number("severity_id")) && number("time") > 0, "{kind}");
        assert!(!event["activity_name"].as_str().unwrap().is_empty());
        let metadata = &event["metadata"];
        assert_eq!(
            (&metadata["version"], &metadata["sequence"]),
            (&json!("1.9.0-dev"), &json!(seq))
        );
        assert_eq!(metadata["product"]["name"], "whence");
        let profiles = metadata["profiles"].as_array().unwrap();
        assert!(profiles.contains(&json!("record_integrity")));
        let controlled = event.get("action_id").is_some();
        assert_eq!(controlled, profiles.contains(&json!("security_control")), "{kind}");
        for name in required(number("class_uid")) {
            let value = event.pointer(name);
            let value = value.unwrap_or_else(|| panic!("{kind} has no {name}: {event}"));
            assert!(
                !value.is_null() && *value != json!({}) && *value != json!([]),
                "{kind} {name}"
            );
        }
        let actor = event.get("actor").and_then(Value::as_object);
        assert!(actor.is_some_and(|actor| !actor.is_empty()), "{kind}");

        let bytes = view.entry(seq).unwrap().unwrap();
        assert_eq!(event["raw_data"].as_str().unwrap().as_bytes(), &*bytes);
        assert_eq!(event["unmapped"]["leaf_hash"], TreeHash::leaf(&bytes).to_string());
        let fingerprint = &event["attestation_list"][0]["fingerprint"]["value"];
        assert_eq!(*fingerprint, EntryHash::of(&bytes).to_string());
        let checkpoint = &event["unmapped"]["checkpoint"];
        assert_eq!(checkpoint.get("note").is_some(), seq == 0);
        // The agent is never the actor.
        let agent = event.pointer("/ai_agent/uid");
        assert!(agent.is_none() || event.pointer("/actor/user/uid") != agent, "{kind}");
        seen.insert((kind.to_owned(), number("class_uid"), number("activity_id")));
    }
    assert!(seen.len() >= 20, "{seen:?}");
    the_table_says(&seen);
}

/// What OCSF requires of a class, beside what it requires of every event.
fn required(class: u64) -> &'static [&'static str] {
    match class {
        6003 => &["/actor", "/api/operation", "/src_endpoint/name"],
        3002 => &["/user/uid", "/service/name"],
        3003 => &["/user/uid", "/privileges"],
        2004 => &["/finding_info/uid", "/finding_info/title"],
        other => panic!("class {other} is not in the table"),
    }
}

/// `schema/OCSF.md` has a row for every kind, and what is exported is as it says.
fn the_table_says(seen: &BTreeSet<(String, u64, u64)>) {
    let text = std::fs::read_to_string("schema/OCSF.md").unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    for kind in whence::record::Kind::NAMES {
        let row = rows.iter().find(|row| row[1] == format!("`{kind}`"));
        assert!(row.is_some(), "{kind} has no row");
    }
    for (kind, class, activity) in seen {
        let row = rows.iter().find(|row| row[1] == format!("`{kind}`")).unwrap();
        assert!(row[2].contains(&class.to_string()), "{kind}: {row:?}");
        let listed =
            row[3].split(|c: char| !c.is_ascii_digit()).any(|id| id == activity.to_string());
        assert!(listed, "{kind} {activity}: {row:?}");
    }
}

#[test]
fn only_investigators_export_and_a_bad_query_is_refused_before_anything_is_logged() {
    let (server, writer, reader) = filled();
    for role in [Role::Auditor, Role::Admin] {
        assert_eq!(server.get(EXPORT, &server.token(role, None)).code(), "role_missing");
    }
    assert_eq!(server.get(EXPORT, &writer).code(), "role_missing");
    for query in ["?format=xml", "?x=1", "?after=-1", "?content=all"] {
        assert_eq!(server.get(&format!("{EXPORT}{query}"), &reader).code(), "query_invalid");
    }
    assert_eq!(server.of_kinds(&["log_export"]).len(), 0);
}

const SAVED: &str = "/v1/ledgers/main/searches/siem";

fn save(server: &Server, token: &str, search: &Value) -> StatusCode {
    server.call("PUT", SAVED, token, search.to_string()).status
}

/// Polls from a seq on until all was given. Returns the seqs of the rows, and where to go on.
fn poll(server: &Server, token: &str, mut after: Option<u64>, limit: u64) -> (Vec<u64>, u64) {
    let mut seqs = Vec::new();
    loop {
        let from = after.map(|seq| format!("&after={seq}")).unwrap_or_default();
        let answer = server.get(&format!("{SAVED}/poll?limit={limit}{from}"), token);
        assert_eq!(answer.status, StatusCode::OK);
        let header = |name: &str| answer.headers[name].to_str().unwrap().to_owned();
        let next: u64 = header("whence-after").parse().unwrap();
        let mut rows = json_lines(std::str::from_utf8(&answer.body).unwrap());
        let end = rows.pop().unwrap();
        assert_eq!(
            (&end["after"], end["complete"].to_string()),
            (&json!(next), header("whence-complete"))
        );
        assert!(u64::try_from(rows.len()).unwrap() <= limit);
        seqs.extend(rows.iter().map(|row| row["seq"].as_u64().unwrap()));
        after = Some(next);
        if end["complete"] == true {
            return (seqs, next);
        }
    }
}

#[test]
fn polls_of_a_saved_search_give_every_record_once_and_in_order() {
    let (server, writer, reader) = filled();
    assert_eq!(save(&server, &reader, &json!({ "format": "ndjson" })), StatusCode::CREATED);
    let (seqs, after) = poll(&server, &reader, None, 50);
    let size = server.ledger().view().size();
    assert!(seqs.iter().copied().eq(0..size), "{seqs:?}");
    assert_eq!(poll(&server, &reader, Some(after), 50), (Vec::new(), after));
    server.post(&writer, &Value::Array(chain(41)));
    let (seqs, after) = poll(&server, &reader, Some(after), 3);
    assert!(seqs.iter().copied().eq(size..server.ledger().view().size()), "{seqs:?}");
    assert_eq!(seqs.last(), Some(&after));
}

#[test]
fn a_poll_ends_early_where_records_are_large_and_goes_on() {
    let limits = Limits { page_bytes_max: 1, ..Limits::default() };
    let server = Server::with(limits, None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    for number in 0..4 {
        server.post(&writer, &prompt(&format!("p-{number}"), "s", &"x".repeat(700_000)));
    }
    save(&server, &reader, &json!({}));
    let answer = server.get(&format!("{SAVED}/poll"), &reader);
    assert_eq!(answer.headers["whence-complete"], "false");
    let (seqs, _) = poll(&server, &reader, None, 1_000);
    assert!(seqs.iter().copied().eq(0..6), "{seqs:?}");
}

#[test]
fn searches_are_kept_in_the_ledger_s_folder_and_who_changes_them_in_the_ledger() {
    let (server, _, reader) = filled();
    let admin = server.token(Role::Admin, None);
    assert_eq!(save(&server, &admin, &json!({ "format": "csv" })), StatusCode::CREATED);
    assert_eq!(save(&server, &reader, &json!({ "format": "ocsf", "q": "" })), StatusCode::OK);
    let saved = json!({ "object": "saved_search", "name": "siem", "q": "", "format": "ocsf" });
    assert_eq!(server.get(SAVED, &admin).json(), saved);
    assert_eq!(server.get("/v1/ledgers/main/searches", &reader).json()["data"], json!([saved]));
    let file = server.folder.path().join("ledgers/main/searches.json");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, r#"{"searches":{"siem":{"format":"ocsf","q":""}}}"#);

    assert_eq!(server.call("DELETE", SAVED, &admin, "").status, StatusCode::NO_CONTENT);
    assert_eq!(server.get(&format!("{SAVED}/poll"), &reader).code(), "search_unknown");
    let changes = server.of_kinds(&["config_change"]);
    let id = |token: &str| server.tokens.authenticate(token, 0).unwrap().id.clone();
    let actors: Vec<_> = changes.iter().map(|(entry, _)| &entry["data"]["actor"]).collect();
    assert_eq!(json!(actors), json!([id(&admin), id(&reader), id(&admin)]));
    assert!(changes[2].1.contains("removed") && changes[1].1.contains("ocsf"));

    // A damaged file is not taken for an empty one.
    std::fs::write(&file, "{").unwrap();
    let answer = server.get("/v1/ledgers/main/searches", &reader);
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (500, "internal"));
    assert_eq!(save(&server, &reader, &json!({})), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_search_that_cannot_be_kept_is_refused() {
    let (server, _, reader) = filled();
    let put = |path: &str, body: &str| server.call("PUT", path, &reader, body.to_owned()).code();
    for name in ["a%20b", "%2e%2e", &"x".repeat(65), "%C3%A4"] {
        assert_eq!(put(&format!("/v1/ledgers/main/searches/{name}"), "{}"), "name_invalid");
    }
    assert_eq!(put(SAVED, r#"{"format":"xml"}"#), "json_invalid");
    assert_eq!(put(SAVED, r#"{"query":"x"}"#), "json_invalid");
    let long = json!({ "q": "x".repeat(5_000) }).to_string();
    assert_eq!(put(SAVED, &long), "query_invalid");
    for number in 0..256 {
        let path = format!("/v1/ledgers/main/searches/s-{number}");
        assert_eq!(server.call("PUT", &path, &reader, "{}").status, StatusCode::CREATED);
    }
    assert_eq!(put(SAVED, "{}"), "too_many_searches");
    let again = server.call("PUT", "/v1/ledgers/main/searches/s-7", &reader, "{}");
    assert_eq!(again.status, StatusCode::OK);
    let other = server.token(Role::Investigator, Some("other"));
    assert_eq!(server.get("/v1/ledgers/main/searches", &other).code(), "ledger_unknown");
}
