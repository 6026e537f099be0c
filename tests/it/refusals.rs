//! Refusals that stand in the ledger, the policy that decides about them, and asking first.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::{Value, json};
use whence::access::Role;
use whence::http::Limits;

use crate::api::Server;
use crate::log::prompt;
use crate::rules::{approval, begun, catalog, invocation};

const RECORDS: &str = "/v1/ledgers/main/records";
const PREFLIGHT: &str = "/v1/ledgers/main/preflight";
const POLICY: &str = "/v1/ledgers/main/policy";
const ALL: &[Role] = &[Role::Writer, Role::Investigator, Role::Auditor, Role::Admin];

fn post(server: &Server, token: &str, record: &Value) -> (u16, Value) {
    let answer = server.call("POST", RECORDS, token, record.to_string());
    (answer.status.as_u16(), answer.json())
}

fn ask(server: &Server, token: &str, record: &Value) -> (u16, Value) {
    let answer = server.call("POST", PREFLIGHT, token, record.to_string());
    (answer.status.as_u16(), answer.json())
}

fn put(server: &Server, token: &str, policy: &Value) -> (u16, Value) {
    let answer = server.call("PUT", POLICY, token, policy.to_string());
    (answer.status.as_u16(), answer.json())
}

/// The entries of refusals, and the content of each.
fn refusals(server: &Server) -> Vec<(Value, String)> {
    server.of_kinds(&["ingest_refusal"])
}

#[test]
fn what_a_rule_refuses_stands_in_the_ledger_before_its_sender_is_told() {
    let server = Server::new();
    let token = server.token_with(ALL);
    let first = prompt("p-1", "s-1", "first");
    assert_eq!(post(&server, &token, &first).0, 201);

    let spoil = |change: fn(&mut Value)| {
        let mut record = prompt("p-2", "s-1", "words of the refused");
        change(&mut record);
        record
    };
    let wrong = [
        (
            "user_context_missing",
            spoil(|record| {
                record.as_object_mut().unwrap().remove("user");
            }),
        ),
        (
            "provenance_collapsed",
            spoil(|record| {
                record["agent"] = json!({ "id": "ALICE@example.com" });
            }),
        ),
        ("user_mismatch", spoil(|record| record["user"]["id"] = json!("bob@example.com"))),
        (
            "cause_missing",
            spoil(|record| {
                record["kind"] = json!("model_output");
                record["agent"] = json!({ "id": "a" });
                record["data"] = json!({ "model": { "provider": "x", "requested": "m" }, "finish_reasons": ["stop"] });
            }),
        ),
        (
            "cause_unknown",
            spoil(|record| {
                record["causes"] = json!([{ "id": "nobody", "rel": "informed_by" }]);
            }),
        ),
        ("id_conflict", spoil(|record| record["id"] = json!("p-1"))),
        ("time_invalid", spoil(|record| record["occurred_at"] = json!("2026-11-24T09:00:00Z"))),
        (
            "signature_invalid",
            spoil(|record| {
                record["signature"] = json!({ "key": "k", "value": "00".repeat(64) });
            }),
        ),
    ];
    for (number, (code, record)) in wrong.iter().enumerate() {
        let (_, problem) = post(&server, &token, record);
        assert_eq!(problem["code"], *code, "{problem}");
        let told = refusals(&server);
        let (entry, content) = &told[number];
        assert_eq!(told.len(), number + 1, "{code}");
        assert_eq!(entry["data"]["code"], *code);
        assert_eq!(problem["refusal"]["id"], entry["id"], "{problem}");
        assert_eq!(problem["refusal"]["seq"], entry["seq"]);
        assert_eq!(entry["data"].get("claimed_user"), record.pointer("/user/id"), "{code}");
        assert_eq!(entry["data"]["claimed_session"], "s-1");
        assert_eq!(entry["data"]["claimed_id"], record["id"]);
        assert!(entry["data"]["token_id"].as_str().unwrap().starts_with("tok_"), "{entry}");
        assert!(content.contains("words of the refused"), "it is kept as content: {content}");
        assert!(!entry.to_string().contains("words of the refused"), "and only there");
    }
    // The id that was claimed leads to who claimed it too.
    let effects = server.get(&format!("{RECORDS}/p-1/effects"), &token).json();
    assert!(effects.to_string().contains("ingest_refusal"), "{effects}");
    // A fault of form says nothing about anybody.
    let (status, problem) = post(&server, &token, &spoil(|record| record["colour"] = json!(1)));
    assert_eq!((status, problem.get("refusal")), (422, None));
    assert_eq!(refusals(&server).len(), wrong.len());
}

#[test]
fn the_refused_one_of_many_is_kept_and_the_others_are_not() {
    let server = Server::new();
    let token = server.token_with(ALL);
    let mut bad = prompt("bad", "s-1", "the bad one");
    bad.as_object_mut().unwrap().remove("session");
    let records = [prompt("good", "s-1", "the good one"), bad];
    let lines: Vec<_> = records.iter().map(Value::to_string).collect();
    for (media, body) in [
        ("application/json", json!(records).to_string()),
        ("application/x-ndjson", lines.join("\n")),
    ] {
        let request = Request::post(RECORDS).header(header::CONTENT_TYPE, media);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = server.send(request.body(Body::from(body)).unwrap());
        assert_eq!(answer.json()["errors"][0]["pointer"], "/1/session");
    }
    let told = refusals(&server);
    assert_eq!(told.len(), 2);
    for (_, content) in told {
        assert!(content.contains("the bad one") && !content.contains("the good one"), "{content}");
    }
}

#[test]
fn nobody_floods_the_log_by_being_refused() {
    let interval = Duration::from_millis(300);
    let limits = Limits { refusals_max: 3, refusals_interval: interval, ..Limits::default() };
    let server = Server::with(Limits { refusals_bytes_max: 1_000, ..limits }, None);
    let (token, other) = (server.token_with(ALL), server.token_with(ALL));
    let mut long = prompt("p", "s", &"x".repeat(900));
    long.as_object_mut().unwrap().remove("user");
    for place in 0..8 {
        let (status, problem) = post(&server, &token, &long);
        assert_eq!(status, 422);
        assert_eq!(problem.get("refusal").is_some(), place < 3, "{place}: {problem}");
    }
    assert!(post(&server, &other, &long).1.get("refusal").is_some(), "of each token so many");
    let told = loop {
        let told = refusals(&server);
        if told.len() > 4 {
            break told;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let kept = told.iter().filter(|(_, content)| content.contains("xxx")).count();
    assert_eq!(kept, 0, "each is longer than what is kept of one token");
    assert!(told[0].0["data"]["bytes"].as_u64().unwrap() > 900);
    let counted: Vec<_> =
        told.iter().filter_map(|(entry, _)| entry["data"]["count"].as_u64()).collect();
    assert_eq!(counted, [5]);
}

#[test]
fn a_secret_in_a_refused_record_is_replaced_like_any_other() {
    let server = Server::new();
    let token = server.token_with(ALL);
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    let mut record = prompt("p", "s", &format!("use {secret} to clone"));
    record.as_object_mut().unwrap().remove("user");
    assert_eq!(post(&server, &token, &record).0, 422);
    let (entry, content) = &refusals(&server)[0];
    assert_eq!(entry["flags"], json!(["secret_redacted"]));
    assert!(!content.contains(&secret) && content.contains("to clone"), "{content}");
}

#[test]
fn what_may_be_done_is_asked_first_and_each_decision_is_in_the_ledger() {
    let server = Server::new();
    let token = server.token_with(ALL);
    assert_eq!(post(&server, &token, &json!(begun("s"))).0, 201);
    let call = invocation("s", None, "agent_process");
    let (status, decision) = ask(&server, &token, &call);
    assert_eq!((status, &decision["decision"]), (201, &json!("allow")), "{decision}");
    assert_eq!(decision["receipt"]["duplicate"], false);
    let stored = server.get(&format!("{RECORDS}/s-call"), &token).json();
    assert_eq!(stored["entry"]["data"]["phase"], "requested");
    assert_eq!(ask(&server, &token, &call).0, 200);

    let mut wider = invocation("s", Some("requested"), "agent_process");
    wider["id"] = json!("wider");
    wider["data"]["scopes"] = json!(["bank:close"]);
    let (status, problem) = ask(&server, &token, &wider);
    assert_eq!((status, &problem["code"]), (409, &json!("scope_exceeded")), "{problem}");
    assert_eq!(refusals(&server)[0].0["id"], problem["refusal"]["id"]);

    wider["data"]["phase"] = json!("completed");
    assert_eq!(ask(&server, &token, &wider).1["errors"][0]["pointer"], "/data/phase");
    assert_eq!(ask(&server, &token, &prompt("p", "s", "x")).1["errors"][0]["pointer"], "/kind");
    let reader = server.token(Role::Investigator, None);
    assert_eq!(ask(&server, &reader, &wider).0, StatusCode::FORBIDDEN.as_u16());
}

#[test]
fn a_policy_is_in_force_from_its_record_on_and_after_reopening() {
    let server = Server::new();
    let token = server.token_with(ALL);
    let first = server.get(POLICY, &token).json();
    assert_eq!((&first["policy"], &first["seq"]), (&json!({ "mode": "strict" }), &Value::Null));

    let observe = json!({
        "mode": "observe", "approvals": ["external"], "catalog": "required",
        "content_required": true, "redact_secrets": false,
    });
    let (status, put_in_force) = put(&server, &token, &observe);
    assert_eq!((status, &put_in_force["policy"]), (200, &observe), "{put_in_force}");
    assert!(put_in_force["actor"].as_str().unwrap().starts_with("tok_"));
    let changes = server.of_kinds(&["config_change"]);
    assert_eq!(changes[0].0["data"]["policy"], observe);
    assert_eq!(changes[0].0["seq"], put_in_force["seq"]);
    assert_eq!(put(&server, &token, &observe).1, put_in_force, "it changes nothing");
    assert_eq!(server.of_kinds(&["config_change"]).len(), 1);

    assert_eq!(post(&server, &token, &json!(begun("s"))).0, 201);
    let mut call = invocation("s", Some("requested"), "agent_process");
    call["source"]["captured"] = json!("truncated");
    let secret = format!("ghp_{}", "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY3zA5");
    call["content"]["arguments"]["to"] = json!(secret);
    let (status, receipt) = post(&server, &token, &call);
    let flags = json!(["approval_missing", "content_incomplete", "tool_not_in_catalog"]);
    assert_eq!((status, &receipt["flags"]), (201, &flags), "{receipt}");
    let stored = server.get(&format!("{RECORDS}/s-call"), &token).json();
    assert!(
        stored.to_string().contains(&secret),
        "redaction is off, and the ledger says since when"
    );

    // The same in strict mode, on the ledger as it is opened again.
    let folder = server.stopped();
    let server = Server::on(folder, &[], Limits::default(), None);
    let token = server.token_with(ALL);
    assert_eq!(server.get(POLICY, &token).json(), put_in_force);
    let mut strict = observe;
    strict["mode"] = json!("strict");
    assert_eq!(put(&server, &token, &strict).0, 200);
    call["id"] = json!("again");
    assert_eq!(ask(&server, &token, &call).1["code"], "tool_not_in_catalog");
    let approved = catalog("s", "approved", Some("approved"), 'a');
    assert_eq!(post(&server, &token, &approved).0, 201);
    assert_eq!(ask(&server, &token, &call).1["code"], "approval_missing");
    let approved = approval("s", &json!({ "to": "DE02", "amount": 10 }));
    assert_eq!(post(&server, &token, &approved).0, 201);
    call["content"]["arguments"] = json!({ "to": "DE02", "amount": 10 });
    let causes = call["causes"].as_array_mut().unwrap();
    causes.push(json!({ "id": "s-approval", "rel": "authorized_by" }));
    assert_eq!(ask(&server, &token, &call).1["code"], "content_incomplete");
    call["source"]["captured"] = json!("full");
    assert_eq!(ask(&server, &token, &call).0, 201);
}

#[test]
fn a_policy_that_says_nothing_of_sense_is_refused() {
    let server = Server::new();
    let token = server.token_with(ALL);
    for (policy, at) in [
        (json!({ "mode": "strict", "retention_days": 0 }), "/retention_days"),
        (json!({ "mode": "strict", "detections_off": ["no_such"] }), "/detections_off/0"),
    ] {
        let (status, problem) = put(&server, &token, &policy);
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!(at)), "{problem}");
    }
    for policy in [json!({}), json!({ "mode": "lax" }), json!({ "mode": "strict", "x": 1 })] {
        assert_eq!(put(&server, &token, &policy).0, 400, "{policy}");
    }
    let investigator = server.token(Role::Investigator, None);
    assert_eq!(put(&server, &investigator, &json!({ "mode": "observe" })).0, 403);
    assert_eq!(server.get(POLICY, &investigator).status, StatusCode::OK);
    assert_eq!(server.get(POLICY, &server.token(Role::Writer, None)).status.as_u16(), 403);
    assert_eq!(server.of_kinds(&["config_change"]).len(), 0);
}
