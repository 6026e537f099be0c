//! The whole server in this process, with its memory and its panics watched.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use whence::access::{Role, Scope, TokenFile};
use whence::http::{App, Limits, new_token, router};
use whence::ledger::Environment;
use whence::ledger::archive::ArchiveMeta;
use whence::proof::TilePath;
use whence::record::Code;
use whence::verify::{Meta, Notes, Options, Report, Source, SourceError, read_checkpoints, verify};

use super::seeds;
use crate::log::{Seeded, Ticking, ledgers_in, main_ledger};

/// A secret in content, tokens, headers and paths. No id, name or label can hold it, because of its
/// spaces, so nothing may send it back but a call that reads content.
pub(super) const CANARY: &str = "canary of the mine 5f1c9e";

/// The codes that refusals have, beside those of records.
const CODES: &[&str] = &[
    "body_too_large",
    "body_unreadable",
    "encoding_unsupported",
    "json_invalid",
    "ledger_exists",
    "ledger_unknown",
    "media_type_unsupported",
    "method_not_allowed",
    "name_invalid",
    "no_records",
    "path_unknown",
    "query_invalid",
    "record_unknown",
    "request_invalid",
    "role_missing",
    "search_unknown",
    "session_unknown",
    "size_unknown",
    "tile_unknown",
    "token_invalid",
    "token_unknown",
    "token_unusable",
    "too_many_records",
    "too_many_searches",
];

/// Panics of this process since [`count_panics`].
static PANICS: AtomicU64 = AtomicU64::new(0);

/// Counts every panic of this process from now on, also those that a layer turns into an answer.
pub(super) fn count_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
}

/// Bytes that this process has allocated and not given back. What is resident would count the files of
/// the index too, and what the allocator keeps for later.
pub(super) fn allocated() -> u64 {
    crate::ALLOCATOR.current_usage().try_into().unwrap()
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A server whose ledger `main` holds a record of every kind.
pub(super) struct Server {
    pub(super) app: App,
    pub(super) runtime: tokio::runtime::Runtime,
    router: Router,
    /// A token for everything, and then one of each role for `main` alone.
    pub(super) tokens: Vec<String>,
    _folder: TempDir,
}

impl Server {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment =
            Environment { clock: Arc::new(Ticking::default()), random: Arc::new(Seeded::new(1)) };
        let ledgers = ledgers_in(folder.path(), None);
        ledgers.create(&main_ledger()).unwrap();
        let file = Arc::new(TokenFile::open(&folder.path().join("tokens.json")).unwrap());
        let all = [Role::Writer, Role::Investigator, Role::Auditor, Role::Admin];
        let mut wanted = vec![(BTreeSet::from(all), Scope::All)];
        let one = |role| (BTreeSet::from([role]), Scope::Ledgers(BTreeSet::from(["main".into()])));
        wanted.extend(all.map(one));
        let token = |(roles, scope)| {
            let Environment { clock, random } = &environment;
            let (token, grant) =
                new_token("test", roles, scope, random.as_ref(), clock.as_ref()).unwrap();
            file.add(&token, grant).unwrap();
            token.reveal().to_owned()
        };
        let tokens = wanted.into_iter().map(token).collect();
        let app = App::new(Arc::new(ledgers), file, &environment, Limits::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let server = Self { router: router(app.clone()), app, runtime, tokens, _folder: folder };
        let answer = server.append(&Value::from(seeds::records()));
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        server
    }

    pub(super) fn send(&self, request: Request<Body>) -> Answer {
        self.runtime.block_on(async {
            let response = self.router.clone().oneshot(request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = body.collect().await.unwrap().to_bytes().to_vec();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }

    fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.tokens[0]));
        self.send(request.body(body.into()).unwrap())
    }

    pub(super) fn append(&self, records: &Value) -> Answer {
        self.append_text(records.to_string())
    }

    pub(super) fn append_text(&self, body: String) -> Answer {
        self.call("POST", "/v1/ledgers/main/records", body)
    }

    /// What is wrong with an answer, if anything. Content may be in it where it was `asked` for.
    pub(super) fn fault(&self, answer: &Answer, asked: bool) -> Option<String> {
        let text = answer.text();
        if PANICS.load(Ordering::Relaxed) > 0 {
            return Some("a panic".to_owned());
        }
        if answer.status.is_server_error() {
            return Some(format!("{}: {text}", answer.status));
        }
        if self.tokens.iter().any(|token| text.contains(token.as_str())) {
            return Some(format!("it holds the token: {text}"));
        }
        let headers = format!("{:?}", answer.headers);
        if headers.contains(CANARY) || (text.contains(CANARY) && !asked) {
            return Some(format!("it holds the secret: {headers} {text}"));
        }
        if answer.status.is_success() || answer.body.is_empty() {
            return None;
        }
        no_problem(answer)
    }

    /// Audits the ledger as an auditor would, over the API.
    pub(super) fn audit(&self) -> Report {
        let report = verify(&Remote(self), &Options::default()).unwrap();
        assert_eq!(report.findings.listed, []);
        report
    }

    /// Shows that the ledger goes on after all that came before, and is still whole.
    pub(super) fn still_works(&self) {
        let size = self.audit().size;
        let mut record = seeds::records().swap_remove(0);
        record["id"] = "the-last-one".into();
        let answer = self.append(&record);
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        // The audit itself is logged, some time later.
        assert!(self.audit().size > size);
        assert_eq!(PANICS.load(Ordering::Relaxed), 0);
    }
}

/// Why an error is not one of the documented problems.
fn no_problem(answer: &Answer) -> Option<String> {
    let wrong = |what: &str| Some(format!("{what}: {} {}", answer.status, answer.text()));
    let header = |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if header("content-type") != Some("application/problem+json") {
        return wrong("no problem");
    }
    let Ok(problem) = serde_json::from_slice::<Value>(&answer.body) else {
        return wrong("no JSON");
    };
    let code = problem["code"].as_str().unwrap_or_default();
    if !CODES.contains(&code) && !Code::NAMES.contains(&code) {
        return wrong("another code");
    }
    let id = header("x-request-id");
    if id.is_none() || problem["request_id"].as_str() != id {
        return wrong("another request id");
    }
    let same = problem["status"] == answer.status.as_u16();
    if same { None } else { wrong("another status") }
}

/// The ledger `main` as the API shows it.
struct Remote<'a>(&'a Server);

impl Remote<'_> {
    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let answer = self.0.call("GET", &format!("/tlog/main/{name}"), Body::empty());
        (answer.status == StatusCode::OK).then_some(answer.body)
    }
}

impl Source for Remote<'_> {
    fn meta(&self) -> Result<Meta, SourceError> {
        let meta = serde_json::from_slice(&self.file("archive.json").unwrap_or_default())?;
        let ArchiveMeta { ledger, origin, size, .. } = meta;
        Ok(Meta { ledger, origin, size, part: None, withheld: false })
    }

    fn checkpoint(&self) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.file("checkpoint"))
    }

    fn checkpoints(&self) -> Result<Notes<'_>, SourceError> {
        Ok(read_checkpoints(Cursor::new(self.file("checkpoints").unwrap_or_default())))
    }

    fn read(&self, path: TilePath) -> Result<Option<Vec<u8>>, SourceError> {
        Ok(self.file(&path.to_string()))
    }
}
