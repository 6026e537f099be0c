//! The HTTP API through its router, on a real ledger: who may do what, what is taken, and how it is
//! refused.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;
use whence::access::{Role, Scope, TokenFile};
use whence::canon::TreeHash;
use whence::http::{App, Limits, new_token, router};
use whence::ledger::{Environment, Ledgers, Settings};
use whence::seal::{TlogProof, UnverifiedCheckpoint, VerifierKey};
use whence::store::{Faults, NoFaults};
use whence::verify::parse_checkpoints;

use crate::log::{Seeded, Ticking, chain, prompt};

/// A server without a socket, and tokens for it.
pub(crate) struct Server {
    pub(crate) app: App,
    pub(crate) router: Router,
    pub(crate) ledgers: Arc<Ledgers>,
    pub(crate) tokens: Arc<TokenFile>,
    environment: Environment,
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) folder: TempDir,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status.as_u16());
        assert_eq!(problem["request_id"], self.headers["x-request-id"].to_str().unwrap());
        problem["code"].as_str().unwrap().to_owned()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default(), None)
    }

    pub(crate) fn with(limits: Limits, faults: Option<Arc<dyn Faults>>) -> Self {
        Self::on(tempfile::tempdir().unwrap(), &["main", "other"], limits, faults)
    }

    /// A server on a folder, in which it makes these ledgers first.
    pub(crate) fn on(
        folder: TempDir,
        ledgers_made: &[&str],
        limits: Limits,
        faults: Option<Arc<dyn Faults>>,
    ) -> Self {
        Self::at(Ticking::default(), folder, ledgers_made, limits, faults)
    }

    /// The same, where it is another time.
    pub(crate) fn at(
        clock: Ticking,
        folder: TempDir,
        ledgers_made: &[&str],
        limits: Limits,
        faults: Option<Arc<dyn Faults>>,
    ) -> Self {
        let environment = Environment { clock: Arc::new(clock), random: Arc::new(Seeded::new(1)) };
        let mut settings = Settings::new(folder.path().to_owned(), "log.example", "whence/test");
        settings.faults = faults.unwrap_or_else(|| Arc::new(NoFaults));
        let ledgers = Arc::new(Ledgers::new(settings, environment.clone()));
        for name in ledgers_made {
            ledgers.create(&name.parse().unwrap()).unwrap();
        }
        let tokens = Arc::new(TokenFile::open(&folder.path().join("tokens.json")).unwrap());
        let app = App::new(Arc::clone(&ledgers), Arc::clone(&tokens), &environment, limits);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let router = router(app.clone());
        Self { app, router, ledgers, tokens, environment, runtime, folder }
    }

    /// Stops the server, and gives its folder back.
    pub(crate) fn stopped(self) -> TempDir {
        let Self { app, router, ledgers, runtime, folder, .. } = self;
        drop((router, app, runtime));
        Arc::into_inner(ledgers).unwrap().close();
        folder
    }

    pub(crate) fn token(&self, role: Role, ledger: Option<&str>) -> String {
        let scope = match ledger {
            Some(ledger) => Scope::Ledgers(BTreeSet::from([ledger.to_owned()])),
            None => Scope::All,
        };
        self.make_token(BTreeSet::from([role]), scope)
    }

    /// A token with several roles on all ledgers.
    pub(crate) fn token_with(&self, roles: &[Role]) -> String {
        self.make_token(roles.iter().copied().collect(), Scope::All)
    }

    fn make_token(&self, roles: BTreeSet<Role>, scope: Scope) -> String {
        let Environment { clock, random } = &self.environment;
        let (token, grant) =
            new_token("test", roles, scope, random.as_ref(), clock.as_ref()).unwrap();
        self.tokens.add(&token, grant).unwrap();
        token.reveal().to_owned()
    }

    pub(crate) fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    pub(crate) fn call(
        &self,
        method: &str,
        path: &str,
        token: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        self.send(request.body(body.into()).unwrap())
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.call("GET", path, token, Body::empty())
    }

    pub(crate) fn post(&self, token: &str, body: &Value) -> Answer {
        self.call("POST", "/v1/ledgers/main/records?include=proof", token, body.to_string())
    }
}

#[test]
fn a_record_comes_back_as_it_was_posted_with_its_proof() {
    let server = Server::new();
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    let answer = server.post(&writer, &Value::Array(chain(1)));
    assert_eq!(answer.status, StatusCode::CREATED);
    let receipts = answer.json();
    assert_eq!(receipts["object"], "list");
    assert_eq!(receipts["data"].as_array().unwrap().len(), 4);

    let record = server.get("/v1/ledgers/main/records/invocation-1", &reader).json();
    assert_eq!(record["entry"]["data"]["tool"], "send_money");
    assert_eq!(record["content"][0]["value"], json!({ "amount": 1, "to": "DE02" }));
    assert_eq!(record["receipt"]["entry_hash"], receipts["data"][2]["entry_hash"]);
    assert_eq!(record["receipt"]["checkpoint"], receipts["data"][2]["checkpoint"]);

    let proof = server.get("/v1/ledgers/main/records/invocation-1/proof", &reader);
    let key: VerifierKey =
        server.get("/v1/ledgers/main", &reader).json()["key"].as_str().unwrap().parse().unwrap();
    let leaf: TreeHash = record["receipt"]["leaf_hash"].as_str().unwrap().parse().unwrap();
    TlogProof::parse(&proof.body).unwrap().verify(&leaf, &[key]).unwrap();

    let session = server.get("/v1/ledgers/main/sessions/s-1?limit=3", &reader).json();
    assert_eq!(session["records"]["data"].as_array().unwrap().len(), 3);
    assert_eq!(session["records"]["list_metadata"]["after"], "3");
    let rest = server.get("/v1/ledgers/main/sessions/s-1?after=3", &reader).json();
    assert_eq!(rest["records"]["data"][0]["id"], "api-1");
}

#[test]
fn a_retry_gets_200_and_the_original_receipt() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let record = prompt("p", "s", "hello");
    let first = server.post(&writer, &record);
    assert_eq!(first.status, StatusCode::CREATED);
    let again = server.post(&writer, &record);
    assert_eq!(again.status, StatusCode::OK);
    let mut repeated = again.json();
    assert_eq!(repeated["duplicate"], true);
    repeated["duplicate"] = json!(false);
    assert_eq!(repeated, first.json());

    let other = server.post(&writer, &prompt("p", "s", "hello!"));
    assert_eq!((other.status, other.code().as_str()), (StatusCode::CONFLICT, "id_conflict"));
}

#[test]
fn a_request_is_refused_with_a_code_a_place_and_no_content() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let mut no_user = prompt("p", "s", "SECRET");
    no_user.as_object_mut().unwrap().remove("user");
    let mut collapsed = chain(1).swap_remove(1);
    collapsed["user"]["id"] = json!("invoice-agent");
    let mut orphan = chain(1).swap_remove(3);
    orphan.as_object_mut().unwrap().remove("causes");
    let mut unknown = prompt("p", "s", "SECRET");
    unknown["colour"] = json!("SECRET");
    for (record, status, code) in [
        (no_user, 422, "user_context_missing"),
        (collapsed, 422, "provenance_collapsed"),
        (orphan, 422, "cause_missing"),
        (unknown, 422, "unknown_field"),
        (chain(1).swap_remove(3), 422, "cause_unknown"),
        (json!("SECRET"), 422, "field_invalid"),
    ] {
        let answer = server.post(&writer, &json!([prompt("ok", "s", "x"), record]));
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (status, code));
        let problem = answer.json();
        assert!(problem["errors"][0]["pointer"].as_str().unwrap().starts_with("/1"), "{problem}");
        assert!(!problem.to_string().contains("SECRET"), "{problem}");
    }
    let reader = server.token(Role::Auditor, None);
    let size = server.get("/v1/ledgers/main", &reader).json()["size"].as_u64();
    assert_eq!(size, Some(1 + 4), "nothing but which record a rule refused is in the log");
}

#[test]
fn every_role_may_do_its_own_and_nothing_else() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    server.post(&writer, &prompt("p", "s", "hello"));
    let calls = [
        ("POST", "/v1/ledgers/main/records", "w"),
        ("GET", "/v1/ledgers/main", "wira"),
        ("GET", "/v1/ledgers/main/records/p", "i"),
        ("GET", "/v1/ledgers/main/records/p/why", "i"),
        ("GET", "/v1/ledgers/main/records/p/effects", "i"),
        ("GET", "/v1/ledgers/main/sessions/s", "i"),
        ("GET", "/v1/ledgers/main/records/p/proof", "wia"),
        ("GET", "/v1/ledgers/main/proof/consistency?from=1&to=2", "wia"),
        ("GET", "/tlog/main/checkpoint", "wia"),
        ("GET", "/tlog/main/log.vkey", "wia"),
        ("GET", "/tlog/main/checkpoints", "a"),
        ("GET", "/tlog/main/archive.json", "a"),
        ("GET", "/tlog/main/tile/0/000.p/2", "a"),
        ("GET", "/tlog/main/tile/entries/000.p/2", "a"),
        ("GET", "/tlog/main/content/000.p/2", "a"),
        ("GET", "/v1/ledgers/main/export", "i"),
        ("GET", "/v1/ledgers/main/accesses", "ir"),
        ("GET", "/v1/ledgers/main/catalogs?server=bank", "i"),
        ("GET", "/v1/ledgers/main/catalogs/diff?from=p&to=p", "i"),
        ("GET", "/v1/ledgers/main/searches", "ir"),
        ("PUT", "/v1/ledgers/main/searches/all", "ir"),
        ("GET", "/v1/ledgers/main/searches/all", "ir"),
        ("GET", "/v1/ledgers/main/searches/all/poll", "i"),
        ("DELETE", "/v1/ledgers/main/searches/none", "ir"),
        ("GET", "/v1/tokens", "r"),
        ("POST", "/v1/tokens", "r"),
        ("DELETE", "/v1/tokens/tok_0", "r"),
        ("POST", "/v1/ledgers", "r"),
    ];
    for (name, role) in
        [("w", Role::Writer), ("i", Role::Investigator), ("a", Role::Auditor), ("r", Role::Admin)]
    {
        let token = server.token(role, None);
        for (method, path, allowed) in calls {
            let body = if path == "/v1/ledgers" { "{\"name\":\"x y\"}" } else { "{}" };
            let body = if method == "GET" { "" } else { body };
            let answer = server.call(method, path, &token, body.to_owned());
            let forbidden = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(forbidden, !allowed.contains(name), "{role:?} {method} {path}");
            assert!(!answer.status.is_server_error(), "{role:?} {method} {path}");
        }
    }
    for (method, path, _) in calls {
        let answer = server.call(method, path, "whence_nobody", Body::empty());
        assert_eq!(answer.code(), "token_invalid");
        assert_eq!(answer.headers[header::WWW_AUTHENTICATE], "Bearer");
    }
}

#[test]
fn a_ledger_of_somebody_else_looks_like_none() {
    let server = Server::new();
    let token = server.token(Role::Investigator, Some("main"));
    let strip = |answer: &Answer| {
        let mut problem = answer.json();
        problem["request_id"] = json!("");
        (answer.status, problem)
    };
    for of in ["genesis", "genesis/why", "genesis/effects", "nobody/why?after=x"] {
        let foreign = server.get(&format!("/v1/ledgers/other/records/{of}"), &token);
        let missing = server.get(&format!("/v1/ledgers/nowhere/records/{of}"), &token);
        assert_eq!(strip(&foreign), strip(&missing));
        assert_eq!(foreign.code(), "ledger_unknown");
    }
    let list = server.get("/v1/ledgers", &token).json();
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
    let found = server.get("/v1/ledgers/main/records/genesis", &token);
    assert_eq!(found.status, StatusCode::OK);
}

#[test]
fn bodies_are_bounded_in_size_number_depth_and_form() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let path = "/v1/ledgers/main/records";
    let send = |kind: &str, body: Vec<u8>| {
        let request = Request::builder().method("POST").uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {writer}"));
        let request = request.header(header::CONTENT_TYPE, kind);
        server.send(request.body(Body::from(body)).unwrap()).code()
    };
    let deep = [vec![b'['; 10_000], vec![b']'; 10_000]].concat();
    let record = prompt("p", "s", "x").to_string();
    let deep_content = record.replace("\"x\"", &String::from_utf8(deep.clone()).unwrap());
    assert_eq!(send("application/json", vec![b' '; 5 << 20]), "body_too_large");
    assert_eq!(send("application/json", deep), "field_invalid");
    assert_eq!(send("application/json", deep_content.into_bytes()), "json_invalid");
    assert_eq!(send("application/json", b"[]".to_vec()), "no_records");
    assert_eq!(send("application/json", b"{".to_vec()), "json_invalid");
    assert_eq!(send("text/plain", record.clone().into_bytes()), "media_type_unsupported");
    let many = format!("{record}\n").repeat(1_025).into_bytes();
    assert_eq!(send("application/x-ndjson", many), "too_many_records");
    let gap = format!("{record}\n\n{record}\n").into_bytes();
    assert_eq!(send("application/x-ndjson", gap), "json_invalid");
}

#[test]
fn what_is_not_there_is_a_problem_too() {
    let server = Server::new();
    let token = server.token(Role::Auditor, None);
    for (method, path, status, code) in [
        ("GET", "/nowhere", 404, "path_unknown"),
        ("PUT", "/v1/ledgers", 405, "method_not_allowed"),
        ("GET", "/v1/ledgers/main?x=1", 200, ""),
        ("GET", "/v1/ledgers/main/proof/consistency?from=1&to=9", 400, "size_unknown"),
        ("GET", "/v1/ledgers/main/proof/consistency?from=x", 400, "query_invalid"),
        ("GET", "/v1/ledgers/main/records/nobody/proof", 404, "record_unknown"),
        ("GET", "/tlog/main/tile/0/001", 404, "tile_unknown"),
        ("GET", "/tlog/main/tile/0/0", 404, "tile_unknown"),
        ("GET", "/tlog/main/tile/0/000.p/9", 404, "tile_unknown"),
    ] {
        let answer = server.call(method, path, &token, Body::empty());
        assert_eq!(answer.status.as_u16(), status, "{path}");
        if status != 200 {
            assert_eq!(answer.code(), code, "{path}");
        }
    }
    assert_eq!(server.get("/healthz", "").status, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/readyz", "").status, StatusCode::NO_CONTENT);
}

#[test]
fn checkpoints_come_in_pages_that_make_up_the_whole() {
    let server = Server::new();
    let (writer, auditor) = (server.token(Role::Writer, None), server.token(Role::Auditor, None));
    for number in 0..7 {
        server.post(&writer, &Value::Array(chain(number)));
    }
    let whole = server.get("/tlog/main/checkpoints", &auditor);
    assert_eq!(whole.status, StatusCode::OK);
    let notes = parse_checkpoints(&whole.body).unwrap();
    assert_eq!(notes.len(), 8);
    let (mut pages, mut from) = (Vec::new(), 0);
    while pages.len() < notes.len() {
        let page = server.get(&format!("/tlog/main/checkpoints?from={from}&limit=3"), &auditor);
        let page = parse_checkpoints(&page.body).unwrap();
        assert!((1..=3).contains(&page.len()));
        let last = UnverifiedCheckpoint::parse(page.last().unwrap()).unwrap();
        let key: VerifierKey = server.get("/v1/ledgers/main", &auditor).json()["key"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        from = last.verify(&[key]).unwrap().checkpoint().size();
        pages.extend(page);
    }
    assert_eq!(pages, notes);
    let past = server.get(&format!("/tlog/main/checkpoints?from={from}"), &auditor);
    assert!(past.body.is_empty());
}

#[test]
fn a_page_of_large_records_ends_early_and_goes_on() {
    let limits = Limits { page_bytes_max: 200_000, ..Limits::default() };
    let server = Server::with(limits, None);
    let (writer, reader) =
        (server.token(Role::Writer, None), server.token(Role::Investigator, None));
    for number in 0..5 {
        server.post(&writer, &prompt(&format!("p-{number}"), "s", &"x".repeat(150_000)));
    }
    let (mut ids, mut path) = (Vec::new(), "/v1/ledgers/main/sessions/s".to_owned());
    loop {
        let page = server.get(&path, &reader).json();
        let records = page["records"]["data"].as_array().unwrap();
        assert!((1..=2).contains(&records.len()), "{}", records.len());
        ids.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        let Some(after) = page["records"]["list_metadata"]["after"].as_str() else { break };
        path = format!("/v1/ledgers/main/sessions/s?after={after}");
    }
    assert_eq!(ids, ["p-0", "p-1", "p-2", "p-3", "p-4"]);
}

#[test]
fn bundles_are_the_same_whole_and_in_pieces() {
    let server = Server::new();
    let (writer, auditor) = (server.token(Role::Writer, None), server.token(Role::Auditor, None));
    let mut texts = Vec::new();
    for number in 0..6 {
        let text = format!("{number}").repeat(700_000);
        server.post(&writer, &prompt(&format!("p-{number}"), "s", &text));
        texts.push(text);
    }
    let content = server.get("/tlog/main/content/000.p/7", &auditor);
    assert_eq!(content.status, StatusCode::OK);
    assert!(content.headers.get(header::CONTENT_LENGTH).is_none(), "it is streamed");
    // Each part is a state, a salt, a length and the text in quotes.
    assert_eq!(content.body.len(), 6 * (1 + 32 + 4 + 700_002));
    let mut rest = content.body.as_slice();
    for text in texts {
        let (part, after) = rest.split_at(1 + 32 + 4 + 700_002);
        assert_eq!(&part[38..part.len() - 1], text.as_bytes());
        rest = after;
    }
    let entries = server.get("/tlog/main/tile/entries/000.p/7", &auditor);
    assert_eq!(whence::proof::bundle::entries(&entries.body).count(), 7);
}

#[test]
fn a_broken_ledger_is_listed_as_such_and_the_others_too() {
    let server = Server::new();
    let reader = server.token(Role::Auditor, None);
    let broken = server.folder.path().join("ledgers/aaa/db");
    std::fs::create_dir_all(&broken).unwrap();
    std::fs::write(broken.join("db"), b"not a database").unwrap();
    std::fs::write(broken.join("conf"), b"neither").unwrap();
    let list = server.get("/v1/ledgers", &reader);
    assert_eq!(list.status, StatusCode::OK);
    let list = list.json();
    let found = list["data"].as_array().unwrap().iter();
    let found: Vec<_> = found.map(|ledger| (&ledger["name"], &ledger["status"])).collect();
    assert_eq!(json!(found), json!([["aaa", "unavailable"], ["main", "open"], ["other", "open"]]),);
}

#[test]
fn who_may_not_make_a_ledger_does_not_get_to_send_a_body() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    let refused = server.call("POST", "/v1/ledgers", &writer, vec![b' '; 5 << 20]);
    assert_eq!(refused.code(), "role_missing");
}

#[test]
fn checkpoints_grow_and_are_signed() {
    let server = Server::new();
    let (writer, auditor) = (server.token(Role::Writer, None), server.token(Role::Auditor, None));
    let key = server.get("/tlog/main/log.vkey", &auditor).body;
    let key: VerifierKey = String::from_utf8(key).unwrap().trim_end().parse().unwrap();
    for number in 0..5 {
        server.post(&writer, &Value::Array(chain(number)));
        let note = server.get("/tlog/main/checkpoint", &auditor).body;
        let note = UnverifiedCheckpoint::parse(&note).unwrap();
        let signed = note.verify(std::slice::from_ref(&key)).unwrap();
        assert_eq!(signed.checkpoint().size(), 5 + 4 * number);
    }
}

#[test]
fn a_token_is_made_used_and_revoked() {
    let server = Server::new();
    let admin = server.token(Role::Admin, None);
    let body = json!({ "name": "ci", "roles": ["writer"], "ledgers": ["main"] }).to_string();
    let made = server.call("POST", "/v1/tokens", &admin, body);
    assert_eq!(made.status, StatusCode::CREATED);
    let made = made.json();
    let token = made["token"].as_str().unwrap();
    assert_eq!(server.post(token, &prompt("p", "s", "x")).status, StatusCode::CREATED);

    let listed = server.get("/v1/tokens", &admin);
    assert!(!String::from_utf8(listed.body).unwrap().contains(token));
    let path = format!("/v1/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(server.call("DELETE", &path, &admin, Body::empty()).status, StatusCode::NO_CONTENT);
    assert_eq!(server.post(token, &prompt("q", "s", "x")).code(), "token_invalid");
}
