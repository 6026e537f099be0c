//! What the index takes from a record.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::Deserialize;
use serde_json::Value;
use tantivy::TantivyDocument;
use tantivy::schema::OwnedValue;

use super::schema::{BETWEEN, BODY, Fields};
use super::text::{fold, words};
use crate::canon::{keyed_lookup_key, sorted_to_bytes};
use crate::record::spans::{self, ERASED_PART};
use crate::record::{Kind, Timestamp};
use crate::store::StoredPart;

/// Bytes of the longest path by which a member is found. Words below a longer one are found as text.
pub(super) const PATH_BYTES_MAX: usize = 512;
/// Numbers of one record that are found by ranges, the first ones in the order of their paths. Each
/// path of the ledger takes a column of the index, so that a record must not bring any number of them.
pub(super) const NUMBERS_MAX: usize = 256;
/// Words that a text has at least if it is a document that is recognised elsewhere. Shorter ones are
/// the same by chance.
const DOCUMENT_WORDS_MIN: usize = 5;

/// A part of a record's content, with the name that its entry has for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    pub(super) stored: &'a StoredPart,
}

/// An entry as the index reads it. The store is believed: what is checked here is only what is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Indexed {
    agent: Option<Named>,
    #[serde(default)]
    content: Vec<PartName>,
    #[serde(default)]
    pub(super) data: Value,
    delegation: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    kind: Kind,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    occurred_at: Timestamp,
    received_at: Timestamp,
    pub(super) seq: u64,
    session: Option<Named>,
    trace: Option<Trace>,
    user: Option<Named>,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
}

#[derive(Debug, Deserialize)]
struct PartName {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Trace {
    trace_id: String,
}

impl Indexed {
    /// The content's parts with their names.
    pub(super) fn parts<'a>(
        &'a self,
        stored: &'a [StoredPart],
    ) -> impl Iterator<Item = Part<'a>> + Clone {
        let names = self.content.iter().map(|part| part.name.as_str());
        names.zip(stored).map(|(name, stored)| Part { name, stored })
    }

    /// What the index keeps of the record.
    pub(super) fn document(
        &self,
        fields: &Fields,
        secret: &[u8; 32],
        stored: &[StoredPart],
    ) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(fields.seq, self.seq);
        document.add_i64(fields.received, nanos(self.received_at));
        document.add_i64(fields.occurred, nanos(self.occurred_at));
        document.add_text(fields.kind, self.kind.as_str());
        for (field, named) in [
            (fields.user, &self.user),
            (fields.session, &self.session),
            (fields.agent, &self.agent),
        ] {
            if let Some(named) = named {
                document.add_text(field, &named.id);
            }
        }
        // A flag that was raised later is a record of its own, and found as what it raises.
        let raised = self.data.get("code").and_then(Value::as_str);
        let raised = raised.filter(|_| self.kind == Kind::Flag);
        for flag in self.flags.iter().map(String::as_str).chain(raised) {
            document.add_text(fields.flag, flag);
        }
        for (key, value) in &self.labels {
            document.add_text(fields.label, format!("{key}{BETWEEN}{}", fold(value)));
        }
        if let Some(delegation) = &self.delegation {
            document.add_text(fields.delegation, delegation);
        }
        if let Some(trace) = &self.trace {
            document.add_text(fields.trace, &trace.trace_id);
        }
        self.add_data(fields, &mut document);
        let mut members = Members { fields, document, numbers: Vec::new(), paths: BTreeSet::new() };
        members.add("data", &self.data);
        for part in self.parts(stored).filter(|_| !tells_of_the_log(self.kind)) {
            if let Some(value) = value_of(part) {
                members.add(&format!("content.{}", part.name), &value);
            }
        }
        let mut document = members.finish();
        for key in self.documents(secret, stored) {
            document.add_u64(fields.document, key);
        }
        document
    }

    /// The fields that the kind's data has.
    fn add_data(&self, fields: &Fields, document: &mut TantivyDocument) {
        let text = |pointer: &str| self.data.pointer(pointer).and_then(Value::as_str);
        for (field, pointer) in [
            (fields.tool, "/tool"),
            (fields.call_id, "/call_id"),
            (fields.method, "/method"),
            (fields.model, "/model/requested"),
            (fields.host, "/service"),
            (fields.url_path, "/operation"),
            (fields.delegation, "/delegation"),
        ] {
            if let Some(value) = text(pointer) {
                document.add_text(field, value);
            }
        }
        let (requested, served) = (text("/model/requested"), text("/model/served"));
        if let Some(served) = served.filter(|served| requested != Some(served)) {
            document.add_text(fields.model, served);
        }
        let url = text("/url").filter(|_| self.kind == Kind::ApiCall);
        if let Some((host, path)) = url.map(host_and_path) {
            document.add_text(fields.host, host);
            document.add_text(fields.url_path, path);
        }
        if let Some(status) = self.data.pointer("/status_code").and_then(Value::as_u64) {
            document.add_u64(fields.status, status);
        }
    }

    /// The earlier records whose content went with this one.
    pub(super) fn erased(&self, stored: &[StoredPart]) -> Vec<RangeInclusive<u64>> {
        if !tells_of_erasure(self.kind) {
            return Vec::new();
        }
        let list = self.parts(stored).find(|part| part.name == ERASED_PART).and_then(value_of);
        let spans = list.as_ref().and_then(Value::as_str).and_then(spans::parse);
        let earlier = |span: &RangeInclusive<u64>| *span.end() < self.seq;
        spans.unwrap_or_default().into_iter().filter(earlier).collect()
    }

    /// The keys of the documents that the record brings into a session, each once.
    ///
    /// A document is a string that came from outside, compared by its words, so that case, blanks and
    /// marks do not matter; or what a store calls a document, by its id.
    pub(super) fn documents(&self, secret: &[u8; 32], stored: &[StoredPart]) -> BTreeSet<u64> {
        let mut keys = BTreeSet::new();
        if !self.kind.is_untrusted_input() {
            return keys;
        }
        let mut text = |_: &str, leaf: &Value| {
            let Value::String(text) = leaf else { return };
            let mut folded = Vec::new();
            let mut count = 0;
            for word in words(text) {
                folded.extend_from_slice(word.folded.as_bytes());
                folded.push(b' ');
                count += 1;
            }
            if count >= DOCUMENT_WORDS_MIN {
                keys.insert(keyed_lookup_key(secret, &folded));
            }
        };
        for part in self.parts(stored) {
            if let Some(value) = value_of(part) {
                walk(&value, &mut String::new(), &mut text);
            }
        }
        let source = self.data.pointer("/source").and_then(Value::as_str).unwrap_or("");
        let listed = self.data.pointer("/documents").and_then(Value::as_array);
        for id in listed.into_iter().flatten().filter_map(|one| one.get("id")?.as_str()) {
            let name = [source.as_bytes(), b"\0", id.as_bytes()].concat();
            keys.insert(keyed_lookup_key(secret, &name));
        }
        keys
    }
}

/// Whether the content of records of this kind is what somebody asked the log, or lists of its records.
/// It is not found by its words: each search would find the ones before it.
const fn tells_of_the_log(kind: Kind) -> bool {
    matches!(kind, Kind::LogAccess | Kind::LogExport) || tells_of_erasure(kind)
}

/// Whether the content of records of this kind lists the records whose content went.
const fn tells_of_erasure(kind: Kind) -> bool {
    matches!(kind, Kind::Erasure | Kind::RetentionPurge)
}

/// Nanoseconds since 1970, as far as the index can count them: until 2262.
pub(super) fn nanos(time: Timestamp) -> i64 {
    i64::try_from(time.unix_nanos()).unwrap_or(i64::MAX)
}

/// The JSON of a part, unless it was erased.
pub(super) fn value_of(part: Part<'_>) -> Option<Value> {
    match part.stored {
        StoredPart::Kept { bytes, .. } => serde_json::from_slice(bytes).ok(),
        StoredPart::Erased => None,
    }
}

/// The name of the column with the numbers at a path. The index would make its own of dots and
/// backslashes, so others take their place.
pub(super) fn number_key(path: &str) -> String {
    path.replace('.', "\u{1f}").replace('\\', "\u{1e}")
}

/// Host and path of an absolute URL, without port and query. Like a browser it skips any number of
/// slashes before the host, and takes a backslash for a slash.
fn host_and_path(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\']);
    let (authority, rest) = rest.split_at(rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len()));
    let host = match authority.find(']') {
        Some(end) => authority.get(..=end),
        None => authority.split(':').next(),
    };
    (host.unwrap_or(authority), rest.split(['?', '#']).next().unwrap_or(rest))
}

/// Visits a value and every value in it, with its path: names of members, joined with dots. What
/// stands in an array has the array's path.
pub(super) fn walk<'v>(
    value: &'v Value,
    path: &mut String,
    visit: &mut impl FnMut(&str, &'v Value),
) {
    visit(path, value);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        Value::Array(values) => values.iter().for_each(|value| walk(value, path, visit)),
        Value::Object(members) => {
            let length = path.len();
            for (name, value) in members {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(name);
                walk(value, path, visit);
                path.truncate(length);
            }
        }
    }
}

/// The text of a string, a number or a truth value, as it stands in canonical JSON.
fn text_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(Cow::Borrowed(text)),
        Value::Bool(_) => Some(Cow::Owned(value.to_string())),
        // Doubles have a form of their own in canonical JSON.
        Value::Number(number) if number.is_f64() => {
            String::from_utf8(sorted_to_bytes(value).ok()?).ok().map(Cow::Owned)
        }
        Value::Number(number) => Some(Cow::Owned(number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Collects what is found by its words and by its path.
struct Members<'f> {
    fields: &'f Fields,
    document: TantivyDocument,
    numbers: Vec<(String, OwnedValue)>,
    paths: BTreeSet<String>,
}

impl Members<'_> {
    fn add(&mut self, root: &str, value: &Value) {
        let mut member = String::new();
        let mut path = root.to_owned();
        walk(value, &mut path, &mut |path, value| {
            let text = text_of(value);
            let is_body = path == BODY;
            if let Some(text) = &text {
                let field = if is_body { self.fields.body } else { self.fields.text };
                self.document.add_text(field, text);
            }
            if path.len() > PATH_BYTES_MAX {
                return;
            }
            if !self.paths.contains(path) {
                self.paths.insert(path.to_owned());
            }
            if let Some(text) = text.filter(|_| !is_body) {
                member.clear();
                member.extend([path, "\0", &text]);
                self.document.add_text(self.fields.member, &member);
            }
            if let Some(number) = value.as_f64()
                && self.numbers.len() < NUMBERS_MAX
            {
                self.numbers.push((path.to_owned(), OwnedValue::F64(number)));
            }
        });
    }

    fn finish(mut self) -> TantivyDocument {
        for path in &self.paths {
            self.document.add_text(self.fields.path, path);
        }
        if !self.numbers.is_empty() {
            // Several numbers of one path are values of one member.
            let mut object: BTreeMap<String, Vec<OwnedValue>> = BTreeMap::new();
            for (path, number) in self.numbers {
                object.entry(number_key(&path)).or_default().push(number);
            }
            let members = object.into_iter().map(|(path, all)| (path, OwnedValue::Array(all)));
            self.document.add_object(self.fields.number, members.collect());
        }
        self.document
    }
}
