//! Audit-log events of applications: what they become, how often, and what is refused.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Value, json};
use whence::access::Role;
use whence::capture::workos::{ACTORS, CONTEXT_KEYS};
use whence::http::Limits;

use crate::api::{Answer, Server};
use crate::log::chain;

const EVENTS: &str = "/v1/audit_logs/events";

/// An event as an application sends it that acts for an agent.
fn event() -> Value {
    json!({
        "organization_id": "org_01EHZ",
        "event": {
            "action": "invoice.paid",
            "occurred_at": "2026-11-24T00:06:15.001Z",
            "version": 2,
            "actor": { "id": "a-7", "type": "agent", "name": "Seven", "metadata": { "tier": 3 } },
            "targets": [
                { "id": "inv-7", "type": "invoice" },
                { "id": "acc-1", "type": "account", "name": "Main", "metadata": { "iban": "DE02" } },
            ],
            "context": { "location": "203.0.113.7", "user_agent": "billing/2" },
            "metadata": { "user_id": "alice@example.com", "session_id": "s-1", "amount": 420.5 },
        },
    })
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut body = event();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap()[name] = value;
    body
}

fn without(pointer: &str) -> Value {
    let mut body = event();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    body
}

fn send(server: &Server, token: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let request = Request::builder().method("POST").uri(EVENTS);
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    server.send(request.body(Body::from(body.to_string())).unwrap())
}

fn sealed(server: &Server) -> Vec<(Value, String)> {
    server.of_kinds(&["app_event"])
}

#[test]
fn an_event_becomes_a_record_with_its_context_and_joins_the_trace_of_the_call() {
    let server = Server::new();
    let token = server.token_with(&[Role::Writer, Role::Investigator]);
    server.post(&token, &Value::Array(chain(1)));
    let body = changed("/event/metadata/caused_by", json!("api-1"));
    let answer = send(&server, &token, &[], &body);
    assert_eq!(answer.status, 200, "{}", answer.json());
    let answer = answer.json();
    assert_eq!(answer["success"], true);
    assert_eq!(answer["receipt"]["id"], answer["id"]);
    assert!(answer["receipt"]["checkpoint"].as_str().unwrap().starts_with("log.example/main\n"));

    let id = answer["id"].as_str().unwrap();
    let record = server.get(&format!("/v1/ledgers/main/records/{id}"), &token).json();
    let entry = &record["entry"];
    assert_eq!(entry["kind"], "app_event");
    assert_eq!(entry["user"], json!({ "id": "alice@example.com", "type": "human" }));
    assert_eq!(entry["session"]["id"], "s-1");
    assert_eq!(entry["agent"], json!({ "id": "a-7", "name": "Seven" }));
    assert_eq!(entry["occurred_at"], "2026-11-24T00:06:15.001Z");
    assert_eq!(entry["labels"], json!({ "organization_id": "org_01EHZ" }));
    assert_eq!(
        entry["source"],
        json!({ "format": "workos_audit_log", "observed_by": "imported", "producer": "test" })
    );
    assert_eq!(
        entry["data"],
        json!({
            "action": "invoice.paid",
            "version": 2,
            "actor": { "id": "a-7", "type": "agent", "name": "Seven" },
            "targets": [
                { "id": "inv-7", "type": "invoice" },
                { "id": "acc-1", "type": "account", "name": "Main" },
            ],
            "context": { "location": "203.0.113.7", "user_agent": "billing/2" },
        })
    );
    let content: Vec<_> = record["content"].as_array().unwrap().iter().collect();
    let part = |name| &content.iter().find(|part| part["name"] == name).unwrap()["value"];
    assert_eq!(part("metadata"), &body["event"]["metadata"]);
    assert_eq!(part("actor_metadata"), &json!({ "tier": 3 }));
    assert_eq!(part("target_metadata"), &json!([null, { "iban": "DE02" }]));

    let why = server.get(&format!("/v1/ledgers/main/records/{id}/why"), &token).json();
    assert!(why.to_string().contains("prompt-1"), "{why}");
    let effects = server.get("/v1/ledgers/main/records/prompt-1/effects", &token).json();
    assert!(effects.to_string().contains(id), "{effects}");
}

#[test]
fn an_event_with_a_key_is_one_record_also_after_a_restart() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    let key = [("idempotency-key", "workos-node-1")];
    let first = send(&server, &token, &key, &event());
    let again = send(&server, &token, &key, &event());
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200));
    let (first, mut repeated) = (first.json(), again.json());
    assert_eq!(repeated["receipt"]["duplicate"], true);
    repeated["receipt"]["duplicate"] = json!(false);
    assert_eq!(repeated, first);

    let server = Server::on(server.stopped(), &[], Limits::default(), None);
    let mut restarted = send(&server, &token, &key, &event()).json();
    restarted["receipt"]["duplicate"] = json!(false);
    assert_eq!(restarted, first);
    assert_eq!(sealed(&server).len(), 1);

    let other = changed("/event/metadata/amount", json!(421));
    let conflict = send(&server, &token, &key, &other);
    assert_eq!((conflict.status.as_u16(), conflict.code().as_str()), (409, "id_conflict"));
    assert!(conflict.json()["message"].as_str().unwrap().contains("`Idempotency-Key`"));
    let [(refusal, content)] = &*server.of_kinds(&["ingest_refusal"]) else { panic!() };
    assert_eq!(refusal["causes"][0]["id"], first["id"]);
    assert!(content.contains("421"), "{content}");

    // The key is the token's own; and what has no key is a record each time.
    let another = server.token(Role::Writer, None);
    let theirs = send(&server, &another, &key, &event()).json();
    assert_ne!(theirs["id"], first["id"]);
    for _ in 0..2 {
        assert_eq!(send(&server, &token, &[], &event()).status, 200);
    }
    assert_eq!(sealed(&server).len(), 4);
    for wrong in [String::new(), "k".repeat(256)] {
        let answer = send(&server, &token, &[("idempotency-key", &wrong)], &event());
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "key_invalid"));
    }
    assert_eq!(sealed(&server).len(), 4);
}

#[test]
fn the_user_is_the_actor_who_is_one_or_whom_somebody_names() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    let case = |number: u64, kind: &str, metadata: &Value, headers: &[(&str, &str)]| {
        let mut body = event();
        body["event"]["actor"] = json!({ "id": format!("x-{number}"), "type": kind });
        body["event"]["metadata"] = metadata.clone();
        let answer = send(&server, &token, headers, &body);
        assert_eq!(answer.status, 200, "{kind} {metadata} {}", answer.json());
        sealed(&server).pop().unwrap().0
    };
    let alice = json!("alice@example.com");
    let organization = json!({ "user_id": "org_1", "user_type": "organization" });
    for (number, kind, metadata, user, agent) in [
        (1, "user", json!({}), ["x-1", "human"], "h-7"),
        (2, "Admin", json!({ "user_id": alice }), ["x-2", "human"], "h-7"),
        (3, "organization", json!({ "agent_id": "b" }), ["x-3", "organization"], "b"),
        (4, "agent", json!({ "user_id": 1234, "agent_id": "b" }), ["1234", "human"], "x-4"),
        (5, "agent", json!({}), ["carol", "human"], "x-5"),
        (6, "system", organization, ["org_1", "organization"], "h-7"),
    ] {
        let session = format!("s-{number}");
        let stated =
            [("whence-user", "carol"), ("whence-session", &*session), ("whence-agent", "h-7")];
        let entry = case(number, kind, &metadata, &stated);
        let found = [&entry["user"]["id"], &entry["user"]["type"], &entry["agent"]["id"]];
        assert_eq!(found, [user[0], user[1], agent], "{number}");
        assert_eq!(entry["session"]["id"], session, "{number}");
    }
    let stated = [("whence-session", "s-h")];
    let named = case(7, "user", &json!({ "session_id": "s-m" }), &stated);
    assert_eq!(named["session"]["id"], "s-m", "what the event says comes first");
    let bare = case(8, "user", &json!({ "session_id": "s-n" }), &[]);
    assert!(bare.get("agent").is_none(), "no agent is invented: {bare}");
}

#[test]
fn an_event_of_nobody_or_of_no_session_is_refused_and_its_refusal_stands_in_the_ledger() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    let nobody = without("/event/metadata/user_id");
    let nowhere = without("/event/metadata/session_id");
    let collapsed = changed("/event/metadata/user_id", json!("A-7"));
    let unknown = changed("/event/metadata/caused_by", json!("nothing"));
    for (number, (body, code, at, told)) in [
        (nobody, "user_context_missing", "/event/metadata/user_id", "an actor of type `user`"),
        (
            nowhere,
            "user_context_missing",
            "/event/metadata/session_id",
            "the header `whence-session`",
        ),
        (collapsed, "provenance_collapsed", "/event/metadata/user_id", "this is the agent"),
        (unknown, "cause_unknown", "/event/metadata/caused_by", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = send(&server, &token, &[("idempotency-key", "k")], &body);
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, code), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], at, "{problem}");
        assert!(problem["message"].as_str().unwrap().contains(told), "{problem}");
        assert_eq!(problem["message"], problem["detail"]);
        let refusals = server.of_kinds(&["ingest_refusal"]);
        assert_eq!(refusals.len(), number + 1);
        let (entry, content) = &refusals[number];
        assert_eq!(entry["data"]["code"], code);
        assert_eq!(entry["data"]["claimed_kind"], "app_event");
        assert!(entry["data"]["claimed_id"].as_str().unwrap().starts_with("app-"));
        assert_eq!(problem["refusal"]["id"], entry["id"]);
        assert!(content.contains("invoice.paid") && content.contains("DE02"), "{content}");
    }
    assert!(sealed(&server).is_empty());
}

/// Sends what is no event, and looks for what is said of it.
fn refused(server: &Server, token: &str, body: &Value, at: &str, code: &str) {
    let answer = send(server, token, &[], body);
    let problem = answer.json();
    assert_eq!(
        (answer.status.as_u16(), answer.code().as_str()),
        (400, "event_invalid"),
        "{at} {code}"
    );
    let found = problem["errors"].as_array().unwrap().iter();
    let mut found = found.map(|error| (&error["pointer"], &error["code"]));
    assert!(found.any(|error| error == (&json!(at), &json!(code))), "{at} {code} {problem}");
    assert!(problem["message"].is_string(), "{problem}");
    assert!(!problem.to_string().contains(SECRET), "{problem}");
}

const SECRET: &str = "SECRET";

#[test]
fn what_is_no_event_is_refused_with_its_place_and_without_its_words() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    for (body, at, code) in [
        (without("/organization_id"), "/organization_id", "field_missing"),
        (without("/event/action"), "/event/action", "field_missing"),
        (without("/event/occurred_at"), "/event/occurred_at", "field_missing"),
        (without("/event/actor"), "/event/actor", "field_missing"),
        (without("/event/actor/type"), "/event/actor/type", "field_missing"),
        (without("/event/targets"), "/event/targets", "field_missing"),
        (without("/event/context"), "/event/context", "field_missing"),
        (without("/event/context/location"), "/event/context/location", "field_missing"),
        (changed("/event/targets", json!([])), "/event/targets", "field_missing"),
        (changed("/event/occurred_at", json!(SECRET)), "/event/occurred_at", "time_invalid"),
        (changed("/event/action", json!("x".repeat(129))), "/event/action", "field_too_long"),
        (changed("/event/action", json!(7)), "/event/action", "field_invalid"),
        (changed("/event/actor/id", json!("")), "/event/actor/id", "field_invalid"),
        (changed("/event/version", json!("1")), "/event/version", "field_invalid"),
        (changed("/event/colour", json!(SECRET)), "/event", "unknown_field"),
        (changed("/colour", json!(SECRET)), "", "unknown_field"),
        (changed("/organization_id", json!("x".repeat(501))), "/organization_id", "field_too_long"),
    ] {
        refused(&server, &token, &body, at, code);
    }
    for body in ["", "[]", "{", "null", r#"{"organization_id":"a","organization_id":"b"}"#] {
        let request = Request::builder().method("POST").uri(EVENTS);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let answer = server.send(request.body(Body::from(body)).unwrap());
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["message"].is_string());
    }
    assert!(sealed(&server).is_empty());
}

#[test]
fn metadata_beyond_its_limits_is_refused_with_its_place_and_without_its_words() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    let many: Value =
        (0..51).map(|n| (format!("k{n}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
    for (body, at, code) in [
        (changed("/event/metadata", many.clone()), "/event/metadata", "too_many"),
        (
            changed("/event/metadata", json!({ "SECRET KEY": 1 })),
            "/event/metadata",
            "field_invalid",
        ),
        (
            changed("/event/metadata", json!({ "k".repeat(41): 1 })),
            "/event/metadata",
            "field_invalid",
        ),
        (
            changed("/event/metadata/x", json!("x".repeat(501))),
            "/event/metadata/x",
            "field_too_long",
        ),
        (changed("/event/metadata/x", json!(null)), "/event/metadata/x", "field_invalid"),
        (changed("/event/metadata/x", json!([SECRET])), "/event/metadata/x", "field_invalid"),
        (changed("/event/metadata/x", json!(u64::MAX)), "/event/metadata", "field_invalid"),
        (changed("/event/actor/metadata", many), "/event/actor/metadata", "too_many"),
        (
            changed("/event/targets/1/metadata", json!({ "x": {} })),
            "/event/targets/1/metadata/x",
            "field_invalid",
        ),
        (
            changed("/event/metadata/user_id", json!(true)),
            "/event/metadata/user_id",
            "field_invalid",
        ),
        (
            changed("/event/metadata/user_id", json!(1.5)),
            "/event/metadata/user_id",
            "field_invalid",
        ),
        (
            changed("/event/metadata/user_type", json!("service")),
            "/event/metadata/user_type",
            "field_invalid",
        ),
        (
            changed("/event/metadata/caused_by", json!("a b")),
            "/event/metadata/caused_by",
            "field_invalid",
        ),
        (
            changed("/event/metadata/session_id", json!("..")),
            "/event/metadata/session_id",
            "field_invalid",
        ),
    ] {
        refused(&server, &token, &body, at, code);
    }
    assert!(sealed(&server).is_empty());
}

#[test]
fn metadata_at_its_limits_is_taken_whole() {
    let server = Server::new();
    let token = server.token(Role::Writer, None);
    let mut metadata = event()["event"]["metadata"].clone();
    for n in metadata.as_object().unwrap().len()..48 {
        metadata[format!("k{n}")] = json!(n);
    }
    metadata["k".repeat(40)] = json!("ü".repeat(500));
    metadata[""] = json!(false);
    let answer = send(&server, &token, &[], &changed("/event/metadata", metadata.clone()));
    assert_eq!(answer.status, 200, "{}", answer.json());
    let (_, content) = sealed(&server).pop().unwrap();
    for value in metadata.as_object().unwrap().values() {
        assert!(content.contains(&value.to_string()), "{value}");
    }
}

#[test]
fn the_token_decides_which_ledger_and_whether() {
    let server = Server::new();
    let calls = [
        (server.token(Role::Writer, None), "/audit_logs/events", 200, "main"),
        (server.token(Role::Writer, None), EVENTS, 200, "main"),
        (server.token(Role::Writer, Some("other")), EVENTS, 200, "other"),
        (server.token(Role::Writer, None), "/v1/ledgers/other/audit_logs/events", 200, "other"),
        (server.token(Role::Writer, Some("main")), "/v1/ledgers/other/audit_logs/events", 404, ""),
        (server.token(Role::Investigator, None), EVENTS, 403, ""),
        ("nobody".to_owned(), EVENTS, 401, ""),
    ];
    for (token, path, status, ledger) in calls {
        let answer = server.call("POST", path, &token, event().to_string());
        let body = answer.json();
        assert_eq!(answer.status.as_u16(), status, "{path} {body}");
        if status == 200 {
            let checkpoint = body["receipt"]["checkpoint"].as_str().unwrap();
            assert!(checkpoint.starts_with(&format!("log.example/{ledger}\n")), "{checkpoint}");
        } else {
            assert!(body["message"].is_string(), "clients read it of every refusal: {body}");
        }
    }
    let elsewhere = server.call("POST", "/v1/ledgers/main/records", "nobody", "{}").json();
    assert!(elsewhere.get("message").is_none(), "{elsewhere}");
}

/// The rows of a table of the page, by their first cell.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let table = page.split(heading).nth(1).unwrap();
    let rows = table.lines().skip_while(|line| !line.starts_with("| ---")).skip(1);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    };
    rows.map(cells).collect()
}

#[test]
fn the_page_names_every_type_of_actor_and_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/APP_EVENTS.md");
    let page = fs::read_to_string(path).unwrap();
    let in_ticks = |cell: &str| -> BTreeSet<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    let named: BTreeSet<_> =
        rows(&page, "## Who is who").iter().flat_map(|row| in_ticks(&row[0])).collect();
    let known: BTreeSet<_> = ACTORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(named, known);
    let keys: BTreeSet<_> =
        rows(&page, "## What metadata says").iter().flat_map(|row| in_ticks(&row[0])).collect();
    assert_eq!(keys, CONTEXT_KEYS.map(str::to_owned).into());
}

#[test]
fn every_command_of_the_page_is_run() {
    let printed = crate::readme::run("schema/APP_EVENTS.md");
    assert_eq!(printed.matches("\"success\":true").count(), 3, "{printed}");
    assert_eq!(printed.matches("\"duplicate\":true").count(), 1, "{printed}");
    let found = printed.lines().find(|line| line.contains("app_event")).unwrap();
    assert!(found.contains("alice@example.com") && found.contains("s-81f3"), "{found}");
}
