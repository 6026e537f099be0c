//! Searching over HTTP: what is asked and answered, who may ask, and that a ledger's index is for
//! those of this ledger alone.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tower::ServiceExt;
use whence::access::Role;
use whence::http::Limits;

use crate::api::Server;
use crate::cli::Serving;
use crate::log::{chain, ledgers_in, main_ledger, prompt};

const RECORDS: &str = "/v1/ledgers/main/records";

/// A server with records, and a token to ask it.
struct Asked {
    server: Server,
    token: String,
}

impl Asked {
    /// With the chains of 0 to 9, five sessions of two chains each, and one other prompt.
    fn new() -> Self {
        let limits =
            Limits { index_wait_max: Duration::from_secs(30), page_max: 30, ..Limits::default() };
        let server = Server::with(limits, None);
        let token = server.token_with(&[Role::Writer, Role::Investigator]);
        let asked = Self { server, token };
        asked.post(&(0..10).flat_map(chain).collect::<Vec<_>>());
        let mut other = prompt("other", "s-other", "Zahle die Rechnung an Müller, bitte.");
        other["user"]["id"] = json!("bob@example.com");
        asked.post(&[other]);
        assert_eq!(asked.get("?wait_for=41")["indexed_through"], 42);
        asked
    }

    fn post(&self, records: &[Value]) {
        let answer = self.server.post(&self.token, &json!(records));
        assert_eq!(answer.status, StatusCode::CREATED);
    }

    /// What is found.
    fn get(&self, query: &str) -> Value {
        self.at(&format!("{RECORDS}{query}"))
    }

    fn at(&self, path: &str) -> Value {
        let answer = self.server.get(path, &self.token);
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.json());
        answer.json()
    }

    /// The code and the pointer of a refusal.
    fn refused(&self, path: &str) -> (u16, String, Value) {
        let answer = self.server.get(path, &self.token);
        (answer.status.as_u16(), answer.code(), answer.json())
    }
}

fn ids(page: &Value) -> Vec<&str> {
    page["data"].as_array().unwrap().iter().map(|hit| hit["id"].as_str().unwrap()).collect()
}

#[test]
fn every_parameter_narrows_what_is_found() {
    let asked = Asked::new();
    for (query, total, first) in [
        ("", 42, "other"),
        ("?q=", 42, "other"),
        ("?q=*", 42, "other"),
        ("?q=muller", 1, "other"),
        ("?q=%22pay%20the%20invoice%22", 10, "prompt-9"),
        ("?user=BOB@example.com", 1, "other"),
        ("?session=s-3", 8, "api-8"),
        ("?agent=invoice-agent", 30, "api-9"),
        ("?tool=send_money", 10, "invocation-9"),
        ("?kind=prompt", 11, "other"),
        ("?kind=prompt&session=s-3", 2, "prompt-8"),
        ("?q=-kind:prompt&session=s-3&agent=invoice-agent", 6, "api-8"),
        ("?since=2026-01-01&until=2100-01-01&kind=api_call", 10, "api-9"),
        ("?q=kind:prompt%20OR%20kind:api_call&session=s-3", 4, "api-8"),
    ] {
        let page = asked.get(query);
        assert_eq!((&page["total"], ids(&page)[0]), (&json!(total), first), "{query}");
        assert_eq!(page["indexed_through"], 42);
    }
    for query in ["?flag=orphan_api_call", "?until=2026-01-01", "?user=nobody", "?session=S-3"] {
        assert_eq!(asked.get(query)["total"], 0, "{query}");
    }
    // Whatever a value holds, it stays one value.
    let odd = asked.get("?user=a%22%20OR%20kind:prompt%20OR%20%22&kind=prompt");
    assert_eq!(odd["total"], 0);
}

#[test]
fn a_hit_says_what_it_is_and_where_the_words_stand() {
    let asked = Asked::new();
    let page = asked.get("?q=uberweisung%20OR%20%22an%20mul%22*&limit=1");
    let mut hit = page["data"][0].clone();
    for moment in ["occurred_at", "received_at"] {
        assert!(hit.as_object_mut().unwrap().remove(moment).unwrap().as_str().unwrap().len() > 19);
    }
    let expected = json!({
        "object": "hit", "id": "other", "seq": 41, "kind": "prompt", "user": "bob@example.com",
        "session": "s-other", "flags": [],
        "snippet": {
            "path": "content.text",
            "pieces": [
                { "text": "Zahle die Rechnung " },
                { "text": "an", "hit": true },
                { "text": " " },
                { "text": "Müller", "hit": true },
                { "text": ", bitte." },
            ],
            "cut_before": false, "cut_after": false,
        },
    });
    assert_eq!(hit, expected);
    let text = format!("{} wire transfer {}", "long ".repeat(200), "tail ".repeat(200));
    asked.post(&[prompt("long", "s-long", &text)]);
    let page = asked.get("?q=transfer&wait_for=42");
    let snippet = &page["data"][0]["snippet"];
    assert_eq!((&snippet["cut_before"], &snippet["cut_after"]), (&json!(true), &json!(true)));
    assert!(asked.get("?kind=prompt")["data"][0].get("snippet").is_none());
}

#[test]
fn facets_and_histogram_are_counted_where_they_are_asked_for() {
    let asked = Asked::new();
    let plain = asked.get("?limit=1");
    assert!(plain.get("facets").is_none() && plain.get("histogram").is_none());
    let page = asked.get("?q=-kind:genesis&facets=user,kind,tool,flag&histogram=true&limit=1");
    assert_eq!(page["total"], 41);
    let user = json!({
        "distinct": 2,
        "values": [
            { "value": "alice@example.com", "count": 40 },
            { "value": "bob@example.com", "count": 1 },
        ],
    });
    assert_eq!(page["facets"]["user"], user);
    assert_eq!(page["facets"]["kind"]["values"][0], json!({ "value": "prompt", "count": 11 }));
    assert_eq!(page["facets"]["tool"]["values"][0]["count"], 10);
    // Nobody has told the ledger of the grant under which the agent acts.
    let unknown = json!({ "value": "delegation_unknown", "count": 20 });
    assert_eq!(page["facets"]["flag"], json!({ "distinct": 1, "values": [unknown] }));
    assert_eq!(page["facets"].as_object().unwrap().len(), 4);
    let bars = page["histogram"]["bars"].as_array().unwrap();
    assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(), 41);
    assert!(page["histogram"]["width_seconds"].as_u64().unwrap() >= 1);
}

#[test]
fn pages_follow_each_other_in_either_order_while_records_come_in() {
    let asked = Asked::new();
    let whole = asked.get("?kind=prompt&order=asc&limit=30");
    for order in ["asc", "desc"] {
        let (mut cursor, mut found) = (String::new(), Vec::new());
        loop {
            let page = asked.get(&format!("?kind=prompt&order={order}&limit=4{cursor}"));
            found.extend(ids(&page).into_iter().map(str::to_owned));
            let after = page["list_metadata"]["after"].as_str().map(str::to_owned);
            let Some(after) = after else { break };
            cursor = format!("&after={after}");
            if order == "desc" && found.len() == 4 {
                asked.post(&[prompt("late", "s-late", "x")]);
                asked.get("?wait_for=42");
            }
        }
        if order == "desc" {
            found.reverse();
        }
        assert_eq!(found, ids(&whole), "{order}");
    }
    // The limit of a page is that of the server, and at least one.
    assert_eq!(asked.get("?limit=100000")["data"].as_array().unwrap().len(), 30);
    assert_eq!(asked.get("?limit=0")["data"].as_array().unwrap().len(), 1);
    assert_eq!(asked.get("?after=18446744073709551615&limit=1")["total"], 43);
}

#[test]
fn whoever_waits_is_answered_once_the_record_is_there_or_told_to_ask_again() {
    let limits = Limits {
        index_wait_max: Duration::from_secs(2),
        index_waits_max: 1,
        answers_max: 1,
        ..Limits::default()
    };
    let server = Server::with(limits, None);
    let token = server.token_with(&[Role::Writer, Role::Investigator]);
    // One of them waits in vain, and the other one is not let in. Whoever does not wait is answered.
    let vain = ["records?wait_for=1000", "sessions?wait_for=18446744073709551615"].map(|path| {
        let request = Request::builder().uri(format!("/v1/ledgers/main/{path}"));
        let request = request.header("authorization", format!("Bearer {token}"));
        let request = request.body(Body::empty()).unwrap();
        server.runtime.spawn(server.router.clone().oneshot(request))
    });
    let free = server.get("/v1/ledgers/main/records?q=kind:genesis", &token);
    assert_eq!(free.status, StatusCode::OK);
    assert!(!vain.iter().all(JoinHandle::is_finished), "it had to wait for the others");
    let mut refused = vain.map(|request| {
        let answer = server.runtime.block_on(request).unwrap().unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    });
    refused.sort_unstable();
    assert_eq!(refused, [(429, true), (503, true)]);
    let behind = server.get("/v1/ledgers/main/records?wait_for=1000", &token);
    assert_eq!((behind.status.as_u16(), behind.code().as_str()), (503, "index_behind"));

    // What was read so far may stand in the ledger before it.
    let receipt = server.post(&token, &prompt("p", "s", "hello")).json();
    let path = format!("/v1/ledgers/main/records?wait_for={}&q=hello", receipt["seq"]);
    let page = server.get(&path, &token);
    assert_eq!(page.json()["total"], 1);
}

#[test]
fn a_record_is_found_within_a_second_of_its_receipt_without_waiting() {
    let asked = Asked::new();
    let mut slowest = Duration::ZERO;
    for number in 0..5 {
        asked.post(&[prompt(&format!("new-{number}"), "s", &format!("needle{number}"))]);
        let posted = Instant::now();
        while asked.get(&format!("?q=needle{number}"))["total"] != 1 {
            // The machine may be slow; a second is for one that is not.
            assert!(posted.elapsed() < Duration::from_secs(10), "it is never found");
            std::thread::sleep(Duration::from_millis(5));
        }
        slowest = slowest.max(posted.elapsed());
    }
    println!("search: a record was found at most {} ms after its receipt", slowest.as_millis());
}

#[test]
fn what_cannot_be_understood_is_refused_with_its_place() {
    let asked = Asked::new();
    for (path, pointer, message) in [
        ("records?q=user:alice%20usr:bob", "/q", "column 12: found `usr:`"),
        ("records?q=(a", "/q", "column 1: found `(a`"),
        ("records?q=seq:%3Ex", "/q", "column "),
        ("records?kind=nothing", "/kind", "column "),
        ("records?flag=nothing", "/flag", "column "),
        ("records?since=yesterday", "/since", "column "),
        ("sessions?q=usr:bob", "/q", "column 1: found `usr:`"),
    ] {
        let (status, code, problem) = asked.refused(&format!("/v1/ledgers/main/{path}"));
        assert_eq!((status, code.as_str()), (400, "query_invalid"), "{path}: {problem}");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], pointer, "{path}: {problem}");
        assert!(error["message"].as_str().unwrap().starts_with(message), "{path}: {problem}");
    }
    let long = "a".repeat(5_000);
    for path in [
        "records?facets=user,colour",
        "records?facets=Users",
        "records?histogram=maybe",
        "records?limit=-1",
        "records?limit=many",
        "records?after=x",
        "records?order=up",
        "records?colour=red",
        "records?wait_for=-1",
        "sessions?colour=red",
        &format!("records?q={long}"),
    ] {
        let (status, code, problem) = asked.refused(&format!("/v1/ledgers/main/{path}"));
        assert_eq!((status, code.as_str()), (400, "query_invalid"), "{path}: {problem}");
        assert!(problem.to_string().len() < 1_000, "a long query does not come back whole");
    }
}

#[test]
fn sessions_are_listed_with_their_counts_and_paged() {
    let asked = Asked::new();
    let sessions = |query: &str| asked.at(&format!("/v1/ledgers/main/sessions{query}"));
    let all = sessions("");
    assert_eq!(ids(&all), ["s-other", "s-4", "s-3", "s-2", "s-1", "s-0"]);
    assert_eq!((&all["total"], &all["indexed_through"]), (&json!(6), &json!(42)));
    let summary = &all["data"][1];
    assert_eq!(summary["object"], "session_summary");
    assert_eq!(summary["users"], json!(["alice@example.com"]));
    assert_eq!(summary["agents"], json!(["invoice-agent"]));
    assert_eq!(summary["records"], 8);
    assert_eq!(summary["kinds"]["api_call"], 2);
    assert_eq!(
        (&summary["flags"], &summary["newest_match"]),
        (&json!({ "delegation_unknown": 4 }), &json!(40))
    );

    assert_eq!(ids(&sessions("?user=bob@example.com")), ["s-other"]);
    assert_eq!(sessions("?agent=invoice-agent")["total"], 5);
    assert_eq!(sessions("?q=rechnung%20OR%20session:s-2")["total"], 2);
    assert_eq!(sessions("?until=2026-01-01")["total"], 0);
    let first = sessions("?kind=prompt&limit=4");
    let after = first["list_metadata"]["after"].as_str().unwrap();
    let rest = sessions(&format!("?kind=prompt&limit=4&after={after}"));
    assert_eq!([ids(&first), ids(&rest)].concat(), ids(&all));
    assert_eq!((&rest["total"], &rest["list_metadata"]["after"]), (&json!(6), &Value::Null));

    asked.post(&[prompt("again", "s-0", "x")]);
    asked.get("?wait_for=42");
    let first = &sessions("?limit=1")["data"][0];
    assert_eq!((&first["id"], &first["records"]), (&json!("s-0"), &json!(9)));
    let hits = asked.get("?session=s-0&order=asc");
    assert_eq!(first["started_at"], hits["data"][0]["received_at"]);
    assert_eq!(first["last_activity_at"], hits["data"][8]["received_at"]);
    assert_ne!(first["started_at"], first["last_activity_at"]);
}

#[test]
fn an_index_is_built_again_while_records_come_in() {
    let asked = Asked::new();
    let status = || asked.at("/v1/ledgers/main/index");
    let idle = json!({ "object": "index", "indexed_through": 42, "size": 42 });
    assert_eq!(status(), idle);
    let (admin, path) = (asked.server.token(Role::Admin, None), "/v1/ledgers/main/reindex");
    let begin = || asked.server.call("POST", path, &admin, "");
    assert_eq!(begin().status, StatusCode::ACCEPTED);
    // A second one begins nothing, and is no error.
    assert_eq!(begin().status, StatusCode::ACCEPTED);
    let (mut number, started) = (100, Instant::now());
    while status().get("rebuilding_through").is_some() {
        asked.post(&chain(number));
        number += 1;
        assert!(asked.get("?q=muller&limit=1")["total"] == 1, "what was found is found");
        assert!(started.elapsed() < Duration::from_secs(30), "it is never built");
    }
    asked.post(&chain(number));
    let size = status()["size"].as_u64().unwrap();
    let page = asked.get(&format!("?wait_for={}&limit=1", size - 1));
    assert_eq!((&page["total"], &page["indexed_through"]), (&json!(size), &json!(size)));
    // The old one is removed when it has stopped, which is soon after.
    let left = || names(&asked.server.folder.path().join("search/main"));
    while left() != ["1"] {
        assert!(started.elapsed() < Duration::from_mins(1), "{:?} are left", left());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The names in a folder; none if it is not there.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every call that has to do with an index, on a ledger.
fn calls(ledger: &str) -> [(&'static str, String); 9] {
    let at = |path: &str| format!("/v1/ledgers/{ledger}/{path}");
    [
        ("GET", at("records")),
        ("GET", at("records?q=secret&facets=user&histogram=true")),
        ("GET", at("records?q=usr:x")),
        ("GET", at("records?wait_for=1000")),
        ("GET", at("sessions")),
        ("GET", at("sessions?q=secret")),
        ("GET", at("sessions?colour=red")),
        ("GET", at("index")),
        ("POST", at("reindex")),
    ]
}

#[test]
fn an_index_of_somebody_else_s_ledger_looks_like_none_and_is_not_touched() {
    // A ledger that was never opened since the start has no index yet, and one that nobody may see
    // does not get one.
    let folder = tempfile::tempdir().unwrap();
    let made = ledgers_in(folder.path(), None);
    made.create(&main_ledger()).unwrap();
    made.close();
    let server = Server::on(folder, &["other"], Limits::default(), None);
    let roles = [Role::Writer, Role::Investigator, Role::Auditor, Role::Admin];
    let search = server.folder.path().join("search");
    assert_eq!(names(&search), ["other"]);
    for role in roles {
        let token = server.token(role, Some("other"));
        for ((method, foreign), (_, missing)) in calls("main").into_iter().zip(calls("nowhere")) {
            let answer = |path: &str| {
                let answer = server.call(method, path, &token, "");
                let mut problem = answer.json();
                problem["request_id"] = json!("");
                let code = answer.code();
                (answer.status, code, problem)
            };
            let refused = answer(&foreign);
            assert_eq!(refused, answer(&missing), "{role:?} {foreign}");
            let expected =
                if foreign.contains("colour") { "query_invalid" } else { "ledger_unknown" };
            assert_eq!(refused.1, expected, "{role:?} {foreign}");
        }
    }
    assert_eq!(names(&search), ["other"]);
    // The same call makes one for whoever may see the ledger: the look above can find something.
    let token = server.token(Role::Investigator, Some("main"));
    assert_eq!(server.get("/v1/ledgers/main/index", &token).status, StatusCode::OK);
    assert_eq!(names(&search), ["main", "other"]);
}

#[test]
fn hits_are_of_the_ledger_that_was_asked_alone() {
    let server = Server::new();
    let token = server.token_with(&[Role::Writer, Role::Investigator]);
    for ledger in ["main", "other"] {
        let record = prompt(&format!("of-{ledger}"), "s-shared", "the same secret");
        let path = format!("/v1/ledgers/{ledger}/records");
        server.call("POST", &path, &token, record.to_string());
    }
    for ledger in ["main", "other"] {
        let token = server.token(Role::Investigator, Some(ledger));
        let get = |path: &str| server.get(&format!("/v1/ledgers/{ledger}/{path}"), &token).json();
        let page = get("records?q=secret&wait_for=1&facets=session");
        assert_eq!(ids(&page), [format!("of-{ledger}")]);
        assert_eq!(page["facets"]["session"]["values"][0]["count"], 1);
        assert_eq!(get("sessions")["data"][0]["records"], 1);
    }
}

#[test]
fn investigators_search_and_admins_rebuild_and_nobody_else() {
    let server = Server::new();
    for (name, role) in
        [("w", Role::Writer), ("i", Role::Investigator), ("a", Role::Auditor), ("r", Role::Admin)]
    {
        let token = server.token(role, None);
        for (path, method, allowed) in [
            ("records", "GET", "i"),
            ("sessions", "GET", "i"),
            ("index", "GET", "i"),
            ("reindex", "POST", "r"),
        ] {
            let path = format!("/v1/ledgers/main/{path}");
            let answer = server.call(method, &path, &token, "");
            if allowed == name {
                assert!(answer.status.is_success(), "{role:?} {path}");
            } else {
                assert_eq!(answer.code(), "role_missing", "{role:?} {path}");
            }
        }
    }
}

/// However a refusal is looked at, it takes no longer for a ledger that is there than for none.
#[test]
fn a_refusal_takes_as_long_for_a_ledger_of_somebody_else_as_for_none() {
    let server = Server::new();
    let writer = server.token(Role::Writer, None);
    for number in 0..50 {
        server.post(&writer, &Value::Array(chain(number)));
    }
    let token = server.token(Role::Investigator, Some("other"));
    let paths = ["main", "nowhere"].map(|name| format!("/v1/ledgers/{name}/records?q=pay*"));
    let mut times = [const { Vec::new() }; 2];
    for _ in 0..400 {
        for (path, times) in paths.iter().zip(&mut times) {
            let started = Instant::now();
            assert_eq!(server.get(path, &token).status, StatusCode::NOT_FOUND);
            times.push(started.elapsed());
        }
    }
    let [there, none] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    println!("search: refused in {there:?} for a foreign ledger, in {none:?} for none");
    assert!(there < none * 2 && none < there * 2, "{there:?} {none:?}");
}

#[test]
fn neither_queries_nor_what_they_find_are_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Serving::start(folder.path(), &["--log", "trace"]);
    let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
    let token = token.trim_end();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    let header = format!("Bearer {token}");
    let url = format!("{}{RECORDS}", serving.url);
    let text = "topsecretword";
    let record = prompt("p", "s", text).to_string();
    let posted = agent.post(&url).header("authorization", &header);
    let posted = posted.header("content-type", "application/json").send(record).unwrap();
    assert_eq!(posted.status(), 201);
    for query in [
        "?q=topsecretword&wait_for=1",
        "?q=%22topsecretword%20x%22&user=topsecretuser",
        "?q=topsecretword:x",
        "?topsecretname=x",
        "?q=topsecretw*",
    ] {
        let answer = agent.get(format!("{url}{query}")).header("authorization", &header).call();
        assert!(answer.unwrap().status().as_u16() < 500);
    }
    // What was logged is read by a thread of its own.
    let began = Instant::now();
    while !serving.log().contains("refused") && began.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let log = serving.log();
    assert!(log.contains("refused"), "it logs much: {log}");
    for secret in ["topsecret", token] {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None);
    }
    serving.stop();
}
