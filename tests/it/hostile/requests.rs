//! Requests that were valid once, against the router.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use http_body::Frame;
use serde_json::{Value, json};

use super::mutate::{self, ODD, Rng};
use super::server::{CANARY, Server, allocated, count_panics};
use super::{in_parallel, number, seed, seeds};

/// Requests of one run, unless the environment says otherwise.
const CASES: u64 = 10_000;
/// How much memory the last four fifths of a run may add.
const GROWTH_MAX: u64 = 96 << 20;

/// A request, as far as it can be written down: not all of these can be sent.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// The paths that are read from, each with queries that it takes.
const READS: &[(&str, &[&str])] = &[
    ("/v1/ledgers", &[""]),
    ("/v1/ledgers/main", &[""]),
    ("/v1/ledgers/main/records/prompt", &[""]),
    ("/v1/ledgers/main/records/api_call/proof", &["", "format=json", "format=tlog-proof"]),
    ("/v1/ledgers/main/proof/consistency", &["from=1", "from=1&to=3", "from=21&to=21"]),
    ("/v1/ledgers/main/sessions/s-1", &["limit=3", "after=4", "after=2&limit=1"]),
    (
        "/v1/ledgers/main/export",
        &["after=100000000", "format=csv&after=100000000&content=withheld"],
    ),
    ("/v1/ledgers/main/accesses", &["limit=2", "limit=2&after=20"]),
    ("/v1/ledgers/main/searches", &[""]),
    ("/v1/ledgers/main/searches/siem", &[""]),
    ("/v1/ledgers/main/searches/siem/poll", &["limit=2", "after=20&limit=3&content=withheld"]),
    ("/v1/tokens", &[""]),
    ("/tlog/main/checkpoint", &[""]),
    ("/tlog/main/checkpoints", &[""]),
    ("/tlog/main/log.vkey", &[""]),
    ("/tlog/main/archive.json", &[""]),
    ("/tlog/main/tile/0/000.p/21", &[""]),
    ("/tlog/main/tile/entries/000.p/7", &[""]),
    ("/tlog/main/content/000.p/3", &[""]),
    ("/healthz", &[""]),
    ("/readyz", &[""]),
    ("/openapi.json", &[""]),
];

/// A valid request, of any route.
pub(super) fn valid(rng: &mut Rng, server: &Server, case: u64) -> Case {
    let token = if rng.one_in(6) { rng.pick(&server.tokens) } else { &server.tokens[0] };
    let mut request = Case {
        method: "GET".to_owned(),
        target: String::new(),
        headers: vec![("authorization".to_owned(), format!("Bearer {token}").into_bytes())],
        body: Vec::new(),
    };
    let mut json = |method: &str, target: &str, body: &Value| {
        method.clone_into(&mut request.method);
        target.clone_into(&mut request.target);
        request.headers.push(("content-type".to_owned(), b"application/json".to_vec()));
        request.body = body.to_string().into_bytes();
    };
    match rng.below(100) {
        0 => json("POST", "/v1/ledgers", &json!({ "name": format!("ledger-{}", case % 7) })),
        1..=3 => json(
            "POST",
            "/v1/tokens",
            &json!({ "name": "one", "roles": ["writer"], "ledgers": ["main"], "lifetime_seconds": 5 }),
        ),
        4 => json("DELETE", "/v1/tokens/tok_0011223344556677", &json!({})),
        5 => {
            let format = rng.pick(&["ndjson", "csv", "ocsf"]);
            json("PUT", "/v1/ledgers/main/searches/siem", &json!({ "format": format }));
        }
        6..=40 => {
            let (path, queries) = rng.pick(READS);
            let query = rng.pick(queries);
            let mark = if query.is_empty() { "" } else { "?" };
            request.target = format!("{path}{mark}{query}");
        }
        kind @ 41..=70 => {
            let proof = if kind % 2 == 0 { "?include=proof" } else { "" };
            json("POST", &format!("/v1/ledgers/main/records{proof}"), &record(rng, case, 0));
        }
        71..=85 => {
            let records = (0..=rng.below(4)).map(|place| record(rng, case, place));
            let records = records.collect();
            json("POST", "/v1/ledgers/main/records", &records);
        }
        _ => {
            json("POST", "/v1/ledgers/main/records", &json!(null));
            request.headers[1].1 = b"application/x-ndjson".to_vec();
            let records = (0..=rng.below(4)).map(|place| record(rng, case, place).to_string());
            request.body = records.collect::<Vec<_>>().join("\n").into_bytes();
        }
    }
    request
}

/// A record that the ledger would take, with the secret in its content.
fn record(rng: &mut Rng, case: u64, place: usize) -> Value {
    let mut record = rng.pick(&seeds::records()).clone();
    record["id"] = json!(format!("r-{case}-{place}"));
    record["content"]["text"] = json!(CANARY);
    record
}

/// The same request with one to three changes.
pub(super) fn mutated(rng: &mut Rng, mut case: Case) -> Case {
    for _ in 0..=rng.below(3) {
        match rng.below(10) {
            0..=4 if !case.body.is_empty() => body(rng, &mut case),
            0..=2 => case.target = path(rng, &case.target),
            3..=5 => case.target = query(rng, &case.target),
            6 => {
                let methods =
                    ["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "TRACE", "get", "X-ODD"];
                case.method = (*rng.pick(&methods)).to_owned();
            }
            _ => header(rng, &mut case),
        }
    }
    case
}

fn body(rng: &mut Rng, case: &mut Case) {
    match (rng.below(12), serde_json::from_slice::<Value>(&case.body)) {
        (0, _) => {
            let size = *rng.pick(&[1, 1_000, 1 << 20, (4 << 20) + 1]);
            case.body = case.body.iter().copied().cycle().take(size).collect();
        }
        (1, _) => case.body = [b"[".as_slice(), &case.body, b",", &case.body, b"]"].concat(),
        (2, _) => {
            let times = if case.body.len() < 8_192 { *rng.pick(&[2, 5, 1_025]) } else { 2 };
            case.body = [case.body.as_slice(), b"\n"].concat().repeat(times);
        }
        (3..=8, Ok(value)) => case.body = mutate::json(rng, &value),
        _ => mutate::bytes(rng, &mut case.body),
    }
}

fn path(rng: &mut Rng, target: &str) -> String {
    const SEGMENTS: &[&str] = &[
        "",
        ".",
        "..",
        "%2e%2e",
        "%2F",
        "%00",
        "%",
        "%zz",
        "%ff",
        "%C3%A9",
        "%F0%9F%98%80",
        "main",
        "MAIN",
        "tile",
        "entries",
        "x001",
        "000",
        "000.p",
        "256",
        "0",
        "64",
        "255",
        "-1",
        "+1",
        "1e3",
        "18446744073709551615",
        "99999999999999999999",
        "content",
        "checkpoint",
        "records",
        "a;b",
        "~",
        "*",
        "{ledger}",
        "canary%20of%20the%20mine%205f1c9e",
    ];
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut segments: Vec<String> = path.split('/').map(str::to_owned).collect();
    if segments.len() < 2 {
        segments.push(String::new());
    }
    let at = rng.below(segments.len() - 1) + 1;
    match rng.below(6) {
        0 | 1 => (*rng.pick(SEGMENTS)).clone_into(&mut segments[at]),
        2 => segments.insert(at, (*rng.pick(SEGMENTS)).to_owned()),
        3 => drop(segments.remove(at)),
        4 => segments[at] = segments[at].repeat(*rng.pick(&[2, 100, 3_000])),
        _ => {
            let mut bytes = std::mem::take(&mut segments[at]).into_bytes();
            mutate::bytes(rng, &mut bytes);
            segments[at] = String::from_utf8_lossy(&bytes).into_owned();
        }
    }
    let path = segments.join("/");
    if query.is_empty() { path } else { format!("{path}?{query}") }
}

fn query(rng: &mut Rng, target: &str) -> String {
    const NAMES: &[&str] =
        &["from", "to", "limit", "after", "include", "format", "x", "from[]", "%00", ""];
    const VALUES: &[&str] = &[
        "0",
        "1",
        "2",
        "21",
        "1000",
        "-1",
        "+1",
        "1.0",
        "0x1",
        "18446744073709551615",
        "18446744073709551616",
        "proof",
        "json",
        "tlog-proof",
        "",
        "%",
        "%ff",
        "%00",
        "canary+of+the+mine+5f1c9e",
        "a%26b",
        "=",
    ];
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = (0..*rng.pick(&[1, 1, 2, 3, 200])).map(|_| {
        let (name, value) = (rng.pick(NAMES), rng.pick(VALUES));
        format!("{name}={value}")
    });
    let pairs = pairs.collect::<Vec<_>>().join("&");
    if rng.one_in(3) { format!("{path}?{query}&{pairs}") } else { format!("{path}?{pairs}") }
}

fn header(rng: &mut Rng, case: &mut Case) {
    let token = case.headers.first().map(|header| header.1.clone()).unwrap_or_default();
    let token = String::from_utf8_lossy(&token).replace("Bearer ", "");
    let mut set = |name: &str, value: &[u8]| {
        case.headers.retain(|(known, _)| known != name);
        case.headers.push((name.to_owned(), value.to_vec()));
    };
    match rng.below(8) {
        0 | 1 => {
            let forms = [
                String::new(),
                "Bearer".to_owned(),
                "Bearer ".to_owned(),
                token.clone(),
                format!("bearer {token}"),
                format!("Bearer  {token}"),
                format!("Bearer {token}x"),
                format!("Bearer {}", &token[..token.len() / 2]),
                format!("Basic {token}"),
                format!("Bearer {CANARY}"),
                format!("Bearer {}", token.repeat(9)),
                format!("Bearer {token}, Bearer {token}"),
            ];
            set("authorization", rng.pick(&forms).as_bytes());
        }
        2 => {
            let types = [
                "",
                "application/json; charset=utf-7",
                "application/x-ndjson",
                "application/jsonl",
                "text/plain",
                "APPLICATION/JSON",
                ";",
                "application/problem+json",
                "multipart/form-data; boundary=x",
                CANARY,
            ];
            set("content-type", rng.pick(&types).as_bytes());
        }
        3 => {
            let lengths =
                ["0", "1", "-1", "4194305", "104857600", "18446744073709551616", "x", "1, 1"];
            set("content-length", rng.pick(&lengths).as_bytes());
        }
        4 => set("content-encoding", rng.pick(&["gzip", "identity", "br, gzip", ""]).as_bytes()),
        5 => {
            let long = "a".repeat(65);
            set(
                "x-request-id",
                rng.pick(&["mine-1", CANARY, "é", "<b>", &long, "", "a\tb"]).as_bytes(),
            );
        }
        6 => {
            let name = *rng.pick(&[
                "accept",
                "range",
                "if-none-match",
                "expect",
                "x-forwarded-for",
                "te",
                "host",
            ]);
            set(name, rng.pick(ODD).as_bytes());
        }
        _ => (0..200).for_each(|number| set(&format!("x-many-{number}"), CANARY.as_bytes())),
    }
}

/// The request, if the types of HTTP can hold it.
fn build(case: &Case) -> Option<Request<Body>> {
    let mut request = Request::builder().method(case.method.as_str()).uri(&case.target);
    for (name, value) in &case.headers {
        request = request.header(name, value.as_slice());
    }
    request.body(Body::from(case.body.clone())).ok()
}

#[test]
#[ignore = "run by another test, in a process of its own"]
fn mutated_requests() {
    count_panics();
    let server = Server::new();
    let cases = number("WHENCE_HOSTILE_CASES").unwrap_or(CASES);
    println!("seed {}, {cases} cases", seed());
    let before = AtomicU64::new(0);
    let statuses = in_parallel(cases, |number| {
        if number == cases / 5 {
            before.store(allocated(), Ordering::Relaxed);
        }
        one(&server, number)
    });
    let growth = allocated().saturating_sub(before.into_inner());
    println!("{statuses:?}, {} MiB more in memory", growth >> 20);
    server.still_works();

    assert!(statuses.get(&None).unwrap_or(&0) < &(cases / 10), "most cases have to be requests");
    assert!(statuses.get(&Some(201)) > Some(&(cases / 50)), "some have to get through");
    assert!(growth < GROWTH_MAX, "{growth} bytes more after {cases} requests");
}

/// Sends one case, looks at the answer, and gives the status of it, if it could be sent.
fn one(server: &Server, number: u64) -> Option<u16> {
    let mut rng = Rng::new(seed(), number);
    let case = valid(&mut rng, server, number);
    let case = if rng.one_in(20) { case } else { mutated(&mut rng, case) };
    let answer = server.send(build(&case)?);
    let Case { method, target, headers, body } = &case;
    // Whoever makes a token or a ledger is told its name; whoever reads content gets it.
    let asked = answer.status.is_success()
        && (method == "GET" || !target.starts_with("/v1/ledgers/main/records"));
    if let Some(fault) = server.fault(&answer, asked) {
        let body = String::from_utf8_lossy(&body[..body.len().min(4_000)]);
        panic!("case {number} of seed {}: {fault}\n{method} {target} {headers:?}\n{body}", seed());
    }
    Some(answer.status.as_u16())
}

#[test]
fn a_body_of_100_mb_is_refused_before_it_is_read() {
    const CHUNK: usize = 64 << 10;
    let server = Server::new();
    for announced in [true, false] {
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let chunks = std::iter::repeat_n(Bytes::from(vec![b' '; CHUNK]), 100 << 4);
        let chunks = chunks.map(move |chunk| {
            count.fetch_add(chunk.len(), Ordering::Relaxed);
            Ok::<_, Infallible>(chunk)
        });
        let mut request = Request::post("/v1/ledgers/main/records")
            .header("authorization", format!("Bearer {}", server.tokens[0]));
        if announced {
            request = request.header("content-length", 100 << 20);
        }
        let body = Body::new(Chunks(chunks));
        let answer = server.send(request.body(body).unwrap());
        assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(server.fault(&answer, false), None);
        let most = if announced { 0 } else { (4 << 20) + CHUNK };
        assert!(taken.load(Ordering::Relaxed) <= most, "{taken:?} bytes were read");
    }
}

/// A body made as it is read.
struct Chunks<I>(I);

impl<I: Iterator<Item = Result<Bytes, Infallible>> + Unpin> http_body::Body for Chunks<I> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::Poll::Ready(self.0.next().map(|chunk| chunk.map(Frame::data)))
    }
}

#[test]
fn json_nested_10_000_deep_is_refused() {
    let server = Server::new();
    let mut record = seeds::records().swap_remove(3);
    record["id"] = json!("deep");
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for place in ["content", "data", "labels", "user"] {
            let mut deep = record.clone();
            deep[place] = json!("HERE");
            let nested = format!("{}1{}", open.repeat(10_000), close.repeat(10_000));
            let content =
                if place == "content" { format!(r#"{{"text":{nested}}}"#) } else { nested };
            let body = deep.to_string().replace(r#""HERE""#, &content);
            for body in [body.clone(), format!("[{body}]"), content] {
                let answer = server.append_text(body);
                assert!(answer.status.is_client_error(), "{place}: {}", answer.status);
                assert_eq!(server.fault(&answer, false), None);
            }
        }
    }
    assert_eq!(server.audit().size, 21);
}
