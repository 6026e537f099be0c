//! Changes to valid input, the same for the same seed.

use serde_json::{Map, Value, json};

/// `SplitMix64`.
pub(super) struct Rng(u64);

impl Rng {
    /// The source of one case of a run.
    pub(super) const fn new(seed: u64, case: u64) -> Self {
        Self(seed ^ case.wrapping_mul(0xd134_2543_de82_ef95))
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end.max(1)).unwrap();
        usize::try_from(self.next() % end).unwrap()
    }

    pub(super) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    pub(super) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

/// Texts that parsers have tripped over.
pub(super) const ODD: &[&str] = &[
    "",
    "\0",
    "\n",
    "\r\n",
    "\t",
    "\u{7f}",
    "\u{85}",
    "\u{a0}",
    "\u{ad}",
    "e\u{301}",
    "\u{200b}",
    "\u{202e}gnp",
    "\u{2028}",
    "\u{feff}",
    "\u{fffd}",
    "\u{ffff}",
    "\u{1f468}\u{200d}\u{1f469}",
    "\u{10ffff}",
    "İıſK",
    "..",
    "../../etc/passwd",
    "%00",
    "%2e%2e%2f",
    "$(id)",
    "' OR 1=1 --",
    "<script>",
    "{{7*7}}",
    "\\",
    "\"",
    "-0",
    "NaN",
    "1e999",
    "18446744073709551616",
    "9007199254740993",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:60Z",
    "2026-02-30T25:61:00+99:99",
];

/// Changes bytes in one place.
pub(super) fn bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    let at = rng.below(bytes.len());
    let end = (at + rng.below(64) + 1).min(bytes.len());
    match rng.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        1 => {
            let new = rng.next().to_be_bytes();
            bytes.splice(at..at, new[..=rng.below(7)].iter().copied());
        }
        2 => drop(bytes.drain(at..end)),
        3 => {
            let times = rng.below(64) + 1;
            let again = bytes[at..end].repeat(times);
            bytes.splice(at..at, again);
        }
        4 => bytes.truncate(at),
        5 => {
            let other = rng.below(bytes.len());
            let copy = bytes[at..end].to_vec();
            bytes.splice(other..other, copy);
        }
        6 => drop(bytes.splice(at..end, rng.pick(ODD).bytes())),
        _ => drop(bytes.splice(at..at, rng.pick(ODD).bytes())),
    }
}

/// A JSON value with one to three changes, among them such as no value in memory can have.
pub(super) fn json(rng: &mut Rng, value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    let mut raws = Vec::new();
    for _ in 0..=rng.below(3) {
        let (place, other) = (rng.below(count(&value)), rng.below(count(&value)));
        let other = node(&mut value, other).clone();
        change(rng, node(&mut value, place), other, &mut raws);
    }
    let mut text = value.to_string();
    for (number, raw) in raws.iter().enumerate() {
        text = text.replace(&Value::from(stand_in(number)).to_string(), raw);
    }
    text.into_bytes()
}

/// What stands in a value for text that is put in when it is written.
fn stand_in(number: usize) -> String {
    format!("\u{e000}{number}\u{e000}")
}

fn change(rng: &mut Rng, node: &mut Value, other: Value, raws: &mut Vec<String>) {
    let old = node.clone();
    *node = match rng.below(10) {
        0 => rng
            .pick(&[json!(null), json!(true), json!(0), json!("text"), json!([]), json!({})])
            .clone(),
        1 => rng
            .pick(&[
                json!(u64::MAX),
                json!(i64::MIN),
                json!(9_007_199_254_740_992_u64),
                json!(f64::MAX),
                json!(5e-324),
                json!(65_536),
                json!(-1),
                json!(1.5),
            ])
            .clone(),
        2 => {
            let unit = rng.pick(&["x", "é", "\u{1f600}", "\u{1}", "\""]);
            let times = [41, 129, 257, 501, 2_049, 70_000];
            let times = if rng.one_in(40) { 1_100_000 } else { *rng.pick(&times) };
            json!(unit.repeat(times))
        }
        3 => json!(rng.pick(ODD)),
        4 => {
            let number = raws.len();
            raws.push(raw(rng, &old));
            json!(stand_in(number))
        }
        5 => {
            let depth = *rng.pick(&[1, 2, 63, 64, 65, 120]);
            let list = rng.one_in(2);
            (0..depth).fold(old, |inner, _| if list { json!([inner]) } else { json!({"a": inner}) })
        }
        6 => other,
        _ => restructure(rng, old, other),
    };
}

/// Changes the members of an object or the elements of an array.
fn restructure(rng: &mut Rng, node: Value, other: Value) -> Value {
    match node {
        Value::Array(mut elements) => {
            match rng.below(3) {
                0 => elements.push(other),
                1 => {
                    let times = *rng.pick(&[2, 33, 257, 1_025]);
                    elements = elements.iter().take(2).cycle().take(times).cloned().collect();
                }
                _ => drop(elements.pop()),
            }
            Value::Array(elements)
        }
        Value::Object(mut members) => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = if names.is_empty() { String::new() } else { rng.pick(&names).clone() };
            match rng.below(4) {
                0 => drop(members.remove(&name)),
                1 => {
                    let value = members.remove(&name).unwrap_or_default();
                    members.insert(format!("{name}{}", rng.pick(ODD)), value);
                }
                2 => drop(members.insert((*rng.pick(ODD)).to_owned(), other)),
                _ => {
                    let count = *rng.pick(&[2, 33, 51, 300]);
                    members.extend((0..count).map(|number| (format!("m{number}"), json!("v"))));
                }
            }
            Value::Object(members)
        }
        Value::String(text) => {
            let mut bytes = text.into_bytes();
            self::bytes(rng, &mut bytes);
            json!(String::from_utf8_lossy(&bytes))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => other,
    }
}

/// JSON text, or nearly, that no value is written as.
fn raw(rng: &mut Rng, node: &Value) -> String {
    if let (Value::Object(members), true) = (node, rng.one_in(2)) {
        return repeated(members);
    }
    match rng.below(12) {
        0 => "1e999".to_owned(),
        1 => "-0.0".to_owned(),
        2 => "9".repeat(*rng.pick(&[17, 20, 400, 20_000])),
        3 => format!("0.{}1e-{}", "0".repeat(500), "9".repeat(rng.below(30))),
        4 => r#""\ud800""#.to_owned(),
        5 => r#""\u0000\udfff\x""#.to_owned(),
        6 => "[".repeat(10_000),
        7 => format!("{}1{}", r#"{"a":"#.repeat(10_000), "}".repeat(10_000)),
        8 => format!("[{}0]", "0,".repeat(70_000)),
        9 => format!("{node},"),
        10 => (*rng.pick(&["nul", "NaN", "Infinity", "'a'", "/**/1", "01", "+1", ".5", "0x1"]))
            .to_owned(),
        _ => format!("\u{feff}{node} {node}"),
    }
}

/// An object with its first member twice.
fn repeated(members: &Map<String, Value>) -> String {
    let write =
        |(name, value): (&String, &Value)| format!("{}:{value}", Value::from(name.as_str()));
    let all: Vec<_> = members.iter().take(1).chain(members).map(write).collect();
    format!("{{{}}}", all.join(","))
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(elements) => elements.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// The value at a place in the order of writing.
fn node(value: &mut Value, place: usize) -> &mut Value {
    fn find<'a>(value: &'a mut Value, left: &mut usize) -> Option<&'a mut Value> {
        if *left == 0 {
            return Some(value);
        }
        *left -= 1;
        match value {
            Value::Array(elements) => elements.iter_mut().find_map(|element| find(element, left)),
            Value::Object(members) => members.values_mut().find_map(|member| find(member, left)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
    find(value, &mut place.clone()).unwrap()
}
