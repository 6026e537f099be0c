//! `whence why`: from a record back to what caused it, and a session in order.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::Value;

use super::client::{Client, segment};
use super::output::Output;

/// Records that a walk visits at most.
const VISITS_MAX: usize = 500;
/// Records of one page of a session.
const PAGE_RECORDS: usize = 500;
/// Characters of content that a line shows.
const EXCERPT_CHARS: usize = 60;

/// One record on the way back.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) depth: usize,
    pub(super) rel: String,
    pub(super) record: Value,
    /// Whether its causes were shown before.
    pub(super) seen: bool,
}

/// Prints what led to a record, as a tree.
pub(super) fn why(client: &Client, id: &str, output: Output) -> anyhow::Result<()> {
    let steps = walk(client, id)?;
    if output.json {
        let records: Vec<_> =
            steps.iter().filter(|step| !step.seen).map(|step| &step.record).collect();
        return output.value(&records);
    }
    for step in &steps {
        output.line(&describe(step))?;
    }
    Ok(())
}

/// Follows the causes of a record, each record's causes in their order, as far back as they go.
pub(super) fn walk(client: &Client, id: &str) -> anyhow::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![(0, String::new(), id.to_owned())];
    while let Some((depth, rel, id)) = waiting.pop() {
        anyhow::ensure!(steps.len() < VISITS_MAX, "more than {VISITS_MAX} records led to this one");
        let record = client.get(&client.in_ledger(&format!("records/{}", segment(&id))))?;
        let first = seen.insert(id);
        if first {
            let causes = record.pointer("/entry/causes").and_then(Value::as_array);
            for cause in causes.into_iter().flatten().rev() {
                let text = |name: &str| cause.get(name).and_then(Value::as_str).unwrap_or("");
                waiting.push((depth + 1, text("rel").to_owned(), text("id").to_owned()));
            }
        }
        steps.push(Step { depth, rel, record, seen: !first });
    }
    Ok(steps)
}

/// One line about a step.
pub(super) fn describe(step: &Step) -> String {
    let indent = match step.depth {
        0 => String::new(),
        depth => format!("{}└ {} ", "   ".repeat(depth - 1), step.rel.replace('_', " ")),
    };
    let again = if step.seen { "  (shown above)" } else { "" };
    format!("{indent}{}{again}", summary(&step.record))
}

/// What a record is, in one line.
pub(super) fn summary(record: &Value) -> String {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let kind = text("/entry/kind").unwrap_or("record").replace('_', " ");
    let id = text("/id").unwrap_or("");
    let data = ["/entry/data/tool", "/entry/data/source", "/entry/data/model/requested"];
    let what = data.into_iter().find_map(text).map(|what| format!(" {what}")).unwrap_or_default();
    let call = match (text("/entry/data/method"), text("/entry/data/url")) {
        (Some(method), Some(url)) => format!(" {method} {url}"),
        _ => String::new(),
    };
    let said = record
        .pointer("/content/0/value")
        .map(|value| format!("  {}", excerpt(value)))
        .unwrap_or_default();
    format!("{kind}{what}{call} [{id}]{said}")
}

fn excerpt(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= EXCERPT_CHARS {
        return format!("“{text}”");
    }
    format!("“{}…”", text.chars().take(EXCERPT_CHARS).collect::<String>())
}

/// Prints a session: one line a record, page by page. As JSON, one page a line.
pub(super) fn session(client: &Client, id: &str, output: Output) -> anyhow::Result<()> {
    let first = client.in_ledger(&format!("sessions/{}?limit={PAGE_RECORDS}", segment(id)));
    let mut path = first.clone();
    loop {
        let page = client.get(&path)?;
        print_page(&page, output)?;
        match page.pointer("/records/list_metadata/after").and_then(Value::as_str) {
            Some(after) => path = format!("{first}&after={}", segment(after)),
            None => return Ok(()),
        }
    }
}

fn print_page(page: &Value, output: Output) -> anyhow::Result<()> {
    if output.json {
        return output.value(page);
    }
    let records = page.pointer("/records/data").and_then(Value::as_array).context("no records")?;
    for record in records {
        let seq = record.get("seq").and_then(Value::as_u64).unwrap_or(0);
        output.line(&format!("{seq:>8}  {}", summary(record)))?;
    }
    Ok(())
}
