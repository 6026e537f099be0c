//! Producers that sign their records, and tokens that are for some producers alone.

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::{Value, json};
use whence::access::Role;
use whence::canon::to_bytes;
use whence::record::data::{KeyState, ProducerKey};
use whence::record::{Draft, Event, Hex, Timestamp};
use whence::seal::SigningKey;

use crate::api::{Answer, Server};
use crate::log::{TestLog, prompt};

const PRODUCERS: &str = "/v1/ledgers/main/producers";

fn key() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// A record with the producer's signature of it.
pub(crate) fn signed(mut record: Value, key: &SigningKey, name: &str) -> Value {
    let value = key.sign_record(&to_bytes(&record).unwrap());
    record["signature"] = json!({ "key": name, "value": value });
    record
}

impl Server {
    fn register(&self, admin: &str, body: &Value) -> Answer {
        self.call("POST", PRODUCERS, admin, body.to_string())
    }

    fn keys(&self, token: &str) -> Value {
        self.get(PRODUCERS, token).json()["data"].clone()
    }
}

fn k1() -> Value {
    json!({ "producer": "test", "key_id": "k1", "public_key": key().public_hex() })
}

fn refused(answer: &Answer) -> (u16, String, String) {
    let pointer = answer.json()["errors"][0]["pointer"].as_str().unwrap_or("").to_owned();
    (answer.status.as_u16(), answer.code(), pointer)
}

#[test]
fn from_its_registration_on_a_key_has_to_sign_and_then_a_new_one() {
    let server = Server::new();
    let (admin, writer) = (server.token(Role::Admin, None), server.token(Role::Writer, None));
    assert_eq!(server.post(&writer, &prompt("p-0", "s", "a")).status, StatusCode::CREATED);
    let early = signed(prompt("p-1", "s", "a"), &key(), "k1");
    let wrong = (403, "signature_invalid".to_owned(), "/signature".to_owned());
    assert_eq!(refused(&server.post(&writer, &early)), wrong);

    assert_eq!(server.register(&admin, &k1()).status, StatusCode::CREATED);
    assert_eq!(server.post(&writer, &early).status, StatusCode::CREATED);
    assert_eq!(server.post(&writer, &early).status, StatusCode::OK, "a retry");
    assert_eq!(refused(&server.post(&writer, &prompt("p-2", "s", "a"))), wrong);
    let mut other = prompt("p-3", "s", "a");
    other["source"]["producer"] = json!("somebody");
    assert_eq!(server.post(&writer, &other).status, StatusCode::CREATED);
    assert_eq!(refused(&server.post(&writer, &signed(other, &key(), "k1"))), wrong);
    let mut changed = signed(prompt("p-4", "s", "a"), &key(), "k1");
    changed["content"]["text"] = json!("b");
    let answer =
        server.post(&writer, &json!([signed(prompt("p-5", "s", "a"), &key(), "k1"), changed]));
    assert_eq!(refused(&answer), (403, wrong.1.clone(), "/1/signature".to_owned()));

    let revoke = format!("{PRODUCERS}/k1/revoke");
    assert_eq!(server.call("POST", &revoke, &admin, Body::empty()).status, StatusCode::OK);
    let late = signed(prompt("p-6", "s", "a"), &key(), "k1");
    assert_eq!(refused(&server.post(&writer, &late)), wrong);
    assert_eq!(refused(&server.post(&writer, &prompt("p-7", "s", "a"))), wrong, "no key is left");
    let keys = server.of_kinds(&["producer_key"]);
    let states: Vec<_> = keys.iter().map(|(key, _)| key["data"]["state"].clone()).collect();
    assert_eq!(states, [json!("registered"), json!("revoked")]);
    assert!(keys.iter().all(|(key, _)| key["data"]["actor"].as_str().unwrap().starts_with("tok_")));
}

/// Registers or revokes a key of `test` in a ledger without a server.
pub(crate) fn put_key(log: &TestLog, name: &str, key: &SigningKey, state: KeyState) {
    let key = ProducerKey {
        actor: "tok_1".into(),
        key_id: name.into(),
        producer: "test".into(),
        public_key: Hex::new(key.public_hex()).unwrap(),
        state,
        valid_from: None,
        valid_until: None,
    };
    let event = Event::by_server(Draft::new(key, Timestamp::EPOCH)).unwrap();
    let ledger = log.ledger();
    let prepared = vec![ledger.prepare(event).unwrap()];
    ledger.submit_blocking(prepared).unwrap();
}

#[test]
fn keys_are_there_again_when_the_ledger_is_opened_again() {
    let mut log = TestLog::new();
    put_key(&log, "k1", &key(), KeyState::Registered);
    put_key(&log, "k2", &key(), KeyState::Registered);
    put_key(&log, "k2", &key(), KeyState::Revoked);
    let before = log.ledger().producer_keys();
    assert_eq!(before.len(), 2);
    log.reopen();
    assert_eq!(log.ledger().producer_keys(), before);
    let taken = |record: &Value| {
        let event = Event::parse(record.to_string().as_bytes()).unwrap();
        log.ledger().check_signature(&event).is_ok()
    };
    assert!(!taken(&prompt("p", "s", "a")));
    assert!(!taken(&signed(prompt("p", "s", "a"), &key(), "k2")));
    assert!(taken(&signed(prompt("p", "s", "a"), &key(), "k1")));
}

#[test]
fn a_key_is_refused_that_could_not_count() {
    let server = Server::new();
    let admin = server.token(Role::Admin, None);
    let with = |name: &str, value: Value| {
        let mut body = k1();
        body[name] = value;
        refused(&server.register(&admin, &body))
    };
    let at = |pointer: &str| (422, "field_invalid".to_owned(), pointer.to_owned());
    assert_eq!(with("public_key", json!("00".repeat(32))), at("/public_key"));
    assert_eq!(with("producer", json!("")), at("/producer"));
    assert_eq!(with("key_id", json!("a\u{202e}b")), at("/key_id"));
    assert_eq!(with("valid_until", json!("1999-01-01T00:00:00Z")), at("/valid_until"));
    assert_eq!(with("public_key", json!("0f")).0, 400);
    assert_eq!(with("colour", json!("red")).0, 400);
    assert_eq!(server.keys(&admin), json!([]));

    let mut unnamed = k1();
    unnamed.as_object_mut().unwrap().remove("key_id");
    let made = server.register(&admin, &unnamed).json();
    assert_eq!(made["key_id"].as_str().unwrap().len(), 16, "{made}");
    assert_eq!(server.register(&admin, &unnamed).code(), "key_exists");
    let answer = server.call("POST", &format!("{PRODUCERS}/k9/revoke"), &admin, Body::empty());
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "key_unknown"));
}

#[test]
fn only_admins_change_keys_and_writers_do_not_see_them() {
    let server = Server::new();
    for (role, sees) in [(Role::Writer, false), (Role::Investigator, true), (Role::Auditor, true)] {
        let token = server.token(role, None);
        assert_eq!(server.register(&token, &k1()).code(), "role_missing", "{role:?}");
        let revoke = server.call("POST", &format!("{PRODUCERS}/k1/revoke"), &token, Body::empty());
        assert_eq!(revoke.code(), "role_missing", "{role:?}");
        let status = server.get(PRODUCERS, &token).status;
        assert_eq!(status == StatusCode::OK, sees, "{role:?}");
    }
}

#[test]
fn a_limited_token_appends_its_kinds_of_its_producers_alone() {
    let server = Server::new();
    let admin = server.token(Role::Admin, None);
    let new = json!({
        "name": "limited", "roles": ["writer"], "kinds": ["prompt"], "producers": ["test"],
    });
    let made = server.call("POST", "/v1/tokens", &admin, new.to_string()).json();
    assert_eq!((&made["kinds"], &made["producers"]), (&json!(["prompt"]), &json!(["test"])));
    let writer = made["token"].as_str().unwrap();
    assert_eq!(server.post(writer, &prompt("p-1", "s", "a")).status, StatusCode::CREATED);

    let forbidden = |pointer: &str| (403, "producer_forbidden".to_owned(), pointer.to_owned());
    let mut other = prompt("p-2", "s", "a");
    other["source"]["producer"] = json!("somebody");
    assert_eq!(refused(&server.post(writer, &other)), forbidden("/source/producer"));
    let mut kind = prompt("p-3", "s", "a");
    kind["kind"] = json!("app_event");
    kind["data"] = json!({
        "action": "invoice.viewed",
        "actor": { "id": "alice@example.com", "type": "user" },
        "targets": [{ "id": "1", "type": "invoice" }],
    });
    kind.as_object_mut().unwrap().remove("content");
    let answer = server.post(writer, &json!([prompt("p-4", "s", "a"), kind]));
    assert_eq!(refused(&answer), forbidden("/1/kind"), "{}", answer.json());
    let kinds = json!({ "name": "x", "roles": ["writer"], "kinds": ["no_such_kind"] });
    assert_eq!(server.call("POST", "/v1/tokens", &admin, kinds.to_string()).status.as_u16(), 400);
}
