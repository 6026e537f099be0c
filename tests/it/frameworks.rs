//! Programs on real frameworks, clients and servers, against a live server: what they did is found in the
//! ledger, with its user and its causes, and once. See `tests/frameworks/README.md`.
//!
//! What they run on is installed by `tools/test`, which names the folder in `WHENCE_FRAMEWORKS`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::{Serving, text, whence};

/// How long a program may take, or its records to be there.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long a trace is quiet before it is told, in seconds.
const SETTLE: f32 = 0.3;

/// A server of its own for one program, and how to run that.
struct Stage {
    folder: TempDir,
    frameworks: PathBuf,
    server: Serving,
    token: String,
}

impl Stage {
    /// Nothing, and a word about it, where the frameworks are not installed.
    fn set() -> Option<Self> {
        let Some(frameworks) = std::env::var_os("WHENCE_FRAMEWORKS").map(PathBuf::from) else {
            println!("skipped: WHENCE_FRAMEWORKS names no folder with the frameworks");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        assert!(whence(folder.path(), &["init", "--data", "data"]).status.success());
        fs::write(
            folder.path().join("data/whence.toml"),
            format!("telemetry_settle = \"{SETTLE}\"\n"),
        )
        .unwrap();
        let token = fs::read_to_string(folder.path().join("data/admin.token")).unwrap();
        let server = Serving::start(folder.path(), &[]);
        Some(Self { folder, frameworks, server, token: token.trim().to_owned() })
    }

    /// Runs a program, and gives what it says.
    fn run(
        &self,
        program: &str,
        session: &str,
        environment: &[(&str, &str)],
        args: &[&str],
    ) -> Vec<Value> {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks");
        let mut command = if let Some(name) = program.strip_prefix("js/") {
            // A module finds what it imports beside itself.
            for file in fs::read_dir(sources.join("js")).unwrap() {
                let file = file.unwrap();
                if file.path().extension().is_some_and(|extension| extension == "mjs") {
                    self.place(&file.path(), &self.frameworks.join("js").join(file.file_name()));
                }
            }
            self.place(&sources.join("scenario.json"), &self.frameworks.join("scenario.json"));
            let mut command = Command::new("node");
            command.arg(self.frameworks.join("js").join(name));
            command
        } else {
            let mut command = Command::new(self.frameworks.join("python/bin/python"));
            command.arg(sources.join(program));
            command
        };
        let token = &self.token;
        command.current_dir(self.folder.path()).args(args);
        command.env("PYTHONDONTWRITEBYTECODE", "1").env("SCENARIO_SESSION", session);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &self.server.url);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer%20{token}"));
        command.env("WHENCE_URL", &self.server.url).env("WHENCE_TOKEN", token);
        command.env("WHENCE_SPOOL", self.folder.path().join("spool"));
        command.envs(environment.iter().copied());
        let output = command.output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{program}\n{stdout}\n{stderr}");
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Puts a file where another test may be putting it too.
    fn place(&self, from: &Path, to: &Path) {
        let own = self.folder.path().file_name().unwrap().to_string_lossy().into_owned();
        let new = to.with_extension(own);
        fs::copy(from, &new).unwrap();
        fs::rename(new, to).unwrap();
    }

    fn get(&self, path: &str) -> Option<Value> {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
        let request = agent.get(format!("{}/v1/ledgers/main{path}", self.server.url));
        let mut answer =
            request.header("authorization", format!("Bearer {}", self.token)).call().unwrap();
        let body = answer.body_mut().read_to_vec().unwrap();
        let found = answer.status().as_u16() == 200;
        found.then(|| serde_json::from_slice(&body).unwrap())
    }

    fn session(&self, id: &str) -> Vec<Told> {
        let Some(session) = self.get(&format!("/sessions/{id}?limit=1000")) else {
            return Vec::new();
        };
        session["records"]["data"].as_array().unwrap().iter().map(Told::of).collect()
    }

    /// The records of a session, once there are so many of each of these kinds. No more come.
    fn told(&self, session: &str, kinds: &[(&str, usize)]) -> Vec<Told> {
        let started = Instant::now();
        let enough =
            |told: &[Told]| kinds.iter().all(|(kind, count)| of_kind(told, kind).len() >= *count);
        while !enough(&self.session(session)) {
            let found = counted(&self.session(session));
            let log = self.server.log();
            assert!(started.elapsed() < PATIENCE, "{session}: {found:?} of {kinds:?}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
        // Whatever were told twice would be told when its trace is quiet.
        std::thread::sleep(Duration::from_secs_f32(4.0 * SETTLE));
        let told = self.session(session);
        let mut found = counted(&told);
        // Some frameworks tell which tools there are with each call of the model.
        if kinds.iter().all(|(kind, _)| *kind != CATALOG) {
            assert!(found.remove(CATALOG).is_none_or(|count| count == 1), "{told:#?}");
        }
        let expected: BTreeMap<_, _> =
            kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        assert_eq!(found, expected, "{told:#?}");
        told
    }

    /// The ids in the trace of why a record is there.
    fn why(&self, id: &str) -> String {
        self.get(&format!("/records/{id}/why")).unwrap().to_string()
    }
}

/// A record, as far as it is looked at.
#[derive(Debug)]
struct Told {
    id: String,
    entry: Value,
    content: BTreeMap<String, Value>,
}

impl Told {
    fn of(record: &Value) -> Self {
        let parts = record["content"].as_array().unwrap().iter();
        let part =
            |part: &Value| (part["name"].as_str().unwrap().to_owned(), part["value"].clone());
        Self {
            id: record["id"].as_str().unwrap().to_owned(),
            entry: record["entry"].clone(),
            content: parts.map(part).collect(),
        }
    }

    /// Its content as text.
    fn words(&self) -> String {
        json!(self.content).to_string()
    }

    fn follows(&self, rel: &str, cause: &Self) -> bool {
        let causes = self.entry["causes"].as_array().into_iter().flatten();
        causes.into_iter().any(|it| it["rel"] == rel && it["id"] == json!(cause.id))
    }
}

fn of_kind<'a>(told: &'a [Told], kind: &str) -> Vec<&'a Told> {
    told.iter().filter(|told| told.entry["kind"] == kind).collect()
}

fn counted(told: &[Told]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for told in told {
        *counts.entry(told.entry["kind"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

fn scenario() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frameworks/scenario.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const CATALOG: &str = "tool_catalog_snapshot";

/// What everybody plays, without what only some see.
const CONVERSATION: [(&str, usize); 4] =
    [("prompt", 3), ("model_output", 4), ("tool_invocation", 2), ("tool_result", 2)];

/// Looks for the conversation: who, what was said, which tools were called with what, and what followed
/// from what.
fn conversation(told: &[Told]) {
    let scenario = scenario();
    for record in told {
        assert_eq!(record.entry["user"]["id"], scenario["user"], "{record:#?}");
        assert_eq!(record.entry["user"]["type"], "human");
        assert!(record.entry["source"]["producer"].is_string());
    }
    let prompts = of_kind(told, "prompt");
    let of_role = |role: &str| -> Vec<&&Told> {
        prompts.iter().filter(|prompt| prompt.entry["data"]["role"] == role).collect()
    };
    let (users, systems) = (of_role("user"), of_role("system"));
    assert_eq!((users.len(), systems.len()), (2, 1), "{prompts:#?}");
    assert!(systems[0].words().contains(scenario["system"].as_str().unwrap()));
    for (prompt, words) in users.iter().zip(scenario["prompts"].as_array().unwrap()) {
        assert!(prompt.words().contains(words.as_str().unwrap()), "{prompt:#?}");
    }
    let outputs = of_kind(told, "model_output");
    for (output, words) in outputs[2..].iter().zip(scenario["answers"].as_array().unwrap()) {
        assert!(output.words().contains(words.as_str().unwrap()), "{output:#?}");
    }
    assert!(outputs[0].follows("triggered_by", users[0]), "{:#?}", outputs[0]);
    assert!(outputs[3].follows("triggered_by", users[1]), "{:#?}", outputs[3]);

    let invocations = of_kind(told, "tool_invocation");
    let results = of_kind(told, "tool_result");
    for (number, name) in ["lookup", "refund"].into_iter().enumerate() {
        let (call, invocation, result) = (&scenario[name], invocations[number], results[number]);
        assert_eq!(invocation.entry["data"]["tool"], call["tool"]);
        assert_eq!(invocation.entry["data"]["call_id"], call["call_id"], "{invocation:#?}");
        assert_eq!(invocation.content["arguments"], call["arguments"]);
        assert!(invocation.follows("triggered_by", outputs[number]), "{invocation:#?}");
        assert!(result.follows("completes", invocation), "{result:#?}");
        let next = outputs[number + 1];
        assert!(next.follows("informed_by", result) || next.follows("triggered_by", result));
    }
    let found = results[0].words().replace('\\', "");
    assert!(found.contains("shipped") && found.contains("42"), "{found}");
    assert!(results[1].words().contains(scenario["refund"]["error"].as_str().unwrap()));
}

/// Looks for the one call of the business API, and that its trace reaches the prompt.
fn api_call(stage: &Stage, told: &[Told]) {
    let [call] = *of_kind(told, "api_call") else { panic!("{told:#?}") };
    assert_eq!(call.entry["data"]["method"], "GET");
    assert_eq!(call.entry["data"]["status_code"], 200);
    assert!(call.entry["data"]["url"].as_str().unwrap().ends_with("/orders/A-1001"));
    assert!(call.follows("triggered_by", of_kind(told, "tool_invocation")[0]), "{call:#?}");
    let prompt = of_kind(told, "prompt").into_iter().find(|it| it.entry["data"]["role"] == "user");
    let why = stage.why(&call.id);
    assert!(why.contains(&prompt.unwrap().id), "{why}");
    let (second, words) = (scenario(), "prompts");
    assert!(
        !why.contains(second[words][1].as_str().unwrap()),
        "what came later is no cause: {why}"
    );
}

/// Plays the conversation on a framework that exports spans.
fn plays(program: &str, environment: &[(&str, &str)], args: &[&str]) {
    let Some(stage) = Stage::set() else { return };
    let said = stage.run(program, "s-1", environment, args);
    assert_eq!(said, [json!({ "answer": scenario()["answers"][1] })]);
    let told = stage.told("s-1", &[&CONVERSATION[..], &[("api_call", 1)]].concat());
    conversation(&told);
    api_call(&stage, &told);
    for result in of_kind(&told, "tool_result") {
        let failed = result.words().contains("refunds are closed");
        assert_eq!(result.entry["data"]["status"], if failed { "error" } else { "success" });
    }
}

#[test]
fn pydantic_ai_is_told_over_http() {
    plays("python/pydantic_ai_run.py", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], &[]);
}

#[test]
fn langgraph_is_told_over_grpc() {
    plays("python/langgraph_run.py", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], &[]);
}

#[test]
fn the_vercel_ai_sdk_is_told_as_json() {
    plays("js/vercel_ai.mjs", &[], &[]);
}

#[test]
fn the_vercel_ai_sdk_is_told_when_it_streams() {
    plays("js/vercel_ai.mjs", &[], &["--stream"]);
}

#[test]
fn the_clients_of_model_apis_are_told_of_by_the_gateway() {
    let Some(stage) = Stage::set() else { return };
    let said =
        stage.run("python/gateway_run.py", "s", &[], &[env!("CARGO_BIN_EXE_whence"), "gateway"]);
    assert_eq!(said.len(), 4);
    for one in said {
        assert_eq!(one["answer"], scenario()["answers"][1], "{one}");
        let told = stage.told(one["session"].as_str().unwrap(), &CONVERSATION);
        conversation(&told);
        for output in of_kind(&told, "model_output") {
            assert_eq!(output.entry["source"]["observed_by"], "llm_gateway");
            assert_eq!(output.entry["data"]["model"]["requested"], "scripted-1");
            assert_eq!(output.entry["data"]["model"]["served"], "scripted-1-2026");
            assert_eq!(output.entry["data"]["usage"]["input_tokens"], 10, "{output:#?}");
            assert_eq!(output.entry["agent"]["id"], "orders-agent");
        }
        let all = json!(told.iter().map(|told| &told.entry).collect::<Vec<_>>()).to_string();
        assert!(
            !all.contains("sk-upstream")
                && told.iter().all(|told| !told.words().contains("sk-upstream"))
        );
    }
}

/// What the reference server is asked through the proxy.
fn mcp(way: &str) {
    let Some(stage) = Stage::set() else { return };
    let user = scenario()["user"].as_str().unwrap().to_owned();
    let proxy = [
        way,
        env!("CARGO_BIN_EXE_whence"),
        "mcp",
        "--user",
        &user,
        "--session",
        "s-mcp",
        "--agent",
        "orders-agent",
    ];
    let through = stage.run("js/mcp.mjs", "s-mcp", &[], &proxy);
    let directly = stage.run("js/mcp.mjs", "s-none", &[], &[way]);
    assert_eq!(through, directly, "the client sees no difference");
    let kinds = [
        (CATALOG, 1),
        ("tool_invocation", 4),
        ("tool_result", 4),
        ("human_approval", 1),
        ("retrieval", 1),
    ];
    let told = stage.told("s-mcp", &kinds);
    for record in &told {
        assert_eq!(record.entry["user"]["id"], json!(user), "{record:#?}");
        assert_eq!(record.entry["source"]["observed_by"], "mcp_gateway");
    }
    let [catalog] = *of_kind(&told, CATALOG) else { panic!() };
    let listed = catalog.entry["data"]["tools"].as_array().unwrap();
    let mut names: Vec<_> = listed.iter().map(|tool| tool["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(json!(names), through[0]["tools"]);

    let expected = [
        ("echo", json!({ "message": "order A-1001" }), "success"),
        ("get-sum", json!({ "a": 40, "b": 2 }), "success"),
        ("no-such-tool", json!({}), "error"),
        ("trigger-elicitation-request", json!({}), "success"),
    ];
    let (invocations, results) = (of_kind(&told, "tool_invocation"), of_kind(&told, "tool_result"));
    for (number, (tool, arguments, status)) in expected.into_iter().enumerate() {
        let invocation = invocations[number];
        assert_eq!(invocation.entry["data"]["tool"], tool);
        assert_eq!(invocation.content["arguments"], arguments);
        let result = results.iter().find(|result| result.follows("completes", invocation)).unwrap();
        assert_eq!(result.entry["data"]["status"], status, "{result:#?}");
        let said = through[number + 1]["text"].as_str().unwrap();
        assert!(result.words().contains(said), "{said} {result:#?}");
    }
    let [approval] = *of_kind(&told, "human_approval") else { panic!() };
    assert!(approval.follows("about", invocations[3]), "{approval:#?}");
}

#[test]
fn a_server_of_mcp_is_told_of_over_standard_input_and_output() {
    mcp("stdio");
}

#[test]
fn a_server_of_mcp_is_told_of_over_http() {
    mcp("http");
}

/// Audit-log events by a client of `WorkOS`: what its caller is told, and what stands in the ledger.
fn emits(program: &str, names: [&str; 3]) {
    let Some(stage) = Stage::set() else { return };
    let said = stage.run(program, "s-app", &[], &[]);
    assert_eq!(said.len(), 6, "{said:?}");
    for one in &said[..3] {
        assert_eq!(*one, json!({ "success": true }));
    }
    let errors: Vec<_> = said[3..].iter().map(|one| one["error"].as_str().unwrap()).collect();
    assert_eq!(errors, names);
    assert!(said[3]["message"].as_str().unwrap().contains("Idempotency-Key"), "{said:?}");
    assert_eq!(said[4]["code"], "user_context_missing");
    assert!(said[4].to_string().matches("user_context_missing").count() > 1, "{said:?}");
    assert_eq!(
        (&said[5]["code"], &said[5]["errors"]),
        (&json!("event_invalid"), &json!(["field_too_long"]))
    );

    let told = stage.told("s-app", &[("app_event", 2)]);
    for event in &told {
        assert_eq!(event.entry["user"], json!({ "id": scenario()["user"], "type": "human" }));
        assert_eq!(event.entry["data"]["action"], "order.viewed");
        assert_eq!(event.entry["data"]["version"], 1);
        assert_eq!(event.content["metadata"], json!({ "session_id": "s-app", "paid": false }));
        assert_eq!(event.content["target_metadata"], json!([{ "total": 42.5 }]));
    }
}

#[test]
fn the_client_of_workos_for_python_emits_events() {
    emits("python/workos_run.py", ["ConflictError", "UnprocessableEntityError", "BadRequestError"]);
}

#[test]
fn the_client_of_workos_for_node_emits_events() {
    let names = ["ConflictException", "UnprocessableEntityException", "BadRequestException"];
    emits("js/workos.mjs", names);
}
