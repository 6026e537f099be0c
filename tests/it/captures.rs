//! Real bodies of real producers, replayed: what happened is found, linked, and found once.
//!
//! `cargo test --test it captures -- --nocapture` prints the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use whence::capture::otlp::mapping::{Form, ROLES, TABLE};
use whence::capture::otlp::{
    Encoding, Group, Item, Known, Sender, Signal, assemble, covers, decode, is_loose, sessions,
};

/// The captures, or a word that they are not there.
pub(crate) fn captures() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/otlp");
    if !folder.join("truth.json").exists() {
        println!("skipped: {} is not there", folder.display());
        return None;
    }
    Some(folder)
}

/// One body as it was posted.
pub(crate) struct Post {
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The variants, by their names.
pub(crate) fn variants(folder: &Path) -> BTreeMap<String, Vec<Post>> {
    let mut variants = BTreeMap::new();
    for producer in folders(folder) {
        for variant in folders(&producer) {
            let name = variant.strip_prefix(folder).unwrap().display().to_string();
            variants.insert(name, posts(&variant.join("raw")));
        }
    }
    assert!(variants.len() >= 25, "{} variants", variants.len());
    variants
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

fn posts(raw: &Path) -> Vec<Post> {
    let mut names: Vec<_> = raw.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.to_string_lossy().ends_with(".meta.json"));
    names.sort();
    let post = |meta: &PathBuf| {
        let meta: Value = serde_json::from_slice(&std::fs::read(meta).unwrap()).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Post {
            path: text(&meta["path"]),
            headers: meta["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|header| (text(&header[0]).to_lowercase(), text(&header[1])))
                .collect(),
            body: std::fs::read(raw.join(text(&meta["body_file"]))).unwrap(),
        }
    };
    names.iter().map(post).collect()
}

impl Post {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The items, if it is a signal that is recorded.
    fn items(&self) -> Vec<Item> {
        let signal = match self.path.as_str() {
            "/v1/traces" => Signal::Traces,
            "/v1/logs" => Signal::Logs,
            _ => return Vec::new(),
        };
        let json = self.header("content-type").unwrap().contains("json");
        let encoding = if json { Encoding::Json } else { Encoding::Protobuf };
        let decoded = decode(signal, encoding, &self.plain()).unwrap();
        assert_eq!(decoded.rejected, 0);
        decoded.items
    }

    /// The body, decompressed.
    pub(crate) fn plain(&self) -> Vec<u8> {
        if self.header("content-encoding") == Some("gzip") {
            let mut body = Vec::new();
            std::io::Read::read_to_end(
                &mut flate2::read::GzDecoder::new(&self.body[..]),
                &mut body,
            )
            .unwrap();
            body
        } else {
            self.body.clone()
        }
    }
}

/// A record, as far as it is compared.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) causes: Vec<(String, String)>,
    pub(crate) data: Value,
    pub(crate) content: Value,
    pub(crate) inferred: bool,
    pub(crate) absent: bool,
}

impl Seen {
    /// Of a record as it is posted.
    pub(crate) fn of(record: &Value) -> Self {
        let text = |pointer: &str| {
            record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let causes = record["causes"].as_array().cloned().unwrap_or_default();
        Self {
            id: text("/id"),
            kind: text("/kind"),
            user: text("/user/id"),
            session: text("/session/id"),
            causes: causes
                .iter()
                .map(|cause| {
                    (
                        cause["id"].as_str().unwrap().to_owned(),
                        cause["rel"].as_str().unwrap().to_owned(),
                    )
                })
                .collect(),
            data: record["data"].clone(),
            content: record["content"].clone(),
            inferred: text("/source/link_confidence") == "inferred",
            absent: text("/source/captured") == "absent",
        }
    }

    fn follows(&self, rel: &str, id: &str) -> bool {
        self.causes.iter().any(|(cause, known)| cause == id && known == rel)
    }
}

/// Tells the posts as the server does, in this process.
fn tell(posts: &[Post]) -> Vec<Seen> {
    let sender = Sender { producer: "test".into(), user: None, session: None, agent: None };
    let mut groups: BTreeMap<Group, Vec<Item>> = BTreeMap::new();
    for item in posts.iter().flat_map(Post::items) {
        groups.entry(item.group()).or_default().push(item);
    }
    let (loose, mut traces): (Vec<_>, Vec<_>) =
        groups.into_values().partition(|items| is_loose(items));
    for calls in loose {
        let mut around: Vec<_> = traces.iter_mut().filter(|trace| covers(trace, &calls)).collect();
        match around.len() {
            1 => around[0].extend(calls),
            _ => traces.push(calls),
        }
    }
    traces.sort_by_key(|items| items.iter().map(Item::start_ns).min());
    let mut known = Known::default();
    let mut told = Vec::new();
    for items in &traces {
        for session in sessions(items, &sender) {
            known.begin(&session);
        }
        let drafts = assemble(items, &sender, &mut known);
        for draft in drafts.iter().filter(|draft| draft.user.is_some()) {
            let event = whence::record::Event::try_from(draft.clone());
            assert!(event.is_ok(), "{:?}: {:?}", draft.id, event.err());
        }
        told.extend(drafts.iter().map(|draft| Seen::of(&serde_json::to_value(draft).unwrap())));
        assert!(assemble(items, &sender, &mut known).is_empty(), "told twice");
    }
    told
}

/// What was found of what happened.
#[derive(Debug, Default)]
pub(crate) struct Found {
    counts: BTreeMap<&'static str, (usize, usize)>,
    pub(crate) inferred: usize,
    pub(crate) absent: usize,
    pub(crate) extra: BTreeMap<&'static str, usize>,
    pub(crate) unattributed: usize,
}

const COLUMNS: [&str; 13] = [
    "prompt", "words", "output", "final", "call", "args", "result", "api", "p→o", "o→c", "c→r",
    "c→a", "r→o",
];

impl Found {
    fn expect(&mut self, what: &'static str, found: bool) {
        let count = self.counts.entry(what).or_default();
        count.0 += usize::from(found);
        count.1 += 1;
    }

    pub(crate) fn all(&self, what: &str) -> bool {
        self.counts.get(what).is_some_and(|(found, expected)| found == expected)
    }

    pub(crate) fn none(&self, what: &str) -> bool {
        self.counts.get(what).is_some_and(|(found, _)| *found == 0)
    }

    pub(crate) fn row(&self) -> String {
        let cells = COLUMNS.iter().map(|what| {
            let (found, expected) = self.counts.get(what).copied().unwrap_or_default();
            format!("{:>7}", format!("{found}/{expected}"))
        });
        format!(
            "{} {:>8} {:>7} {:>5} {:>4}",
            cells.collect::<String>(),
            self.inferred,
            self.absent,
            self.unattributed,
            self.extra.values().sum::<usize>(),
        )
    }
}

/// Compares records with what happened.
pub(crate) fn compare(truth: &Value, records: &[Seen]) -> Found {
    let mut found = Found::default();
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for run in truth.as_array().unwrap() {
        let of_run = |record: &&Seen| {
            record.user == run["user_id"].as_str().unwrap()
                && record.session == run["session_id"].as_str().unwrap()
        };
        let kind = |kind: &'static str| {
            records.iter().filter(of_run).filter(move |record| record.kind == kind)
        };
        compare_run(run, &kind, &mut used, &mut found);
    }
    for record in records {
        found.unattributed += usize::from(record.user.is_empty());
        found.inferred += usize::from(record.inferred);
        found.absent += usize::from(record.absent);
        let kinds = ["prompt", "model_output", "tool_invocation", "tool_result", "api_call"];
        let kind = kinds.iter().find(|kind| **kind == record.kind);
        let system = record.data["role"] == "system";
        if !used.contains(record.id.as_str()) && !system && !record.user.is_empty() {
            *found.extra.entry(kind.unwrap_or(&"other")).or_default() += 1;
        }
    }
    found
}

fn compare_run<'r, I: Iterator<Item = &'r Seen>>(
    run: &Value,
    kind: &dyn Fn(&'static str) -> I,
    used: &mut BTreeSet<&'r str>,
    found: &mut Found,
) {
    let has_words = |record: &&Seen| record.content["text"] == run["prompt"];
    let of_user = |record: &&Seen| record.data["role"] == "user";
    let prompt = kind("prompt").filter(of_user).find(has_words).or_else(|| {
        kind("prompt")
            .filter(of_user)
            .find(|record| record.absent && !used.contains(record.id.as_str()))
    });
    found.expect("prompt", prompt.is_some());
    found.expect("words", prompt.is_some_and(|prompt| !prompt.absent));
    let outputs: Vec<&Seen> = prompt.map(|prompt| descendants(prompt, kind)).unwrap_or_default();
    used.extend(prompt.iter().map(|record| record.id.as_str()));
    used.extend(outputs.iter().map(|record| record.id.as_str()));
    let steps = usize::try_from(run["model_steps"].as_u64().unwrap()).unwrap();
    for step in 0..steps {
        found.expect("output", step < outputs.len());
        found.expect("p→o", step < outputs.len());
    }
    let last =
        outputs.last().map(|output| output.content["text"].as_str().unwrap_or_default().trim());
    found.expect("final", last == Some(run["final_output"].as_str().unwrap().trim()));
    for call in run["tool_calls"].as_array().unwrap() {
        compare_call(call, &outputs, kind, used, found);
    }
}

/// The outputs that a prompt led to, in the order in which they came about.
fn descendants<'r, I: Iterator<Item = &'r Seen>>(
    prompt: &'r Seen,
    kind: &dyn Fn(&'static str) -> I,
) -> Vec<&'r Seen> {
    let mut reached: Vec<&str> = vec![&prompt.id];
    let mut outputs = Vec::new();
    for output in kind("model_output") {
        let triggered = output
            .causes
            .iter()
            .any(|(id, rel)| rel == "triggered_by" && reached.contains(&id.as_str()));
        if triggered {
            reached.push(&output.id);
            outputs.push(output);
            for call in
                kind("tool_invocation").filter(|call| call.follows("triggered_by", &output.id))
            {
                reached.extend(
                    kind("tool_result")
                        .filter(|result| result.follows("completes", &call.id))
                        .map(|result| result.id.as_str()),
                );
            }
        }
    }
    outputs
}

fn compare_call<'r, I: Iterator<Item = &'r Seen>>(
    call: &Value,
    outputs: &[&'r Seen],
    kind: &dyn Fn(&'static str) -> I,
    used: &mut BTreeSet<&'r str>,
    found: &mut Found,
) {
    let step = usize::try_from(call["model_step"].as_u64().unwrap()).unwrap();
    let same = |record: &&Seen| record.data["tool"] == call["tool"];
    let args = |record: &&Seen| same_numbers(&record.content["arguments"], &call["args"]);
    let free = |record: &&Seen, used: &BTreeSet<&str>| !used.contains(record.id.as_str());
    let invocation =
        kind("tool_invocation").filter(same).filter(|record| free(record, used)).find(args);
    let invocation = invocation
        .or_else(|| kind("tool_invocation").filter(same).find(|record| free(record, used)));
    found.expect("call", invocation.is_some());
    found.expect("args", invocation.as_ref().is_some_and(args));
    let id = invocation.map_or("", |record| record.id.as_str());
    used.extend(invocation.map(|record| record.id.as_str()));
    let asked = outputs.get(step).is_some_and(|output| {
        invocation.is_some_and(|call| call.follows("triggered_by", &output.id))
    });
    found.expect("o→c", asked);
    let status = if call["tool_error"] == true { "error" } else { "success" };
    let result = kind("tool_result").find(|record| record.follows("completes", id));
    found.expect("result", result.is_some_and(|record| record.data["status"] == status));
    found.expect("c→r", result.is_some());
    used.extend(result.map(|record| record.id.as_str()));
    let next = outputs.get(step + 1).zip(result);
    found.expect(
        "r→o",
        next.is_some_and(|(output, result)| output.causes.iter().any(|(id, _)| *id == result.id)),
    );
    if let Some(api) = call["api_call"].as_array() {
        let is_call = |record: &&Seen| {
            record.data["method"] == api[0]
                && record.data["status_code"] == api[2]
                && record.data["url"]
                    .as_str()
                    .is_some_and(|url| url.ends_with(api[1].as_str().unwrap()))
        };
        let calls: Vec<_> =
            kind("api_call").filter(|record| free(record, used)).filter(is_call).collect();
        let linked = calls.iter().find(|record| record.follows("triggered_by", id));
        found.expect("api", !calls.is_empty());
        found.expect("c→a", linked.is_some());
        used.extend(linked.or(calls.first()).map(|record| record.id.as_str()));
    }
}

/// Whether two values are the same where `500.0` is `500`.
fn same_numbers(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same_numbers(a, b)))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_numbers(a, b))
        }
        _ => a == b,
    }
}

/// Variants that name no user anywhere. Their records are refused, and nobody is made up.
const NOBODY: [&str; 2] = ["google-adk/default-pb", "google-adk/experimental-spanonly-pb"];

/// Checks what was found of a variant: everything, but for what its bytes do not carry.
pub(crate) fn check(name: &str, found: &Found) {
    assert!(found.extra.is_empty(), "{name}: found twice, or made up: {:?}", found.extra);
    let hidden = name.contains("nocontent");
    for what in COLUMNS {
        let of_words = ["words", "args", "final"].contains(&what);
        if NOBODY.contains(&name) || (hidden && of_words) {
            assert!(found.none(what), "{name}: {what} was made up");
        } else {
            assert!(found.all(what), "{name}: {what} is missing");
        }
    }
    assert_eq!(NOBODY.contains(&name), found.unattributed > 30, "{name}");
}

/// Prints the table's first line, and what happened.
pub(crate) fn begin(folder: &Path) -> Value {
    let mut header = String::new();
    for what in COLUMNS {
        write!(header, "{what:>7}").unwrap();
    }
    println!("{:56} {header} inferred  absent nobody extra", "");
    serde_json::from_slice(&std::fs::read(folder.join("truth.json")).unwrap()).unwrap()
}

#[test]
fn what_happened_is_found_in_what_producers_sent() {
    let Some(folder) = captures() else { return };
    let truth = begin(&folder);
    for (name, posts) in variants(&folder) {
        let found = compare(&truth, &tell(&posts));
        println!("{name:56} {}", found.row());
        check(&name, &found);
    }
}

/// The names that are read, as the page on OpenTelemetry lists them.
fn names() -> String {
    let mut fields: Vec<(String, Vec<String>)> = Vec::new();
    let mut add =
        |what: String, name: String| match fields.iter_mut().find(|(known, _)| *known == what) {
            Some((_, names)) => names.push(name),
            None => fields.push((what, vec![name])),
        };
    for row in ROLES {
        let value = if row.value.is_empty() { "…" } else { row.value };
        add(format!("a span is: {}", spaced(row.role)), format!("`{}={value}`", row.name));
    }
    for row in TABLE {
        let name = match row.form {
            Form::Whole => format!("`{}`", row.name),
            Form::Flat => format!("`{}.N.…`", row.name),
            Form::Member(member) => format!("`{}` → `{member}`", row.name),
        };
        add(spaced(row.field), name);
    }
    let mut table =
        String::from("| what | from the first of these that says something |\n| --- | --- |\n");
    for (what, names) in fields {
        writeln!(table, "| {what} | {} |", names.join(", ")).unwrap();
    }
    table
}

/// A name as words.
fn spaced(name: impl std::fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{name:?}").chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

#[test]
fn the_page_lists_the_names_that_are_read() {
    const HEADING: &str = "## Which names are read\n\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/OTLP.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(HEADING).unwrap();
    let (prose, rest) = rest.split_once("| what |").unwrap();
    let after = rest.find("\n\n").map_or("", |end| &rest[end + 1..]);
    let current = format!("{before}{HEADING}{prose}{}{after}", names());
    if std::env::var_os("WHENCE_BLESS").is_some() {
        std::fs::write(&path, current).unwrap();
    } else {
        assert!(page == current, "run with WHENCE_BLESS=1 to bring schema/OTLP.md up to date");
    }
}
