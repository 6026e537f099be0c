//! `whence session`: who acted in a session, and what led to what.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::client::{Client, segment};
use super::output::Output;
use super::paint::{Forest, Ink, Line, Ways};
use crate::record::Timestamp;
use crate::record::shown::excerpt;

/// Records of one page.
const PAGE_RECORDS: usize = 500;
/// Characters of content that a line shows.
const EXCERPT_CHARS: usize = 60;

/// A record of the session, as far as it is shown.
#[derive(Debug, Deserialize)]
struct Record {
    id: String,
    seq: u64,
    entry: Entry,
    content: Vec<Content>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    kind: String,
    occurred_at: Timestamp,
    #[serde(default)]
    causes: Vec<Cause>,
    #[serde(default)]
    data: Value,
    user: Option<Named>,
    agent: Option<Named>,
    delegation: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Cause {
    rel: String,
    seq: u64,
}

#[derive(Debug, Deserialize)]
struct Content {
    #[serde(default)]
    value: Value,
    erased: bool,
}

/// Prints a session. As JSON, one page a line.
pub(super) fn session(client: &Client, id: &str, output: Output) -> anyhow::Result<()> {
    let first = client.in_ledger(&format!("sessions/{}?limit={PAGE_RECORDS}", segment(id)));
    let mut path = first.clone();
    let mut session = Session::new(output.colours());
    loop {
        let mut page = client.get(&path)?;
        let after = page.pointer("/records/list_metadata/after").and_then(Value::as_str);
        let after = after.map(|after| format!("{first}&after={}", segment(after)));
        if output.json {
            output.value(&page)?;
        } else {
            let records = page.pointer_mut("/records/data").map(Value::take);
            let records = records.context("the answer has no records")?;
            let records: Vec<Record> =
                serde_json::from_value(records).context("cannot read the records")?;
            for record in records {
                session.add(&record);
            }
        }
        match after {
            Some(after) => path = after,
            None => break,
        }
    }
    if output.json { Ok(()) } else { session.print(id, output) }
}

/// What is kept of a session's records: little enough for a long one.
struct Session {
    colours: bool,
    users: BTreeSet<String>,
    agents: BTreeSet<String>,
    delegations: BTreeSet<String>,
    kinds: BTreeMap<String, u64>,
    flags: BTreeMap<String, u64>,
    times: Option<(Timestamp, Timestamp)>,
    lines: BTreeMap<u64, Line>,
    /// Of each record its kind, and the record in whose branch it is shown.
    parents: BTreeMap<u64, (String, Option<u64>)>,
    roots: Vec<u64>,
    ways: BTreeMap<u64, Ways>,
}

impl Session {
    fn new(colours: bool) -> Self {
        Self {
            colours,
            users: BTreeSet::new(),
            agents: BTreeSet::new(),
            delegations: BTreeSet::new(),
            kinds: BTreeMap::new(),
            flags: BTreeMap::new(),
            times: None,
            lines: BTreeMap::new(),
            parents: BTreeMap::new(),
            roots: Vec::new(),
            ways: BTreeMap::new(),
        }
    }

    fn add(&mut self, record: &Record) {
        let entry = &record.entry;
        self.users.extend(entry.user.as_ref().map(|user| user.id.clone()));
        self.agents.extend(entry.agent.as_ref().map(|agent| match &agent.version {
            Some(version) => format!("{} {version}", agent.id),
            None => agent.id.clone(),
        }));
        self.delegations.extend(entry.delegation.clone());
        *self.kinds.entry(entry.kind.replace('_', " ")).or_default() += 1;
        for flag in &entry.flags {
            *self.flags.entry(flag.clone()).or_default() += 1;
        }
        let (begin, end) = self.times.unwrap_or((entry.occurred_at, entry.occurred_at));
        self.times = Some((begin.min(entry.occurred_at), end.max(entry.occurred_at)));

        let set_off = ["triggered_by", "completes", "handed_off_from"];
        let in_branch = |rel: &str| {
            entry
                .causes
                .iter()
                .find(|cause| cause.rel == rel && self.parents.contains_key(&cause.seq))
        };
        let cause = set_off.into_iter().find_map(in_branch);
        let parent = cause.map(|cause| self.branch_of(&entry.kind, cause.seq));
        let shown_by_place = cause.filter(|cause| parent == Some(Some(cause.seq)));
        let mut line = Line::new(self.colours).plain(&title(record));
        line = line.with(Ink::Faint, &format!("  seq {} [{}]", record.seq, record.id));
        for (rel, seqs) in self.notes(entry, shown_by_place) {
            line = line.with(Ink::Relation, &format!("  {}", rel.replace('_', " ")));
            line = line.with(Ink::Faint, &format!(" {}", seqs.join(", ")));
        }
        if !entry.flags.is_empty() {
            line = line.with(Ink::Warning, &format!("  flags: {}", entry.flags.join(", ")));
        }
        self.lines.insert(record.seq, line);
        let parent = parent.flatten();
        self.parents.insert(record.seq, (entry.kind.clone(), parent));
        match parent {
            Some(parent) => {
                let rel = cause.filter(|_| shown_by_place.is_some()).map(|cause| &cause.rel);
                let rel = rel.filter(|rel| *rel != "triggered_by").map(|rel| rel.replace('_', " "));
                self.ways.entry(parent).or_default().push((rel.unwrap_or_default(), record.seq));
            }
            None => self.roots.push(record.seq),
        }
    }

    /// In whose branch a record is shown that this cause set off: in the cause's own, but for a model
    /// that goes on from a tool's result. It stands beside the output that asked for the tool, or a
    /// long run would go one step deeper with each round.
    fn branch_of(&self, kind: &str, cause: u64) -> Option<u64> {
        let up = |seq: u64| self.parents.get(&seq).and_then(|(_, parent)| *parent);
        let is = |seq: u64, kind: &str| self.parents.get(&seq).is_some_and(|(of, _)| of == kind);
        if kind != "model_output" || !is(cause, "tool_result") {
            return Some(cause);
        }
        let output = up(cause).and_then(up).filter(|output| is(*output, "model_output"));
        output.map_or(Some(cause), up)
    }

    /// The causes that a record's place in the tree does not show, by their relation.
    fn notes<'a>(&self, entry: &'a Entry, shown: Option<&Cause>) -> BTreeMap<&'a str, Vec<String>> {
        let mut notes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for cause in &entry.causes {
            if shown.is_some_and(|shown| shown.seq == cause.seq && shown.rel == cause.rel) {
                continue;
            }
            let elsewhere =
                if self.parents.contains_key(&cause.seq) { "" } else { " of another session" };
            notes.entry(&cause.rel).or_default().push(format!("seq {}{elsewhere}", cause.seq));
        }
        notes
    }

    /// The records in their branches. Each has one only, so that none needs a home.
    fn forest<'a>(&self, blank: &'a Line) -> Forest<'a> {
        let (lines, ways) = (self.lines.clone(), self.ways.clone());
        Forest { lines, ways, homes: BTreeMap::new(), blank }
    }

    fn print(&self, id: &str, output: Output) -> anyhow::Result<()> {
        let line = || Line::new(self.colours);
        output.painted(&line().with(Ink::Heading, &format!("Session {id}")))?;
        let members =
            |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(", ");
        let counts = |counts: &BTreeMap<String, u64>| {
            counts.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
        };
        let times = self.times.map(|(begin, end)| format!("{begin} to {end}"));
        let head = [
            ("user", Ink::Mandate, members(&self.users)),
            ("agent", Ink::Plain, members(&self.agents)),
            ("delegation", Ink::Mandate, members(&self.delegations)),
            ("time", Ink::Plain, times.unwrap_or_default()),
            ("records", Ink::Plain, format!("{} ({})", self.lines.len(), counts(&self.kinds))),
            ("flags", Ink::Warning, counts(&self.flags)),
        ];
        for (name, ink, value) in head {
            let value = if value.is_empty() { "none" } else { &value };
            output.painted(&line().with(Ink::Faint, &format!("  {name:<11}")).with(ink, value))?;
        }
        output.line("")?;
        let blank = Line::new(self.colours);
        output.trees(&self.forest(&blank).trees(self.roots.iter().copied()))
    }
}

/// What a record is, in one line.
fn title(record: &Record) -> String {
    let text = |pointer: &str| record.entry.data.pointer(pointer).and_then(Value::as_str);
    let kind = record.entry.kind.replace('_', " ");
    let what = ["/tool", "/source", "/model/requested", "/op"].into_iter().find_map(text);
    let what = what.map(|what| format!(" {what}")).unwrap_or_default();
    let call = match (text("/method"), text("/url")) {
        (Some(method), Some(url)) => format!(" {method} {url}"),
        _ => String::new(),
    };
    let said = record.content.first().map(|part| {
        if part.erased {
            return "  (erased)".to_owned();
        }
        let text = part.value.as_str().map_or_else(|| part.value.to_string(), ToOwned::to_owned);
        format!("  “{}”", excerpt(&text, EXCERPT_CHARS))
    });
    format!("{kind}{what}{call}{}", said.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn add(session: &mut Session, seq: u64, kind: &str, causes: &[(&str, u64)]) {
        let causes: Vec<_> =
            causes.iter().map(|(rel, seq)| json!({ "rel": rel, "seq": seq })).collect();
        let record = json!({
            "id": format!("r-{seq}"),
            "seq": seq,
            "content": [],
            "entry": {
                "kind": kind,
                "occurred_at": "2026-11-24T00:00:00Z",
                "causes": causes,
                "user": { "id": "alice@example.com", "type": "human" },
                "agent": { "id": "agent", "version": "2" },
                "flags": if seq == 9 { vec!["orphan_api_call"] } else { vec![] },
            },
        });
        session.add(&serde_json::from_value(record).unwrap());
    }

    #[test]
    fn the_rounds_of_a_run_stand_beside_each_other_and_other_causes_are_noted() {
        let mut session = Session::new(false);
        add(&mut session, 3, "prompt", &[]);
        add(&mut session, 4, "model_output", &[("triggered_by", 3)]);
        add(&mut session, 5, "tool_invocation", &[("triggered_by", 4), ("authorized_by", 1)]);
        add(&mut session, 6, "tool_result", &[("completes", 5)]);
        add(&mut session, 7, "model_output", &[("triggered_by", 6), ("informed_by", 3)]);
        add(&mut session, 8, "tool_invocation", &[("triggered_by", 7)]);
        add(&mut session, 9, "api_call", &[("triggered_by", 8)]);
        assert_eq!(session.agents, BTreeSet::from(["agent 2".to_owned()]));
        assert_eq!(session.flags, BTreeMap::from([("orphan_api_call".to_owned(), 1)]));
        let blank = Line::new(false);
        let trees = session.forest(&blank).trees(session.roots.iter().copied());
        let trees: String = trees.iter().map(ToString::to_string).collect();
        let expected = "\
prompt  seq 3 [r-3]
├── model output  seq 4 [r-4]
│   └── tool invocation  seq 5 [r-5]  authorized by seq 1 of another session
│       └── completes tool result  seq 6 [r-6]
└── model output  seq 7 [r-7]  informed by seq 3  triggered by seq 6
    └── tool invocation  seq 8 [r-8]
        └── api call  seq 9 [r-9]  flags: orphan_api_call
";
        assert_eq!(trees, expected);
    }

    #[test]
    fn a_run_of_a_thousand_rounds_stays_narrow() {
        let mut session = Session::new(false);
        add(&mut session, 0, "prompt", &[]);
        let mut before = ("triggered_by", 0);
        for round in 0..1_000 {
            let seq = 1 + 3 * round;
            add(&mut session, seq, "model_output", &[before]);
            add(&mut session, seq + 1, "tool_invocation", &[("triggered_by", seq)]);
            add(&mut session, seq + 2, "tool_result", &[("completes", seq + 1)]);
            before = ("triggered_by", seq + 2);
        }
        let blank = Line::new(false);
        let trees = session.forest(&blank).trees(session.roots.iter().copied());
        let text: String = trees.iter().map(ToString::to_string).collect();
        assert_eq!(text.lines().count(), 3_001);
        assert!(text.lines().all(|line| line.chars().count() < 100));
    }
}
