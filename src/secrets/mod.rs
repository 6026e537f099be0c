//! Finds secrets in content, labels and URLs and replaces them, by rules that are data.
//!
//! What is sealed stays sealed, so a token that an agent pasted into a prompt has to go before anything
//! is hashed. Nearly all content has none: it is passed over at the speed of one search for all the
//! keywords at once ([`Found`]). Where a keyword is found, the patterns of its rules are tried on each
//! text. They run in linear time, whatever the text.
//!
//! In place of a secret stands `[redacted:<rule>]`. No error and no log line of this room has a word of
//! what it read.

mod rules;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex::Regex;
use serde_json::Value;

use crate::canon::Json;
use rules::{RULES, Rule, SECRET_NAMES};

/// How often a text is gone through again: what stood beside a secret can look like one without it.
const ROUNDS_MAX: usize = 8;
/// A text under the name of a secret that is shorter says nothing.
const NAMED_BYTES_MIN: usize = 8;
/// What takes the place of a text under the name of a secret.
const NAMED: &str = "[redacted:named-secret]";

/// All keywords, in one automaton.
static KEYWORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let keywords = RULES.iter().flat_map(|rule| rule.keywords);
    let mut builder = AhoCorasick::builder();
    builder.kind(Some(AhoCorasickKind::DFA)).build(keywords).ok()
});

/// The rule of each keyword.
static RULE_OF: LazyLock<Vec<usize>> = LazyLock::new(|| {
    let rules = RULES.iter().enumerate();
    rules.flat_map(|(place, rule)| rule.keywords.iter().map(move |_| place)).collect()
});

/// The patterns, in the order of the rules.
static PATTERNS: LazyLock<Vec<(Rule, Regex)>> = LazyLock::new(|| {
    // That every pattern is one is tested.
    RULES.iter().filter_map(|rule| Some((*rule, Regex::new(rule.pattern).ok()?))).collect()
});

/// The content part in `json`, which is in canonical form, without its secrets and in canonical form
/// again; `None` if it has none, which is the same as it was.
pub fn redact(json: &[u8]) -> Option<Vec<u8>> {
    let found = Found::in_bytes(json)?;
    let content: Json = serde_json::from_slice(json).ok()?;
    let mut value = content.as_value().clone();
    let changed = redact_value(&mut value, &found);
    changed.then(|| Json::from_value(value).to_bytes().ok()).flatten()
}

/// A text without its secrets; `None` if it has none.
pub fn redact_text(text: &str) -> Option<String> {
    let found = Found::in_bytes(text.as_bytes())?;
    without_secrets(text, &found)
}

/// The same for a text that stands under a name, which can tell that it is a secret.
pub fn redact_named(name: &str, text: &str) -> Option<String> {
    if is_named_secret(name, text) { Some(NAMED.to_owned()) } else { redact_text(text) }
}

/// The rules of which a keyword was found.
struct Found(BTreeSet<usize>);

impl Found {
    /// `None` if there is none.
    fn in_bytes(bytes: &[u8]) -> Option<Self> {
        let Some(keywords) = &*KEYWORDS else { return Some(Self((0..RULES.len()).collect())) };
        // Looking for the first one alone is what makes text without any fast.
        let first = keywords.find(bytes)?;
        let rest = bytes.get(first.start()..).unwrap_or(bytes);
        let hits = keywords.find_overlapping_iter(rest).map(|hit| hit.pattern().as_usize());
        let mut found: BTreeSet<_> =
            hits.filter_map(|pattern| RULE_OF.get(pattern).copied()).collect();
        found.retain(|place| {
            let also = RULES.get(*place).and_then(|rule| rule.also);
            also.is_none_or(|byte| rest.contains(&byte))
        });
        (!found.is_empty()).then_some(Self(found))
    }

    fn patterns(&self) -> impl Iterator<Item = &'static (Rule, Regex)> {
        self.0.iter().filter_map(|place| PATTERNS.get(*place))
    }
}

/// Replaces the secrets in every text of a value. Whether there was one.
fn redact_value(value: &mut Value, found: &Found) -> bool {
    match value {
        Value::String(text) => {
            without_secrets(text, found).map(|without| *text = without).is_some()
        }
        Value::Array(elements) => {
            let mut changed = false;
            for element in elements {
                changed |= redact_value(element, found);
            }
            changed
        }
        Value::Object(members) => {
            let mut changed = false;
            for (name, member) in members {
                changed |= redact_member(name, member, found);
            }
            changed
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn redact_member(name: &str, value: &mut Value, found: &Found) -> bool {
    if let Value::String(text) = value
        && is_named_secret(name, text)
    {
        NAMED.clone_into(text);
        return true;
    }
    redact_value(value, found)
}

/// Whether a text is a secret because of the name that it stands under.
fn is_named_secret(name: &str, text: &str) -> bool {
    text.len() >= NAMED_BYTES_MIN
        && names_a_secret(name)
        && !text.contains(char::is_whitespace)
        && !is_placeholder(text)
}

fn names_a_secret(name: &str) -> bool {
    let letters = name.chars().filter(|letter| !matches!(letter, '_' | '-'));
    let name: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    SECRET_NAMES.iter().any(|end| name.ends_with(end))
}

/// The text without what the found rules match; `None` if they match nothing.
fn without_secrets(text: &str, found: &Found) -> Option<String> {
    let mut current = replaced(text, found)?;
    for _ in 0..ROUNDS_MAX {
        // A replacement has no keyword of its own, so what is found now was there before.
        let Some(next) = replaced(&current, found) else { break };
        current = next;
    }
    Some(current)
}

/// One round of all rules.
fn replaced(text: &str, found: &Found) -> Option<String> {
    let mut current = None;
    for (rule, pattern) in found.patterns() {
        let text = current.as_deref().unwrap_or(text);
        if let Some(next) = replaced_by(text, rule, pattern) {
            current = Some(next);
        }
    }
    current
}

fn replaced_by(text: &str, rule: &Rule, pattern: &Regex) -> Option<String> {
    let mut out = String::new();
    let mut done = 0;
    for hit in pattern.captures_iter(text) {
        let Some(secret) = hit.get(1).or_else(|| hit.get(0)) else { continue };
        if is_placeholder(secret.as_str()) || entropy(secret.as_str()) < rule.entropy {
            continue;
        }
        out.push_str(text.get(done..secret.start())?);
        out.push_str("[redacted:");
        out.push_str(rule.id);
        out.push(']');
        done = secret.end();
    }
    if done == 0 {
        return None;
    }
    out.push_str(text.get(done..)?);
    Some(out)
}

/// Whether this stands for a secret, and is none: what documents and templates have.
fn is_placeholder(secret: &str) -> bool {
    let same = |first: char| secret.chars().all(|letter| letter == first);
    let small = secret.to_ascii_lowercase();
    secret.chars().next().is_none_or(same)
        || ["[redacted", "${", "{{", "<", "%(", "$("].iter().any(|start| secret.starts_with(start))
        || ["example", "xxxxxx", "your_", "your-", "changeme", "placeholder", "******"]
            .iter()
            .any(|word| small.contains(word))
}

/// Shannon's entropy of the bytes of a text, in bits for each.
fn entropy(text: &str) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX).max(1));
    let shares = counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / total);
    -shares.map(|share| share * share.log2()).sum::<f64>()
}
