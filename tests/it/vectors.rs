//! The vectors of `schema/vectors`: what every implementation has to accept and to refuse (SPEC 10).
//!
//! The inputs are tables below ([`formats`], [`records`], [`entries`], [`archives`]); what an
//! accepted input comes to is computed. `WHENCE_BLESS=1 cargo test --test it vectors` writes the
//! files. Without it the tests read them, hold this implementation to them, and hold the tables to
//! the files: a vector that changes is a format that changes.

#![expect(
    clippy::too_many_lines,
    clippy::needless_pass_by_value,
    clippy::similar_names,
    reason = "these are tables"
)]

mod archives;
mod entries;
mod example;
mod formats;
mod outcome;
mod records;
mod sealed;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

pub(crate) use outcome::outcome;

/// One input, and what becomes of it.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    /// Whether it has to be accepted.
    accept: bool,
    /// The rule that it keeps or breaks.
    rule: &'static str,
    /// In a sentence.
    what: &'static str,
    /// How the input is read.
    kind: &'static str,
    input: Value,
    /// For a refused record, where and why.
    refusal: Option<(&'static str, &'static str)>,
}

/// An input to accept.
pub(crate) fn accept(
    rule: &'static str,
    kind: &'static str,
    what: &'static str,
    input: impl Into<Value>,
) -> Vector {
    Vector { accept: true, rule, what, kind, input: input.into(), refusal: None }
}

/// An input to refuse.
pub(crate) fn reject(
    rule: &'static str,
    kind: &'static str,
    what: &'static str,
    input: impl Into<Value>,
) -> Vector {
    Vector { accept: false, rule, what, kind, input: input.into(), refusal: None }
}

impl Vector {
    /// Where and why a record is refused.
    pub(crate) fn at(self, pointer: &'static str, code: &'static str) -> Self {
        Self { refusal: Some((pointer, code)), ..self }
    }

    fn json(&self) -> Value {
        let expect = if self.accept {
            outcome(self.kind, &self.input)
                .unwrap_or_else(|why| panic!("{} {}: refused: {why:?}", self.rule, self.what))
        } else {
            match self.refusal {
                Some((pointer, code)) => json!({ "pointer": pointer, "code": code }),
                None => json!({}),
            }
        };
        json!({
            "rule": self.rule, "what": self.what, "type": self.kind,
            "input": self.input, "expect": expect,
        })
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schema/vectors")
}

fn blessing() -> bool {
    std::env::var_os("WHENCE_BLESS").is_some()
}

/// Every vector of the tables, by the path of its file.
fn made() -> BTreeMap<String, Value> {
    let all = [formats::vectors(), records::vectors(), entries::vectors()].concat();
    let mut files = BTreeMap::new();
    for vector in all {
        let side = if vector.accept { "accept" } else { "reject" };
        let rule = vector.rule.trim_start_matches("R-").to_lowercase();
        let path = (1..100)
            .map(|number| format!("{side}/{rule}-{}-{number:02}.json", vector.kind))
            .find(|path| !files.contains_key(path))
            .unwrap();
        files.insert(path, vector.json());
    }
    files
}

/// Every vector file that is there.
fn stored() -> BTreeMap<String, Value> {
    let mut files = BTreeMap::new();
    for side in ["accept", "reject"] {
        for file in fs::read_dir(folder().join(side)).unwrap().map(Result::unwrap) {
            let text = fs::read(file.path()).unwrap();
            let name = file.file_name().into_string().unwrap();
            files.insert(format!("{side}/{name}"), serde_json::from_slice(&text).unwrap());
        }
    }
    files
}

#[test]
fn the_vector_files_are_those_of_the_tables() {
    let made = made();
    if blessing() {
        for side in ["accept", "reject"] {
            drop(fs::remove_dir_all(folder().join(side)));
            fs::create_dir_all(folder().join(side)).unwrap();
        }
        for (path, vector) in &made {
            let text = format!("{}\n", serde_json::to_string_pretty(vector).unwrap());
            fs::write(folder().join(path), text).unwrap();
        }
    }
    let stored = stored();
    for (path, vector) in &made {
        assert_eq!(stored.get(path), Some(vector), "{path} is not what the tables make");
    }
    let extra: Vec<_> = stored.keys().filter(|path| !made.contains_key(*path)).collect();
    assert!(extra.is_empty(), "no table makes {extra:?}");
}

#[test]
fn every_vector_is_accepted_or_refused_as_it_says() {
    let mut seen = BTreeSet::new();
    for (path, vector) in stored() {
        let kind = vector["type"].as_str().unwrap();
        let found = outcome(kind, &vector["input"]);
        let what = &vector["what"];
        if path.starts_with("accept/") {
            let found = found.unwrap_or_else(|why| panic!("{path} ({what}) is refused: {why:?}"));
            assert_eq!(found, vector["expect"], "{path}: {what}");
        } else {
            let Err(errors) = found else { panic!("{path} ({what}) is accepted") };
            if vector["expect"].get("code").is_some() {
                assert!(errors.contains(&vector["expect"]), "{path}: {what}: {errors:?}");
            }
        }
        seen.insert(kind.to_owned());
    }
    assert!(seen.len() > 8, "only {seen:?}");
}

/// The second verifier was written from the specification alone, so that it agrees says that the
/// specification is complete.
#[test]
fn the_second_verifier_agrees_on_every_vector() {
    let Ok(python) = std::env::var("WHENCE_PYTHON") else {
        println!("skipped: WHENCE_PYTHON names no interpreter with the packages that it needs");
        return;
    };
    let script = folder().join("../../tools/verify.py");
    let output = Command::new(python).arg(script).arg("--vectors").arg(folder()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// A rule without vectors is a rule that nobody can check, and a vector of no rule explains nothing.
#[test]
fn every_rule_of_the_appendix_has_its_vectors() {
    let mut have = BTreeSet::new();
    for (path, vector) in stored() {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        have.insert((text("rule"), path.starts_with("accept/"), text("type")));
    }
    let archives = archives::rules();
    have.extend(archives.iter().map(|(rule, whole)| (rule.clone(), *whole, "archive".to_owned())));
    let mut missing = Vec::new();
    let mut rules = BTreeSet::new();
    for (rule, accept, reject) in appendix() {
        for (side, kind) in [(true, accept), (false, reject)] {
            // Every archive that is verified keeps every rule of archives.
            let kept = side && kind == "archive";
            if kind != "none" && !kept && !have.contains(&(rule.clone(), side, kind.clone())) {
                missing.push(format!("{rule} {}: {kind}", if side { "accept" } else { "reject" }));
            }
        }
        rules.insert(rule);
    }
    assert!(missing.is_empty(), "no vectors for {missing:#?}");
    for (rule, ..) in have {
        assert!(rules.contains(&rule), "{rule} has a vector and no row in appendix A");
    }
}

/// The rows of appendix A: rule, type to accept, type to refuse.
fn appendix() -> Vec<(String, String, String)> {
    let text = fs::read_to_string(folder().join("../SPEC.md")).unwrap();
    let (_, table) = text.split_once("## Appendix A").unwrap();
    let (table, _) = table.split_once("## Appendix B").unwrap();
    let mut rows = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| R-")) {
        let cells: Vec<_> = row.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let (first, last) = match cells[1].split_once(" to ") {
            Some((first, last)) => (first, last.parse::<u32>().unwrap()),
            None => (cells[1], 0),
        };
        let (name, number) = first.rsplit_once('-').unwrap();
        let number: u32 = number.parse().unwrap();
        for number in number..=last.max(number) {
            rows.push((format!("{name}-{number}"), cells[2].to_owned(), cells[3].to_owned()));
        }
    }
    assert!(rows.len() > 100, "appendix A was not found");
    rows
}
