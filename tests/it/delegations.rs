//! Grants from the claims of tokens.

use axum::http::StatusCode;
use serde_json::{Value, json};
use whence::access::Role;

use crate::api::Server;

const DELEGATIONS: &str = "/v1/ledgers/main/delegations";

fn posted() -> Value {
    json!({
        "profile": "rfc8693",
        "claims": {
            "iss": "https://issuer.example", "sub": "alice@example.com",
            "act": { "sub": "invoice-agent" }, "aud": "https://bank.example",
            "scope": "payments:write", "jti": "jti-7f",
            "iat": 1_795_478_400, "exp": 1_795_482_000,
        },
        "session": "s-81f3",
        "user_type": "human",
        "producer": "billing-1",
    })
}

#[test]
fn claims_become_a_grant_once() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let answer = server.call("POST", DELEGATIONS, &writer, posted().to_string());
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
    let again = server.call("POST", DELEGATIONS, &writer, posted().to_string());
    assert_eq!((again.status, &again.json()["duplicate"]), (StatusCode::OK, &json!(true)));

    let grants = server.of_kinds(&["delegation_grant"]);
    let [(grant, content)] = &*grants else { panic!("{grants:?}") };
    assert_eq!(grant["data"]["subject"], "alice@example.com");
    assert_eq!(grant["data"]["delegate"], "invoice-agent");
    assert_eq!(grant["data"]["claims_profile"], "rfc8693");
    assert_eq!(grant["data"]["lifetime_basis"], "login_session");
    assert_eq!(grant["session"]["id"], "s-81f3");
    assert!(content.contains("jti-7f"), "the claims are content: {content}");
}

#[test]
fn claims_that_are_no_grant_are_refused_without_their_values() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    for (pointer, value, at, code) in [
        ("/profile", json!("jwt"), "/profile", "field_invalid"),
        ("/profile", json!("workos_user"), "/claims", "field_invalid"),
        ("/claims/sub", Value::Null, "/claims", "field_invalid"),
        ("/claims/sub", json!("invoice-agent"), "/user/id", "provenance_collapsed"),
        ("/session", json!(""), "/session/id", "field_invalid"),
    ] {
        let mut body = posted();
        *body.pointer_mut(pointer).unwrap() = value;
        let answer = server.call("POST", DELEGATIONS, &writer, body.to_string());
        let problem = answer.json();
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (422, code), "{problem}");
        assert_eq!(problem["errors"][0]["pointer"], at, "{problem}");
        assert!(!problem.to_string().contains("alice@"), "{problem}");
    }
    // A token in the place of its claims is not even looked at.
    let mut body = posted();
    body["claims"] = json!("eyJhbGciOiJSUzI1NiJ9.e30.c2ln");
    let answer = server.call("POST", DELEGATIONS, &writer, body.to_string());
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "json_invalid"));
    assert!(!answer.json().to_string().contains("eyJ"));
    assert_eq!(
        server.call("POST", DELEGATIONS, &server.token(Role::Admin, None), "{}").code(),
        "role_missing"
    );
}
