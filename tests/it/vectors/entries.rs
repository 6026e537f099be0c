//! Vectors of sealed entries (SPEC 3.1).

use serde_json::{Value, json};

use super::outcome::canonical;
use super::sealed::SealedLog;
use super::{Vector, accept, reject};

const ENTRY: &str = "entry";

pub(super) fn vectors() -> Vec<Vector> {
    [form(), limits(), places(), flags(), written_by_the_server()].concat()
}

/// A sealed tool invocation: seq 3, with a cause, content and a place in its session.
fn entry() -> Value {
    let mut log = SealedLog::new("2026-11-24T00:00:00Z", "whence/1");
    log.batch(&crate::log::chain(1), "2026-11-24T00:06:16.5Z", 0x20);
    log.entry(3)
}

fn genesis() -> Value {
    SealedLog::new("2026-11-24T00:00:00Z", "whence/1").entry(0)
}

/// The entry after a change, in canonical form again.
fn with(mut entry: Value, change: impl FnOnce(&mut Value)) -> String {
    change(&mut entry);
    canonical(&entry)
}

fn without(entry: Value, name: &str) -> String {
    with(entry, |entry| drop(entry.as_object_mut().unwrap().remove(name).unwrap()))
}

fn yes(rule: &'static str, what: &'static str, text: String) -> Vector {
    accept(rule, ENTRY, what, text)
}

fn no(rule: &'static str, what: &'static str, text: String) -> Vector {
    reject(rule, ENTRY, what, text)
}

fn form() -> Vec<Vector> {
    let text = canonical(&entry());
    let swapped = |first: &str, second: &str| {
        let text = canonical(&entry());
        let member = |name: &str| format!("\"{name}\":{}", canonical(&entry()[name]));
        let (first, second) = (member(first), member(second));
        let text = text.replacen(&first, "@first", 1).replacen(&second, "@second", 1);
        text.replacen("@first", &second, 1).replacen("@second", &first, 1)
    };
    vec![
        yes("R-HASH-1", "a tool invocation", text.clone()),
        yes("R-TREE-1", "the genesis entry", canonical(&genesis())),
        yes("R-VERS-1", "version 1", text.clone()),
        yes("R-ENTRY-1", "an entry in canonical form", text.clone()),
        no("R-ENTRY-1", "a space", text.replacen(':', ": ", 1)),
        no("R-ENTRY-1", "a line feed at the end", format!("{text}\n")),
        no("R-ENTRY-1", "two entries", format!("{text}{text}")),
        no("R-ENTRY-1", "nothing", String::new()),
        no("R-CANON-1", "members in another order", swapped("id", "kind")),
        no("R-CANON-2", "a letter that is escaped", text.replacen("invoice", "\\u0069nvoice", 1)),
        yes("R-ENTRY-2", "every member that it needs", text.clone()),
        no(
            "R-ENTRY-2",
            "a member that is not known",
            with(entry(), |entry| entry["colour"] = json!("red")),
        ),
        no(
            "R-ENTRY-2",
            "a member that is null",
            with(entry(), |entry| entry["trace"] = Value::Null),
        ),
        no("R-ENTRY-2", "a list that is empty", with(entry(), |entry| entry["flags"] = json!([]))),
        no(
            "R-ENTRY-2",
            "labels that are empty",
            with(entry(), |entry| entry["labels"] = json!({})),
        ),
        no("R-ENTRY-2", "no received_at", without(entry(), "received_at")),
        no("R-ENTRY-2", "no id", without(entry(), "id")),
        yes("R-ENTRY-3", "times in canonical form", text.clone()),
        no("R-ENTRY-3", "a number with an exponent", text.replacen("\"seq\":3", "\"seq\":3e0", 1)),
        no("R-ENTRY-3", "a number with a fraction", text.replacen("\"seq\":3", "\"seq\":3.0", 1)),
        no("R-ENTRY-3", "a seq beyond 2^53 - 1", {
            text.replacen("\"seq\":3,\"sess", "\"seq\":9007199254740992,\"sess", 1)
        }),
        no("R-TIME-3", "a time with an offset", {
            with(entry(), |entry| entry["received_at"] = json!("2026-11-24T01:06:16.5+01:00"))
        }),
        no("R-TIME-3", "a fraction that ends with a zero", {
            with(entry(), |entry| entry["received_at"] = json!("2026-11-24T00:06:16.50Z"))
        }),
    ]
}

fn limits() -> Vec<Vector> {
    let ledger = |name: &str| with(entry(), |entry| entry["ledger"] = json!(name));
    let changed = |pointer: &str, value: Value| {
        with(entry(), |entry| *entry.pointer_mut(pointer).unwrap() = value)
    };
    let sized = |bytes: usize| {
        // Labels can be of any number of bytes up to 27,000; causes fill the rest.
        with(entry(), |entry| {
            let hash = "ab".repeat(32);
            let causes = (0..256).map(|number| {
                let id = format!("{number:03}-{}", "i".repeat(124));
                let rel = if number == 0 { "triggered_by" } else { "informed_by" };
                json!({ "entry_hash": hash, "id": id, "rel": rel, "seq": 1 })
            });
            entry["causes"] = causes.collect();
            entry["labels"] = json!({ "k": "v" });
            let mut number = 0;
            // A further label takes nine bytes beside its value.
            while canonical(entry).len() + 16 < bytes {
                let room = (bytes - canonical(entry).len() - 16).clamp(1, 490);
                entry["labels"][format!("k{number:02}")] = json!("v".repeat(room));
                number += 1;
            }
            let missing = bytes - canonical(entry).len();
            entry["labels"]["k"] = json!("v".repeat(1 + missing));
        })
    };
    vec![
        yes("R-LEDGER-1", "a name with digits and a hyphen", ledger("team-7")),
        no("R-LEDGER-1", "a name that starts with a hyphen", ledger("-team")),
        no("R-LEDGER-1", "a name in capitals", ledger("Team")),
        no("R-LEDGER-1", "a name of 64 bytes", ledger(&"l".repeat(64))),
        yes("R-SIZE-1", "an entry of 65,535 bytes", sized(65_535)),
        no("R-SIZE-1", "an entry of 65,536 bytes", sized(65_536)),
        yes("R-ENTRY-4", "a user of 256 bytes", changed("/user/id", json!("u".repeat(256)))),
        no("R-ENTRY-4", "a user of 257 bytes", changed("/user/id", json!("u".repeat(257)))),
        no("R-ENTRY-4", "an empty user", changed("/user/id", json!(""))),
        no("R-ENTRY-4", "an empty session", changed("/session/id", json!(""))),
        no("R-ENTRY-4", "an empty delegation", changed("/delegation", json!(""))),
        no("R-ENTRY-4", "a producer with a line feed", changed("/source/producer", json!("a\nb"))),
        no("R-ENTRY-4", "a tool of 129 bytes", changed("/data/tool", json!("t".repeat(129)))),
        no(
            "R-ENTRY-4",
            "a content part of a byte too many",
            changed("/content/0/bytes", json!(1_048_577)),
        ),
        no(
            "R-ENTRY-4",
            "a content part with a name in capitals",
            changed("/content/0/name", json!("Arguments")),
        ),
        yes("R-ENTRY-5", "a user, a session, an agent and a cause", canonical(&entry())),
        no("R-ENTRY-5", "no user", without(entry(), "user")),
        no("R-ENTRY-5", "no session", without(entry(), "session")),
        no("R-ENTRY-5", "no agent", without(entry(), "agent")),
        no("R-ENTRY-5", "no cause", without(entry(), "causes")),
        no("R-ENTRY-5", "the user is the agent", changed("/user/id", json!("invoice-agent"))),
        yes("R-ENTRY-6", "a source", canonical(&entry())),
        no("R-ENTRY-6", "no source", without(entry(), "source")),
        no(
            "R-ENTRY-6",
            "a genesis entry with a source",
            with(genesis(), |entry| {
                entry["source"] = json!({ "observed_by": "imported", "producer": "x" });
            }),
        ),
    ]
}

fn places() -> Vec<Vector> {
    let changed = |pointer: &str, value: Value| {
        with(entry(), |entry| *entry.pointer_mut(pointer).unwrap() = value)
    };
    let part = |name: &str| json!({ "bytes": 2, "digest": "ab".repeat(32), "name": name });
    let first = |entry: Value| {
        with(entry, |entry| {
            entry["seq"] = json!(0);
            drop(entry.as_object_mut().unwrap().remove("prev"));
            drop(entry.as_object_mut().unwrap().remove("causes"));
        })
    };
    vec![
        yes(
            "R-ENTRY-8",
            "parts sorted by name",
            changed("/content", json!([part("a"), part("b")])),
        ),
        no(
            "R-ENTRY-8",
            "parts in another order",
            changed("/content", json!([part("b"), part("a")])),
        ),
        no("R-ENTRY-8", "a part twice", changed("/content", json!([part("a"), part("a")]))),
        yes("R-ENTRY-9", "a cause before it", changed("/causes/0/seq", json!(1))),
        no("R-ENTRY-9", "itself as its cause", changed("/causes/0/seq", json!(3))),
        no("R-ENTRY-9", "a cause after it", changed("/causes/0/seq", json!(4))),
        yes("R-ENTRY-10", "a link to the entry before", canonical(&entry())),
        no("R-ENTRY-10", "no link", without(entry(), "prev")),
        no(
            "R-ENTRY-10",
            "a link in the first entry",
            with(genesis(), |entry| entry["prev"] = json!("ab".repeat(32))),
        ),
        yes("R-ENTRY-11", "genesis at 0", canonical(&genesis())),
        no(
            "R-ENTRY-11",
            "genesis at 1",
            with(genesis(), |entry| {
                entry["seq"] = json!(1);
                entry["prev"] = json!("ab".repeat(32));
            }),
        ),
        no("R-ENTRY-11", "a tool invocation at 0", first(entry())),
        yes("R-ENTRY-12", "the third of its session", canonical(&entry())),
        no("R-ENTRY-12", "the first of its session, with a link", changed("/session/n", json!(0))),
        no(
            "R-ENTRY-12",
            "the third of its session, without a link",
            with(entry(), |entry| {
                drop(entry["session"].as_object_mut().unwrap().remove("prev"));
            }),
        ),
        no(
            "R-ENTRY-12",
            "a number in the session beyond the log's",
            changed("/session/n", json!(3)),
        ),
    ]
}

fn flags() -> Vec<Vector> {
    let flagged = |flags: Value| with(entry(), |entry| entry["flags"] = flags);
    let orphan = |flags: Value| {
        with(entry(), |entry| {
            drop(entry.as_object_mut().unwrap().remove("causes"));
            entry["source"]["observed_by"] = json!("mcp_gateway");
            entry["flags"] = flags;
        })
    };
    vec![
        yes("R-FLAG-1", "a flag", orphan(json!(["orphan_tool_invocation"]))),
        no("R-FLAG-1", "a flag that does not exist", flagged(json!(["suspicious"]))),
        yes("R-FLAG-1", "flags of the state of the ledger", {
            flagged(json!(["delegation_expired", "secret_redacted", "tool_definition_changed"]))
        }),
        yes("R-SIGN-2", "a producer's signature", {
            with(entry(), |entry| entry["signature"] = signature())
        }),
        no("R-SIGN-2", "a signature of what the server writes", {
            with(genesis(), |entry| entry["signature"] = signature())
        }),
        no("R-FLAG-2", "the flag of an orphan is not there", orphan(json!(["orphan_api_call"]))),
        yes("R-ENTRY-7", "two flags, sorted", {
            orphan(json!(["orphan_api_call", "orphan_tool_invocation"]))
        }),
        no("R-ENTRY-7", "two flags in another order", {
            orphan(json!(["orphan_tool_invocation", "orphan_api_call"]))
        }),
        no("R-ENTRY-7", "one flag twice", {
            orphan(json!(["orphan_tool_invocation", "orphan_tool_invocation"]))
        }),
    ]
}

fn signature() -> Value {
    json!({ "key": "billing-key-1", "value": "0a".repeat(64) })
}

/// An entry of every kind that only the server writes.
fn written_by_the_server() -> Vec<Vector> {
    let data = [
        (
            "capture_gap",
            json!({ "gap": "producer_seq_missing", "producer": "billing-1", "first": 3, "last": 4, "count": 2 }),
        ),
        ("ingest_refusal", json!({ "code": "user_context_missing", "claimed_id": "p-9" })),
        ("flag", json!({ "code": "orphan_api_call", "severity": "high" })),
        ("log_access", json!({ "actor": "tok_1", "operation": "search", "records": 3 })),
        ("log_export", json!({ "actor": "tok_1", "start": 0, "end": 256, "format": "archive" })),
        (
            "erasure",
            json!({
                "actor": "tok_1", "authority": "GDPR Art. 17", "parts": 2,
                "reach": { "record": "p-1" }, "reason": "asked for", "records": 1,
            }),
        ),
        (
            "retention_purge",
            json!({ "before": "2026-01-01T00:00:00Z", "policy": "p", "records": 1, "parts": 1 }),
        ),
        (
            "legal_hold",
            json!({ "actor": "tok_1", "hold_id": "h", "reach": { "all": true }, "reason": "r", "state": "placed" }),
        ),
        ("key_rotation", json!({ "actor": "tok_1", "new_key": "k", "old_key": "o" })),
        ("config_change", json!({ "actor": "tok_1", "setting": "policy" })),
        (
            "log_access",
            json!({ "actor": "tok_1", "calls": 7, "last_at": "2026-11-24T00:00:03Z", "operation": "search", "records": 3 }),
        ),
        (
            "log_export",
            json!({ "actor": "tok_1", "content": true, "end": 9, "format": "ndjson", "start": 0 }),
        ),
        (
            "config_change",
            json!({
                "actor": "tok_1",
                "policy": { "approvals": ["external"], "catalog": "required", "mode": "observe", "retention_days": 90 },
                "setting": "policy",
            }),
        ),
        (
            "producer_key",
            json!({
                "actor": "tok_1", "key_id": "k-1", "producer": "billing-1", "public_key": "0a".repeat(32),
                "state": "registered", "valid_from": "2026-11-24T00:00:00Z",
            }),
        ),
        (
            "capture_gap",
            json!({ "gap": "heartbeat_missed", "producer": "billing-1", "since": "2026-11-24T00:00:00Z" }),
        ),
        (
            "ingest_refusal",
            json!({ "bytes": 812, "claimed_producer": "billing-1", "code": "session_ended", "count": 40 }),
        ),
    ];
    let mut all = Vec::new();
    for (kind, data) in data {
        let text = with(genesis(), |entry| {
            entry["kind"] = json!(kind);
            entry["id"] = json!("w-1");
            entry["data"] = data;
            entry["seq"] = json!(3);
            entry["prev"] = json!("ab".repeat(32));
            if kind == "flag" {
                entry["causes"] = json!([{ "entry_hash": "ab".repeat(32), "id": "a-1", "rel": "about", "seq": 2 }]);
            }
        });
        all.push(yes("R-KIND-2", "a kind that only the server writes", text));
    }
    all
}
