//! Reads what matters of a message that is too large to keep: its id, its method, its tool.

use serde_json::{Map, Value};

/// The places of a message that are kept, by the names on the way there.
const KEPT: [&[&str]; 9] = [
    &["id"],
    &["method"],
    &["params", "name"],
    &["params", "uri"],
    &["params", "_meta", "traceparent"],
    &["params", "requestId"],
    &["result", "isError"],
    &["result", "resultType"],
    &["error", "code"],
];
/// Bytes of one value that is kept. A longer one is left out.
const VALUE_BYTES_MAX: usize = 512;
/// Names on the way to a value that is kept.
const DEPTH_MAX: usize = 3;

/// A reader of JSON that keeps a few short values and is fed the rest. It holds little however much it is
/// fed, and however deep that is nested.
#[derive(Debug, Default)]
pub(super) struct Skim {
    /// How many objects and arrays are open.
    depth: usize,
    /// The names that lead to the present value, one for each open object of the outermost.
    path: Vec<String>,
    /// Which of the outermost open values are objects.
    objects: Vec<bool>,
    /// The string or number that is being read, if it may matter.
    token: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// Whether a name is expected, in an object.
    at_name: bool,
    kept: Vec<(Vec<String>, Vec<u8>)>,
}

impl Skim {
    /// Reads on.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.step(*byte);
        }
    }

    /// The values that were kept, as a message that has nothing else.
    pub(super) fn message(mut self) -> Value {
        self.end_value();
        let mut message = Map::new();
        for (path, token) in self.kept {
            let Ok(value) = serde_json::from_slice::<Value>(&token) else { continue };
            put(&mut message, &path, value);
        }
        Value::Object(message)
    }

    fn step(&mut self, byte: u8) {
        if self.in_string {
            self.keep(byte);
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    self.end_string();
                }
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.token.clear();
                self.keep(byte);
            }
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => {
                self.end_value();
                self.close();
            }
            b',' => {
                self.end_value();
                self.at_name = self.objects.last().copied().unwrap_or(false);
            }
            b':' | b' ' | b'\t' | b'\r' | b'\n' => {}
            _ => self.keep(byte),
        }
    }

    fn keep(&mut self, byte: u8) {
        if self.depth <= DEPTH_MAX && self.token.len() <= VALUE_BYTES_MAX {
            self.token.push(byte);
        }
    }

    fn open(&mut self, object: bool) {
        // That a result or an error is there at all says that the message is an answer.
        if self.depth == 1 && object {
            self.kept_if_new(b"{}".to_vec());
        }
        self.depth += 1;
        if self.depth <= DEPTH_MAX {
            self.objects.push(object);
            self.path.push(String::new());
            self.at_name = object;
        }
        self.token.clear();
    }

    fn close(&mut self) {
        if self.depth <= DEPTH_MAX {
            self.objects.pop();
            self.path.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.token.clear();
        self.at_name = false;
    }

    fn end_string(&mut self) {
        if self.depth <= DEPTH_MAX && self.at_name {
            let name = serde_json::from_slice(&self.token).unwrap_or_default();
            if let Some(last) = self.path.last_mut() {
                *last = name;
            }
            self.at_name = false;
            self.token.clear();
        }
    }

    /// Keeps the value that ends here, if it is one of those that matter.
    fn end_value(&mut self) {
        let token = std::mem::take(&mut self.token);
        let short = !token.is_empty() && token.len() <= VALUE_BYTES_MAX;
        if self.depth <= DEPTH_MAX && short && KEPT.contains(&self.names().as_slice()) {
            self.kept.push((self.path.clone(), token));
            // A name that is given again and again must not fill the memory.
            self.kept.truncate(4 * KEPT.len());
        }
    }

    fn kept_if_new(&mut self, token: Vec<u8>) {
        if matches!(self.names().as_slice(), ["result" | "error" | "params"])
            && self.kept.iter().all(|(path, _)| *path != self.path)
        {
            self.kept.push((self.path.clone(), token));
        }
    }

    fn names(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }
}

/// Puts a value where a path leads, unless something else is on the way.
fn put(message: &mut Map<String, Value>, path: &[String], value: Value) {
    let Some((name, rest)) = path.split_first() else { return };
    if rest.is_empty() {
        message.insert(name.clone(), value);
        return;
    }
    let inside = message.entry(name.as_str()).or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(inside) = inside {
        put(inside, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn skimmed(text: &str) -> Value {
        let mut skim = Skim::default();
        // In pieces, as it comes.
        text.as_bytes().chunks(3).for_each(|piece| skim.feed(piece));
        skim.message()
    }

    #[test]
    fn what_matters_is_found_wherever_it_stands() {
        let call = json!({
            "method": "tools/call",
            "params": {
                "arguments": { "name": "wrong", "id": 5, "list": [{ "id": 6 }, [7]], "q": "\\\"}" },
                "name": "se\"nd",
                "_meta": { "traceparent": "00-x", "more": { "traceparent": "no" } },
            },
            "jsonrpc": "2.0",
            "id": "a,1",
        });
        let expected = json!({
            "id": "a,1",
            "method": "tools/call",
            "params": { "name": "se\"nd", "_meta": { "traceparent": "00-x" } },
        });
        assert_eq!(skimmed(&call.to_string()), expected);
        assert_eq!(skimmed(&serde_json::to_string_pretty(&call).unwrap()), expected);
        let answer = r#"{"id":12,"result":{"content":[{"isError":false}],"isError":true}}"#;
        assert_eq!(skimmed(answer), json!({ "id": 12, "result": { "isError": true } }));
        assert_eq!(skimmed(r#"{"result":{"a":1},"id":3}"#), json!({ "id": 3, "result": {} }));
    }

    #[test]
    fn nonsense_is_read_without_harm() {
        for text in ["", "}}}]]]", "{{{{{{{{\"id\":1", "[[[[", "\"", "{\"id\"", "{\"id\":", ":,:,"]
        {
            skimmed(text);
        }
        let deep = "[".repeat(100_000);
        skimmed(&deep);
        let again = format!("{{{}\"id\":9}}", "\"id\":1,".repeat(10_000));
        assert_eq!(skimmed(&again)["id"], json!(1));
        let long = format!("{{\"id\":\"{}\",\"method\":\"m\"}}", "x".repeat(10_000));
        assert_eq!(skimmed(&long), json!({ "method": "m" }));
    }
}
