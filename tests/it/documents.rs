//! The description of the API and the schema of a record: current, complete, and true of what the
//! server answers.

use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::{Request, header};
use serde_json::{Map, Value, json};
use whence::access::Role;

use crate::api::{Answer, Server};
use crate::log::chain;

/// Compares a file with what it is made from, or writes it if `WHENCE_BLESS` is set.
fn current(name: &str, made: &Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema").join(name);
    let text = format!("{}\n", serde_json::to_string_pretty(made).unwrap());
    if std::env::var_os("WHENCE_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == text, "schema/{name} is not current: run the tests with WHENCE_BLESS=1");
}

#[test]
fn the_files_in_schema_are_current() {
    current("openapi.json", &whence::http::document());
    current("record.schema.json", &whence::record::schema::record_schema());
}

/// Every operation: its method, its path and what is said of it.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    all
}

fn concrete(path: &str) -> String {
    path.replace("{ledger}", "main")
        .replace("{id}", "nobody")
        .replace("{path}", "000")
        .replace("{name}", "all")
}

#[test]
fn every_described_operation_is_routed_and_every_other_method_is_not() {
    let server = Server::new();
    let document = whence::http::document();
    let operations = operations(&document);
    assert_eq!(operations.len(), 60);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let described = methods.get(method.to_lowercase()).is_some();
            let answer = server.call(method, &concrete(path), "whence_nobody", Body::empty());
            let routed = !matches!(answer.status.as_u16(), 404 | 405);
            assert_eq!(routed, described, "{method} {path}");
        }
    }
    for (method, path, operation) in operations {
        let open = operation["security"] == json!([]);
        let answer = server.call(&method, &concrete(&path), "whence_nobody", Body::empty());
        assert_eq!(answer.status.as_u16() == 401, !open, "{method} {path}");
        assert!(operation["summary"].as_str().unwrap().ends_with('.'), "{path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn check(document: &Value, value: &Value) {
        match value {
            Value::Object(members) => {
                if let Some(to) = members.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(&to[1..]).is_some(), "{to}");
                }
                members.values().for_each(|value| check(document, value));
            }
            Value::Array(values) => values.iter().for_each(|value| check(document, value)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let document = whence::http::document();
    check(&document, &document);
    let record = whence::record::schema::record_schema();
    check(&record, &record);
}

/// A schema of the document, with all that it refers to.
fn validator(document: &Value, schema: &Value) -> jsonschema::Validator {
    let mut root: Map<String, Value> = schema.as_object().unwrap().clone();
    root.insert("components".to_owned(), document["components"].clone());
    root.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    jsonschema::validator_for(&Value::Object(root)).unwrap()
}

/// Checks an answer against what the document says of it.
fn described(document: &Value, method: &str, path: &str, answer: &Answer) {
    let status = answer.status.as_u16().to_string();
    let response = &document["paths"][path][method.to_lowercase()]["responses"][&status];
    assert!(response.is_object(), "{method} {path} answers {status}, which is not described");
    if answer.body.is_empty() {
        return;
    }
    let media = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
    let media = media.split(';').next().unwrap();
    let form = &response["content"][media];
    assert!(form.is_object(), "{method} {path} answers {media}, which is not described");
    if media.ends_with("json") && media != "application/x-ndjson" {
        let body = answer.json();
        let validator = validator(document, &form["schema"]);
        let errors: Vec<_> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path} {status}: {errors:?}\n{body}");
        let code = body.get("code").and_then(Value::as_str);
        let codes = response["description"].as_str().unwrap();
        assert!(code.is_none_or(|code| codes.contains(&format!("`{code}`"))), "{path}: {body}");
    }
}

/// What is read: a path, its query, and the status of the answer.
const READS: &[(&str, &str, u16)] = &[
    ("/v1/ledgers", "", 200),
    ("/v1/ledgers/{ledger}", "", 200),
    ("/v1/ledgers/{ledger}/records/{id}", "", 200),
    ("/v1/ledgers/{ledger}/records/{id}/why", "", 200),
    ("/v1/ledgers/{ledger}/records/{id}/why", "?limit=2&depth=9", 200),
    ("/v1/ledgers/{ledger}/records/{id}/why", "?after=x", 400),
    ("/v1/ledgers/{ledger}/records/{id}/effects", "", 200),
    ("/v1/ledgers/{ledger}/records/{id}/effects", "?limit=1&after=5-1", 200),
    ("/v1/ledgers/{ledger}/records/{id}/proof", "", 200),
    ("/v1/ledgers/{ledger}/records/{id}/proof", "?format=json", 200),
    ("/v1/ledgers/{ledger}/proof/consistency", "?from=1", 200),
    ("/v1/ledgers/{ledger}/proof/consistency", "?from=0", 400),
    ("/v1/ledgers/{ledger}/sessions/{id}", "", 404),
    ("/v1/ledgers/{ledger}/export", "", 200),
    ("/v1/ledgers/{ledger}/export", "?format=csv&after=1", 200),
    ("/v1/ledgers/{ledger}/export", "?format=pdf", 400),
    ("/v1/ledgers/{ledger}/accesses", "", 200),
    ("/v1/ledgers/{ledger}/policy", "", 200),
    ("/v1/ledgers/{ledger}/erasures", "", 200),
    ("/v1/ledgers/{ledger}/holds", "", 200),
    ("/v1/ledgers/{ledger}/catalogs", "?server=bank", 200),
    ("/v1/ledgers/{ledger}/catalogs", "", 400),
    ("/v1/ledgers/{ledger}/catalogs/diff", "?from=prompt-1&to=prompt-1", 404),
    ("/v1/ledgers/{ledger}/catalogs/diff", "?from=prompt-1&to=nothing", 404),
    ("/v1/ledgers/{ledger}/searches", "", 200),
    ("/v1/ledgers/{ledger}/searches/{name}", "", 200),
    ("/v1/ledgers/{ledger}/searches/{name}/poll", "?limit=2", 200),
    ("/v1/tokens", "", 200),
    ("/tlog/{ledger}/checkpoint", "", 200),
    ("/tlog/{ledger}/checkpoints", "", 200),
    ("/tlog/{ledger}/log.vkey", "", 200),
    ("/tlog/{ledger}/archive.json", "", 200),
    ("/tlog/{ledger}/tile/{path}", "", 200),
    ("/tlog/{ledger}/content/{path}", "", 404),
    ("/healthz", "", 204),
    ("/readyz", "", 204),
    ("/openapi.json", "", 200),
];

#[test]
fn what_the_server_answers_is_as_described() {
    let server = Server::new();
    let document = whence::http::document();
    let all = server.token_with(&[Role::Writer, Role::Investigator, Role::Auditor, Role::Admin]);
    let records = "/v1/ledgers/{ledger}/records";
    let chain = Value::Array(chain(1));
    let call = |method: &str, path: &str, query: &str, body: &str| {
        let filled = path.replace("{ledger}", "main").replace("{id}", "invocation-1");
        let filled = filled.replace("{path}", "0/000.p/2").replace("{name}", "all");
        let answer = server.call(method, &format!("{filled}{query}"), &all, body.to_owned());
        described(&document, method, path, &answer);
        answer.status.as_u16()
    };
    assert_eq!(call("POST", records, "?include=proof", &chain.to_string()), 201);
    assert_eq!(call("POST", records, "", &chain.to_string()), 200);
    assert_eq!(call("POST", records, "", &chain[0].to_string()), 200);
    assert_eq!(call("POST", records, "", "{}"), 422);
    assert_eq!(call("POST", records, "", "{"), 400);
    assert_eq!(call("POST", records, "?x=1", "{}"), 400);
    let saved = "/v1/ledgers/{ledger}/searches/{name}";
    assert_eq!(call("GET", saved, "", ""), 404);
    assert_eq!(call("PUT", saved, "", "{}"), 201);
    assert_eq!(call("PUT", saved, "", r#"{"format":"csv"}"#), 200);
    for (path, query, status) in READS {
        assert_eq!(call("GET", path, query, ""), *status, "{path}");
    }
    let session = server.get("/v1/ledgers/main/sessions/s-1", &all);
    described(&document, "GET", "/v1/ledgers/{ledger}/sessions/{id}", &session);
    assert_eq!(call("POST", "/v1/ledgers", "", r#"{"name":"third"}"#), 201);
    assert_eq!(call("POST", "/v1/tokens", "", r#"{"name":"ci","roles":["writer"]}"#), 201);
    assert_eq!(call("DELETE", "/v1/tokens/{id}", "", ""), 404);
    erasing_is_as_described(&call);
    events_are_as_described(&call, &document);
    assert_eq!(call("DELETE", saved, "", ""), 204);
    assert_eq!(call("DELETE", saved, "", ""), 404);
}

fn erasing_is_as_described(call: &impl Fn(&str, &str, &str, &str) -> u16) {
    let hold = r#"{"reach":{"session":"s-1"},"reason":"r"}"#;
    let erasure = r#"{"reach":{"record":"api-1"},"reason":"r","authority":"a"}"#;
    assert_eq!(call("POST", "/v1/ledgers/{ledger}/erasures", "", erasure), 201);
    assert_eq!(call("POST", "/v1/ledgers/{ledger}/holds", "", hold), 201);
    assert_eq!(call("POST", "/v1/ledgers/{ledger}/erasures", "", erasure), 201);
    assert_eq!(call("POST", "/v1/ledgers/{ledger}/erasures", "", hold), 400);
}

fn events_are_as_described(call: &impl Fn(&str, &str, &str, &str) -> u16, document: &Value) {
    for path in
        ["/audit_logs/events", "/v1/audit_logs/events", "/v1/ledgers/{ledger}/audit_logs/events"]
    {
        let form = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"];
        let mut event = form["example"].clone();
        assert_eq!(call("POST", path, "", &event.to_string()), 200);
        event["event"]["metadata"] = json!({});
        assert_eq!(call("POST", path, "", &event.to_string()), 422);
        event["event"]["metadata"] = json!([]);
        assert_eq!(call("POST", path, "", &event.to_string()), 400);
        assert_eq!(call("POST", path, "", "{"), 400);
    }
}

#[test]
fn every_example_is_as_described_and_is_taken() {
    let server = Server::new();
    let document = whence::http::document();
    let all = server.token_with(&[Role::Writer, Role::Admin]);
    let mut examples = 0;
    for (method, path, operation) in operations(&document) {
        let Some(forms) = operation["requestBody"]["content"].as_object() else { continue };
        for (media, form) in forms {
            let example = &form["example"];
            assert!(validator(&document, &form["schema"]).is_valid(example), "{path}: {example}");
            let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
            let request = Request::builder().method(method.as_str()).uri(concrete(&path));
            let request = request.header(header::AUTHORIZATION, format!("Bearer {all}"));
            let request = request.header(header::CONTENT_TYPE, media);
            let answer = server.send(request.body(Body::from(body)).unwrap());
            // The one record's cause is in the other example.
            // The hold that is released was never placed.
            let status = match path.rsplit('/').next() {
                Some("records" | "preflight") if media == "application/json" => 422,
                Some("policy" | "events" | "traces" | "logs" | "metrics") => 200,
                Some("release") => 404,
                _ => 201,
            };
            assert_eq!(answer.status.as_u16(), status, "{path} {media}");
            examples += 1;
        }
        for answer in operation["responses"].as_object().unwrap().values() {
            for form in answer["content"].as_object().into_iter().flat_map(Map::values) {
                let Some(example) = form.get("example") else { continue };
                assert!(validator(&document, &form["schema"]).is_valid(example), "{example}");
            }
        }
    }
    assert_eq!(examples, 28);
}

#[test]
fn the_schema_of_a_record_takes_good_records_and_no_bad_ones() {
    let validator = jsonschema::validator_for(&whence::record::schema::record_schema()).unwrap();
    for record in chain(1) {
        let errors: Vec<_> =
            validator.iter_errors(&record).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}\n{record}");
    }
    let good = chain(1).swap_remove(2);
    let spoil = |change: fn(&mut Value)| {
        let mut record = good.clone();
        change(&mut record);
        validator.is_valid(&record)
    };
    assert!(spoil(|_| {}));
    assert!(!spoil(|record| record["colour"] = json!("red")));
    assert!(!spoil(|record| record["kind"] = json!("no_such_kind")));
    assert!(!spoil(|record| record["kind"] = json!("genesis")));
    assert!(!spoil(|record| record["data"]["colour"] = json!("red")));
    assert!(!spoil(|record| record["labels"] = json!({ "a b": "x" })));
    assert!(!spoil(|record| drop(record.as_object_mut().unwrap().remove("source"))));
    assert!(!spoil(|record| record["user"] = json!("alice")));
}
