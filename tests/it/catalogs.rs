//! Catalogs of tools: what they promise of arguments, and what changed in them.

use axum::http::StatusCode;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use whence::access::Role;
use whence::canon::digest::sha256;
use whence::canon::to_bytes;

use crate::accesses::soon;
use crate::api::Server;
use crate::log::{TestLog, chain, prompt};

fn digest(value: &Value) -> String {
    HEXLOWER.encode(&sha256(&[&to_bytes(value).unwrap()]))
}

/// A tool as its server lists it.
fn tool(schema: &Value) -> Value {
    json!({ "name": "send_money", "description": "Sends money.", "inputSchema": schema })
}

fn payment() -> Value {
    json!({
        "type": "object",
        "properties": {
            "to": { "type": "string", "pattern": "^DE[0-9]{2}$" },
            "amount": { "type": "integer" },
        },
        "required": ["to"],
    })
}

/// A snapshot of a server with one tool, whose definition is content.
fn snapshot(id: &str, server: &str, review: Option<&str>, tool: &Value) -> Value {
    let mut record = prompt(id, "s-admin", "");
    record["kind"] = json!("tool_catalog_snapshot");
    record["data"] = json!({
        "server": server,
        "catalog_digest": digest(&json!([tool])),
        "tools": [{
            "name": "send_money",
            "definition_digest": digest(tool),
            "input_schema_digest": digest(&tool["inputSchema"]),
        }],
    });
    if let Some(review) = review {
        record["data"]["review_status"] = json!(review);
    }
    record["content"] = json!({ "tools": [tool] });
    record
}

fn without_content(mut record: Value) -> Value {
    record.as_object_mut().unwrap().remove("content");
    record
}

/// A call of the server's tool, after the model's answer of `chain(0)`.
fn call(id: &str, server: &str, arguments: &Value) -> Value {
    let mut record = chain(0).swap_remove(2);
    record["id"] = json!(id);
    record["data"] = json!({ "tool": "send_money", "server": server, "phase": "requested" });
    record["content"] = json!({ "arguments": arguments });
    record
}

fn begun() -> TestLog {
    let log = TestLog::new();
    let mut grant = prompt("grant", "s-0", "");
    grant["kind"] = json!("delegation_grant");
    grant.as_object_mut().unwrap().remove("content");
    grant["data"] = json!({
        "audience": ["https://bank.example"],
        "credential": { "id": "jti", "type": "jwt" },
        "delegate": "invoice-agent",
        "delegation": "jti-7f",
        "expires_at": "2026-11-24T07:00:00Z",
        "issued_at": "2026-11-24T00:00:00Z",
        "issuer": "https://login.example",
        "lifetime_basis": "login_session",
        "scopes": ["bank:transfer"],
        "subject": "alice@example.com",
    });
    log.submit(&[grant]).unwrap();
    log.submit(&chain(0)[..2]).unwrap();
    log
}

fn flags(log: &TestLog, records: &[Value]) -> Vec<String> {
    let receipts = log.submit(records).unwrap();
    receipts.last().unwrap().flags.iter().map(ToString::to_string).collect()
}

const INVALID: [&str; 1] = ["arguments_invalid"];
const NONE: [&str; 0] = [];

#[test]
fn arguments_are_flagged_that_are_not_as_the_schema_says_however_they_come() {
    let mut log = begun();
    log.submit(&[snapshot("c", "bank", Some("approved"), &tool(&payment()))]).unwrap();
    let cases = [
        (json!({ "to": "DE02", "amount": 5 }), false),
        (json!({ "to": "DE02", "amount": "5" }), true),
        (json!({ "amount": 5 }), true),
        (json!({ "to": "XX" }), true),
        (json!(["DE02"]), true),
        (json!("{\"to\":\"DE02\"}"), false),
        (json!("{\"to\":5}"), true),
        // A secret was taken out: what is left says nothing about what was sent.
        (json!({ "to": format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5") }), false),
        (json!({ "to": "DE02", "note": "x".repeat(70_000), "amount": "5" }), false),
    ];
    for (number, (arguments, invalid)) in cases.iter().enumerate() {
        // One request with its snapshot, one of a state that is known, one of a state told again.
        let server = format!("bank-{number}");
        let told = snapshot(&format!("c-{number}"), &server, None, &tool(&payment()));
        let together = [told, call(&format!("a-{number}"), &server, arguments)];
        let mut all = vec![flags(&log, &together)];
        all.push(flags(&log, &[call(&format!("b-{number}"), "bank", arguments)]));
        log.reopen();
        all.push(flags(&log, &[call(&format!("d-{number}"), "bank", arguments)]));
        for flags in all {
            assert_eq!(flags.contains(&INVALID[0].to_owned()), *invalid, "{arguments}");
        }
    }
}

#[test]
fn the_schema_is_the_approved_one_and_has_the_digest_that_is_sealed() {
    let wrong = json!({ "to": 5 });
    let looser = tool(&json!({ "type": "object" }));
    let mut log = begun();
    // The definitions stand in the snapshot just before the approval.
    let offered = snapshot("a-1", "a", None, &tool(&payment()));
    let approved = without_content(snapshot("a-2", "a", Some("approved"), &tool(&payment())));
    log.submit(&[offered, approved]).unwrap();
    assert_eq!(flags(&log, &[call("a-3", "a", &wrong)]), INVALID);
    log.reopen();
    assert_eq!(flags(&log, &[call("a-4", "a", &wrong)]), INVALID);

    // What was offered since does not make them right, and the request is refused for that alone.
    log.submit(&[snapshot("a-5", "a", None, &looser)]).unwrap();
    log.reopen();
    let mut done = call("a-6", "a", &wrong);
    done["data"]["phase"] = json!("completed");
    assert_eq!(flags(&log, &[done]), ["arguments_invalid", "tool_definition_changed"]);

    // Without definitions, or with others than are sealed, there is nothing to go by.
    log.submit(&[without_content(snapshot("b-1", "b", Some("approved"), &looser))]).unwrap();
    assert_eq!(flags(&log, &[call("b-2", "b", &json!(5))]), NONE);
    let mut other = snapshot("c-1", "c", Some("approved"), &tool(&payment()));
    other["content"] = json!({ "tools": [looser] });
    assert_eq!(flags(&log, &[other, call("c-2", "c", &json!(5))]), NONE);
    // The digest of the whole definition will do.
    let mut whole = snapshot("d-1", "d", Some("approved"), &tool(&payment()));
    whole["data"]["tools"][0].as_object_mut().unwrap().remove("input_schema_digest");
    assert_eq!(flags(&log, &[whole, call("d-2", "d", &wrong)]), INVALID);
}

/// Whether a tool may be used is what was decided last, from the moment on for which it was.
#[test]
fn what_counts_is_what_was_decided_for_that_moment_and_was_not_taken_back() {
    let (first, second) = (tool(&payment()), tool(&json!({ "type": "object" })));
    let snapshot =
        |id: &str, tool: &Value| without_content(snapshot(id, "bank", Some("approved"), tool));
    let done = |id: &str, occurred_at: &str, tool: &Value| {
        let mut record = call(id, "bank", &json!({}));
        record["occurred_at"] = json!(occurred_at);
        record["data"]["phase"] = json!("completed");
        record["data"]["definition_digest"] = json!(digest(tool));
        record
    };
    let (before, after) = ("2026-11-24T00:06:14Z", "2026-11-24T00:08:00Z");
    let mut log = begun();
    let changed = ["tool_definition_changed"];
    let missing = ["tool_not_in_catalog"];

    let mut later = snapshot("c-2", &second);
    later["data"]["effective_from"] = json!("2026-11-24T00:07:00Z");
    later["data"]["ttl_ms"] = json!(1);
    log.submit(&[snapshot("c-1", &first), later]).unwrap();
    for round in ["live", "told-again"] {
        let id = |name: &str| format!("{round}-{name}");
        assert_eq!(flags(&log, &[done(&id("1"), before, &first)]), NONE);
        assert_eq!(flags(&log, &[done(&id("2"), before, &second)]), changed);
        assert_eq!(flags(&log, &[done(&id("3"), after, &second)]), NONE, "a ttl ends no approval");
        assert_eq!(flags(&log, &[done(&id("4"), after, &first)]), changed);
        log.reopen();
    }

    // What was in force is taken back, and what was before it does not come back with it.
    let mut rejected = snapshot("c-3", &first);
    rejected["data"]["review_status"] = json!("rejected");
    log.submit(&[rejected]).unwrap();
    for round in ["live", "told-again"] {
        let id = |name: &str| format!("rejected-{round}-{name}");
        assert_eq!(flags(&log, &[done(&id("1"), before, &first)]), missing);
        log.reopen();
    }
    log.submit(&[snapshot("c-4", &first)]).unwrap();
    log.reopen();
    assert_eq!(flags(&log, &[done("again-1", before, &first)]), NONE);
    assert_eq!(flags(&log, &[done("again-2", after, &second)]), changed, "the newest word counts");

    // What is taken back before its moment comes leaves what counts until then.
    let mut pending = snapshot("c-5", &second);
    pending["data"]["effective_from"] = json!("2026-11-24T00:12:00Z");
    let mut never = snapshot("c-6", &second);
    never["data"]["review_status"] = json!("rejected");
    log.submit(&[pending, never]).unwrap();
    for id in ["never-live", "never-told-again"] {
        assert_eq!(flags(&log, &[done(id, "2026-11-24T00:13:00Z", &first)]), NONE);
        log.reopen();
    }
}

#[test]
fn a_schema_can_neither_reach_out_nor_hold_up_the_writer() {
    let log = begun();
    let mut doubling = json!({ "$ref": "#/$defs/0", "$defs": { "25": { "type": "string" } } });
    for n in 0..25 {
        let next = json!({ "$ref": format!("#/$defs/{}", n + 1) });
        doubling["$defs"][n.to_string()] = json!({ "allOf": [next, next] });
    }
    let words: Vec<_> = (0..9_000).map(|n| json!(format!("{n:08}"))).collect();
    let schemas = [
        (json!({ "$ref": "http://127.0.0.1:9/schema.json" }), json!({}), false),
        (json!({ "$ref": "#" }), json!({}), false),
        (
            json!({ "type": "object", "properties": { "a": { "$ref": "#" } } }),
            json!({ "a": 5 }),
            true,
        ),
        (doubling, json!({}), false),
        (json!({ "enum": words }), json!({}), false),
        (
            json!({ "properties": { "a": { "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$" } } }),
            json!({ "a": "a".repeat(60_000) }),
            true,
        ),
        (json!({ "type": "no such type" }), json!({}), false),
    ];
    for (number, (schema, arguments, invalid)) in schemas.iter().enumerate() {
        let server = format!("s-{number}");
        let told = snapshot(&format!("c-{number}"), &server, Some("approved"), &tool(schema));
        let flags = flags(&log, &[told, call(&format!("a-{number}"), &server, arguments)]);
        assert_eq!(!flags.is_empty(), *invalid, "{number}: {flags:?}");
    }
}

/// A snapshot of a server with these tools as they are sealed, without their definitions.
pub(crate) fn listed(id: &str, server: &str, tools: &Value) -> Value {
    let mut record = without_content(snapshot(id, server, None, &Value::Null));
    record["data"]["catalog_digest"] = json!(digest(tools));
    record["data"]["tools"] = tools.clone();
    record
}

/// A tool as it is sealed, with digests of these texts.
pub(crate) fn sealed(name: &str, definition: &str, more: &Value) -> Value {
    let mut tool = json!({ "name": name, "definition_digest": digest(&json!(definition)) });
    for (member, value) in more.as_object().unwrap() {
        let is_digest = member.ends_with("_digest");
        tool[member] = if is_digest { json!(digest(value)) } else { value.clone() };
    }
    tool
}

#[test]
fn snapshots_of_a_server_are_listed_the_newest_first_page_by_page() {
    let server = Server::new();
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let tools = json!([sealed("pay", "1", &json!({})), sealed("read", "1", &json!({}))]);
    for number in 0..3 {
        let mut snapshot = listed(&format!("c-{number}"), "bank & co", &tools);
        if number == 1 {
            snapshot["data"]["review_status"] = json!("approved");
            snapshot["data"]["reviewed_by"] = json!("carol@example.com");
        }
        let others = listed(&format!("other-{number}"), "bank", &tools);
        assert_eq!(server.post(&writer, &json!([snapshot, others])).status, StatusCode::CREATED);
    }
    let catalogs = "/v1/ledgers/main/catalogs";
    let page = |query: &str| {
        let answer = server.get(&format!("{catalogs}?server=bank%20%26%20co{query}"), &reader);
        assert_eq!(answer.status, StatusCode::OK);
        let page = answer.json();
        let ids = page["data"].as_array().unwrap().iter().map(|row| row["id"].clone());
        (ids.collect::<Vec<_>>(), page["list_metadata"]["after"].clone(), page)
    };
    let (ids, after, first) = page("&limit=2");
    assert_eq!(ids, ["c-2", "c-1"]);
    let (rest, end, _) = page(&format!("&limit=2&after={}", after.as_str().unwrap()));
    assert_eq!((rest, end), (vec![json!("c-0")], Value::Null));
    let (all, end, _) = page("");
    assert_eq!((all.len(), end), (3, Value::Null));

    let reviewed = &first["data"][1];
    let seq = reviewed["seq"].as_u64().unwrap();
    let record = server.get("/v1/ledgers/main/records/c-1", &reader).json();
    let expected = json!({
        "object": "catalog",
        "id": "c-1",
        "seq": record["seq"],
        "received_at": record["entry"]["received_at"],
        "server": "bank & co",
        "catalog_digest": digest(&tools),
        "review_status": "approved",
        "reviewed_by": "carol@example.com",
        "effective_from": null,
        "tools": 2,
    });
    assert_eq!((reviewed, seq), (&expected, record["seq"].as_u64().unwrap()));
    assert_eq!(server.get(&format!("{catalogs}?server=nobody"), &reader).json()["data"], json!([]));
    assert_eq!(server.get(catalogs, &reader).code(), "query_invalid");
}

/// The tools of a server at two times.
fn changed() -> [Value; 2] {
    let before = json!([
        sealed("gone", "1", &json!({})),
        sealed("more told", "1", &json!({})),
        sealed("moved", "1", &json!({ "backend": "core-1" })),
        sealed(
            "pay",
            "1",
            &json!({ "description_digest": "pays", "input_schema_digest": "a",
            "output_schema_digest": "b", "annotations": { "read_only": false } })
        ),
        sealed("same", "1", &json!({ "input_schema_digest": "a" })),
        sealed("titled", "1", &json!({ "input_schema_digest": "a" })),
        sealed("answers", "1", &json!({})),
    ]);
    let after = json!([
        sealed("titled", "2", &json!({ "input_schema_digest": "a" })),
        sealed("same", "1", &json!({ "input_schema_digest": "a" })),
        sealed(
            "pay",
            "2",
            &json!({ "description_digest": "reads", "input_schema_digest": "c",
            "output_schema_digest": "d", "annotations": { "read_only": true } })
        ),
        sealed("new", "1", &json!({})),
        // The same definition: that it has a description was only not told.
        sealed("more told", "1", &json!({ "description_digest": "says" })),
        sealed("moved", "1", &json!({ "backend": "core-2" })),
        sealed("answers", "2", &json!({ "output_schema_digest": "b" })),
    ]);
    [before, after]
}

#[test]
fn two_snapshots_are_compared_by_what_is_sealed_and_the_look_is_logged() {
    let server = Server::with(soon(), None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let [before, after] = changed();
    let all = json!([
        listed("c-1", "bank", &before),
        listed("c-2", "bank", &after),
        listed("c-3", "shop", &after),
        prompt("p", "s", "hello"),
    ]);
    assert_eq!(server.post(&writer, &all).status, StatusCode::CREATED);
    let diff = |from: &str, to: &str| {
        server.get(&format!("/v1/ledgers/main/catalogs/diff?from={from}&to={to}"), &reader)
    };
    let everything =
        json!(["description", "input_schema", "output_schema", "annotations", "definition"]);
    let expected = json!({
        "object": "catalog_diff",
        "from": "c-1",
        "to": "c-2",
        "server": "bank",
        "added": ["new"],
        "removed": ["gone"],
        "changed": [
            { "tool": "answers", "what": ["output_schema", "definition"] },
            { "tool": "moved", "what": ["backend"] },
            { "tool": "pay", "what": everything },
            { "tool": "titled", "what": ["definition"] },
        ],
    });
    assert_eq!(diff("c-1", "c-2").json(), expected);
    let (entry, asked) = server.read_by(1).pop().unwrap();
    assert_eq!(entry["data"]["operation"], "catalogs");
    assert_eq!((&entry["data"]["records"], &*asked), (&json!(2), r#"["c-1 c-2"]"#));

    let back = diff("c-2", "c-1").json();
    assert_eq!((&back["added"], &back["removed"]), (&json!(["gone"]), &json!(["new"])));
    assert_eq!(back["changed"], expected["changed"]);
    let same = diff("c-1", "c-1").json();
    assert_eq!([&same["added"], &same["removed"], &same["changed"]], [&json!([]); 3]);

    for (from, to, status, code) in [
        ("c-1", "none", 404, "record_unknown"),
        ("c-1", "p", 404, "catalog_unknown"),
        ("c-2", "c-3", 422, "servers_differ"),
    ] {
        let answer = diff(from, to);
        assert_eq!((answer.status.as_u16(), &*answer.code()), (status, code));
    }
}
