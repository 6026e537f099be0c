//! Catalogs of tools: what they promise of arguments.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use whence::canon::digest::sha256;
use whence::canon::to_bytes;

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
