//! Vectors of the formats around entries: notes, checkpoints, proofs, tiles, bundles, times, JSON
//! (SPEC 1, 2.2, 2.3, 3.3, 4, 5 and 6.1).

use data_encoding::BASE64;
use ed25519_dalek::Signer;
use serde_json::{Value, json};
use whence::canon::{ContentDigest, Salt, TreeHash};
use whence::proof::{consistency, inclusion, root_at};
use whence::seal::{Checkpoint, Cosigner, SignedCheckpoint, SigningKey, TlogProof};

use super::outcome::hex;
use super::{Vector, accept, reject};
use crate::interop::Log;

pub(super) fn vectors() -> Vec<Vector> {
    [
        canonical_json(),
        times(),
        contents(),
        encodings(),
        keys(),
        signatures(),
        notes(),
        checkpoints(),
        proofs_of_inclusion(),
        proofs_of_consistency(),
        tile_paths(),
        bundles(),
        proof_files(),
        checkpoint_files(),
    ]
    .concat()
}

const ORIGIN: &str = "log.example/main";
const EM_DASH: char = '\u{2014}';

/// The key of the log of SPEC 1.4: its seed is 00 01 02 … 1f.
fn log_key() -> SigningKey {
    SigningKey::from_seed(&std::array::from_fn(|place| u8::try_from(place).unwrap()))
}

fn vkey() -> String {
    log_key().verifier_key(ORIGIN.parse().unwrap()).to_string()
}

fn witness() -> Cosigner {
    Cosigner::new("witness.example/w1".parse().unwrap(), SigningKey::from_seed(&[0x42; 32]))
}

fn log() -> Log {
    Log::new((0..300).map(|number| format!("entry {number}").into_bytes()))
}

fn signed(size: u64) -> SignedCheckpoint {
    let root = root_at(&log(), size).unwrap();
    Checkpoint::new(ORIGIN.parse().unwrap(), size, root).unwrap().sign(&log_key())
}

/// A note with any text, signed by a seed under any name: what an honest signer would not write.
fn note(text: &str, name: &str, seed: [u8; 32]) -> String {
    format!("{text}\n{}", line(text, name, seed))
}

fn line(text: &str, name: &str, seed: [u8; 32]) -> String {
    let signature = ed25519_dalek::SigningKey::from_bytes(&seed).sign(text.as_bytes()).to_bytes();
    let key = SigningKey::from_seed(&seed).verifier_key("x".parse().unwrap()).to_string();
    let key = BASE64.decode(key.splitn(3, '+').nth(2).unwrap().as_bytes()).unwrap();
    raw_line(name, &key_id(name, &key), &signature)
}

fn raw_line(name: &str, id: &[u8], signature: &[u8]) -> String {
    format!("{EM_DASH} {name} {}\n", BASE64.encode(&[id, signature].concat()))
}

/// The id of a key by R-KEY-3, of its type byte and its 32 bytes.
fn key_id(name: &str, key: &[u8]) -> [u8; 4] {
    let hash = whence::canon::digest::sha256(&[name.as_bytes(), b"\n", key]);
    hash[..4].try_into().unwrap()
}

/// A verifier key with any bytes, and the right id for them.
fn any_vkey(name: &str, key: &[u8]) -> String {
    format!("{name}+{}+{}", hex(&key_id(name, key)), BASE64.encode(key))
}

fn seed() -> [u8; 32] {
    std::array::from_fn(|place| u8::try_from(place).unwrap())
}

/// A note of three lines with anything in them, signed by the log.
fn own(origin: &str, size: &str, root: &str) -> Value {
    let text = format!("{origin}\n{size}\n{root}\n");
    with(&note(&text, origin, seed()), &[&name_vkey(origin)])
}

fn name_vkey(name: &str) -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&seed()).verifying_key();
    any_vkey(name, &[&[1], key.as_bytes().as_slice()].concat())
}

fn with(note: &str, vkeys: &[&str]) -> Value {
    json!({ "note": note, "vkeys": vkeys })
}

fn canonical_json() -> Vec<Vector> {
    const CANON: &str = "canon";
    vec![
        accept(
            "R-CANON-1",
            CANON,
            "names are sorted by UTF-16 code units",
            "{\"\\ufb33\":1,\"\\ud83d\\ude00\":2,\"b\":{\"z\":1,\"a\":2}, \"a\" : [ ] }",
        ),
        accept(
            "R-CANON-2",
            CANON,
            "strings escape what they have to and nothing else",
            "\"\\u0041\\/\\u00e9\\u2028\\u001f\\u007f\\b\\t\\n\\f\\r\\\"\\\\e\\u0301\"",
        ),
        accept(
            "R-CANON-3",
            CANON,
            "numbers are written as ECMAScript writes them",
            "[-0, 1.50, 1e3, 0.0000001, 0.000001, 1.7976931348623157e-300, 9007199254740991, \
             -9007199254740991, 5e-324, 0.1, 123456.789e-3, 333333333.33333329, 1e-27]",
        ),
        accept("R-JSON-10", CANON, "64 arrays nest", nested(64, "[", "]")),
        reject("R-JSON-10", CANON, "65 arrays nest", nested(65, "[", "]")),
        reject("R-JSON-10", CANON, "the 65th level is an empty object", {
            format!("{}{{}}{}", "[".repeat(64), "]".repeat(64))
        }),
        reject(
            "R-JSON-2",
            CANON,
            "a name is repeated, written in two ways",
            r#"{"a":1,"\u0061":2}"#,
        ),
        reject("R-JSON-8", CANON, "half of a surrogate pair", r#""\ud800""#),
        reject("R-JSON-9", CANON, "an integer that a double cannot hold", "9007199254740992"),
        reject("R-JSON-9", CANON, "a large integer with an exponent", "1e300"),
        reject("R-JSON-9", CANON, "a number beyond a double", "1e999"),
        reject("R-JSON-1", CANON, "a comma too many", "[1,]"),
        reject("R-JSON-1", CANON, "a word that is not of JSON", "NaN"),
        reject("R-JSON-1", CANON, "a number with a leading zero", "01"),
        reject("R-JSON-1", CANON, "a control character in a string", "\"a\tb\""),
        reject("R-JSON-1", CANON, "a byte order mark", "\u{feff}1"),
        reject("R-JSON-1", CANON, "a second value", "1 2"),
        reject("R-JSON-1", CANON, "a string that is not UTF-8", json!({ "hex": "22ff22" })),
    ]
}

fn nested(depth: usize, open: &str, close: &str) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

fn times() -> Vec<Vector> {
    const TIME: &str = "timestamp";
    let mut all = vec![
        accept("R-TIME-1", TIME, "a time with an offset", "2026-11-24T01:06:14+01:00"),
        accept("R-TIME-1", TIME, "the offset -00:00", "2026-11-24T00:06:14-00:00"),
        accept("R-TIME-1", TIME, "nine digits of a second", "2026-02-28T23:59:59.999999999Z"),
        accept("R-TIME-1", TIME, "a leap day", "2028-02-29T00:00:00Z"),
        accept("R-TIME-2", TIME, "the first moment", "1970-01-01T00:00:00Z"),
        accept("R-TIME-2", TIME, "the last moment", "9999-12-31T23:59:59.999999999Z"),
        accept("R-TIME-3", TIME, "zeros at the end of a fraction go", "2026-11-24T00:06:14.120Z"),
        accept("R-TIME-3", TIME, "a fraction of zero goes", "2026-11-24T00:06:14.000Z"),
        reject("R-TIME-2", TIME, "before 1970 in UTC", "1970-01-01T00:00:00+00:01"),
        reject("R-TIME-2", TIME, "after 9999 in UTC", "9999-12-31T23:59:59-00:01"),
    ];
    let wrong = [
        ("a lower-case t", "2026-11-24t00:06:14Z"),
        ("a lower-case z", "2026-11-24T00:06:14z"),
        ("a space in place of T", "2026-11-24 00:06:14Z"),
        ("no offset", "2026-11-24T00:06:14"),
        ("a leap second", "2026-12-31T23:59:60Z"),
        ("the hour 24", "2026-11-24T24:00:00Z"),
        ("a day that does not exist", "2026-02-29T00:00:00Z"),
        ("ten digits of a second", "2026-11-24T00:06:14.1234567890Z"),
        ("a point without digits", "2026-11-24T00:06:14.Z"),
        ("a comma", "2026-11-24T00:06:14,5Z"),
        ("an offset of 24 hours", "2026-11-24T00:06:14+24:00"),
        ("an offset without a colon", "2026-11-24T00:06:14+0100"),
        ("five digits of a year", "12026-11-24T00:06:14Z"),
        ("a space at the end", "2026-11-24T00:06:14Z "),
        ("nothing", ""),
    ];
    all.extend(wrong.map(|(what, text)| reject("R-TIME-1", TIME, what, text)));
    all
}

fn contents() -> Vec<Vector> {
    let digest = |salt: u8, text: &str| {
        let salt = Salt::from_bytes([salt; 32]);
        ContentDigest::of(&salt, text.as_bytes()).to_string()
    };
    let input = |salt: u8, text: &str, digest: String| json!({ "salt": hex(&[salt; 32]), "canonical": text, "digest": digest });
    let text = "\"Pay the invoice.\"";
    vec![
        accept("R-DIG-1", "content", "a short text", input(0x20, text, digest(0x20, text))),
        accept("R-DIG-1", "content", "a text of three blocks of BLAKE3", {
            let text = format!("\"{}\"", "abcdefgh".repeat(300));
            input(7, &text, digest(7, &text))
        }),
        reject("R-DIG-1", "content", "another salt", input(0x21, text, digest(0x20, text))),
        reject("R-DIG-1", "content", "no salt at all", {
            let unsalted = blake3::derive_key("whence v1 content", text.as_bytes());
            input(0x20, text, hex(&unsalted))
        }),
        reject("R-DIG-1", "content", "plain BLAKE3 of salt and text", {
            let plain = blake3::hash(&[&[0x20; 32], text.as_bytes()].concat());
            input(0x20, text, hex(plain.as_bytes()))
        }),
    ]
}

fn encodings() -> Vec<Vector> {
    const CHECKPOINT: &str = "checkpoint";
    let (three, root) = (signed(3), BASE64.encode(signed(3).checkpoint().root().as_bytes()));
    // The last digit before the padding holds two bits that belong to no byte.
    let position = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let last = root.chars().nth(42).unwrap();
    let next = position.chars().nth(position.find(last).unwrap() + 1).unwrap();
    let stray = format!("{}{next}=", &root[..42]);
    vec![
        accept("R-B64-1", CHECKPOINT, "a root in base64", with(&three.to_string(), &[&vkey()])),
        reject("R-B64-1", CHECKPOINT, "no padding", own(ORIGIN, "3", root.trim_end_matches('='))),
        reject("R-B64-1", CHECKPOINT, "bits after the last byte", own(ORIGIN, "3", &stray)),
        reject("R-B64-1", CHECKPOINT, "the alphabet for URLs", {
            let key = vkey();
            let bad = format!("{}-_8=", &key[..key.len() - 4]);
            with(&three.to_string(), &[&bad])
        }),
        accept(
            "R-DEC-1",
            CHECKPOINT,
            "a size of three digits",
            with(&signed(257).to_string(), &[&vkey()]),
        ),
        reject("R-DEC-1", CHECKPOINT, "a leading zero", own(ORIGIN, "03", &root)),
        reject("R-DEC-1", CHECKPOINT, "a sign", own(ORIGIN, "+3", &root)),
        reject("R-DEC-1", CHECKPOINT, "no digit", own(ORIGIN, "", &root)),
        reject("R-DEC-1", CHECKPOINT, "2^64", own(ORIGIN, "18446744073709551616", &root)),
        accept("R-TREE-3", CHECKPOINT, "an empty log", with(&signed(0).to_string(), &[&vkey()])),
        reject("R-TREE-3", CHECKPOINT, "an empty log with 32 zero bytes for a root", {
            own(ORIGIN, "0", &BASE64.encode(&[0; 32]))
        }),
        accept(
            "R-NAME-1",
            CHECKPOINT,
            "an origin outside ASCII",
            own("l\u{f6}g.example/\u{65e5}\u{672c}", "3", &root),
        ),
        reject(
            "R-NAME-1",
            CHECKPOINT,
            "an origin with a no-break space",
            own("log.example\u{a0}main", "3", &root),
        ),
        reject("R-NAME-1", CHECKPOINT, "an origin of 256 bytes", own(&"l".repeat(256), "3", &root)),
        reject(
            "R-NAME-1",
            CHECKPOINT,
            "an origin with U+0085",
            own("log.example\u{85}main", "3", &root),
        ),
    ]
}

fn keys() -> Vec<Vector> {
    const CHECKPOINT: &str = "checkpoint";
    let note = signed(3).to_string();
    let name = ORIGIN;
    let public = *ed25519_dalek::SigningKey::from_bytes(&seed()).verifying_key().as_bytes();
    let typed = |kind: u8, key: &[u8]| any_vkey(name, &[&[kind], key].concat());
    let cosigned = signed(3).with_own_cosignature(&witness(), 1_760_000_000).unwrap().to_string();
    let mut all = vec![
        accept("R-KEY-1", CHECKPOINT, "a verifier key", with(&note, &[&vkey()])),
        reject("R-KEY-1", CHECKPOINT, "an id in capitals", {
            let key = vkey();
            let mut parts: Vec<_> = key.splitn(3, '+').map(str::to_owned).collect();
            parts[1] = parts[1].to_uppercase();
            with(&note, &[&parts.join("+")])
        }),
        reject(
            "R-KEY-1",
            CHECKPOINT,
            "a key of 31 bytes",
            with(&note, &[&typed(1, &public[..31])]),
        ),
        reject(
            "R-KEY-1",
            CHECKPOINT,
            "no name",
            with(&note, &[&any_vkey("", &[&[1], &public[..]].concat())]),
        ),
        accept("R-KEY-2", CHECKPOINT, "the key of a witness beside the log's", {
            with(&cosigned, &[&vkey(), &witness().verifier_key().to_string()])
        }),
        reject("R-KEY-2", CHECKPOINT, "type 0x02", with(&note, &[&typed(2, &public)])),
        accept(
            "R-KEY-3",
            CHECKPOINT,
            "a key whose id is right",
            with(&signed(1).to_string(), &[&vkey()]),
        ),
        reject("R-KEY-3", CHECKPOINT, "a key with the id of another", {
            let other = SigningKey::from_seed(&[1; 32]).verifier_key(name.parse().unwrap());
            let (key, other) = (vkey(), other.to_string());
            let id = other.split('+').nth(1).unwrap();
            let rest = key.splitn(3, '+').nth(2).unwrap();
            with(&note, &[&vkey(), &format!("{name}+{id}+{rest}")])
        }),
        accept(
            "R-KEY-4",
            CHECKPOINT,
            "a key that is a point",
            with(&signed(2).to_string(), &[&vkey()]),
        ),
        reject("R-KEY-4", CHECKPOINT, "32 bytes that are no point", {
            let mut bytes = [0; 32];
            bytes[0] = 2;
            with(&note, &[&vkey(), &typed(1, &bytes)])
        }),
    ];
    let small = [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ];
    all.extend(small.map(|point| {
        let point = data_encoding::HEXLOWER.decode(point.as_bytes()).unwrap();
        let what = "a key of small order beside the log's";
        reject("R-KEY-4", CHECKPOINT, what, with(&note, &[&vkey(), &typed(1, &point)]))
    }));
    all
}

/// The order of the base point (RFC 8032 section 5.1), from the lowest byte.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn signatures() -> Vec<Vector> {
    const CHECKPOINT: &str = "checkpoint";
    let text = signed(3).checkpoint().to_string();
    let id = key_id(ORIGIN, &{
        let public = ed25519_dalek::SigningKey::from_bytes(&seed()).verifying_key();
        [&[1], public.as_bytes().as_slice()].concat()
    });
    let by = |signature: &[u8]| format!("{text}\n{}", raw_line(ORIGIN, &id, signature));
    let sign = |text: &str| {
        ed25519_dalek::SigningKey::from_bytes(&seed()).sign(text.as_bytes()).to_bytes()
    };
    let right = sign(&text);
    let malleable = {
        let order = data_encoding::HEXLOWER.decode(ORDER.as_bytes()).unwrap();
        let (mut bytes, mut carry) = (right, 0);
        for (place, limb) in order.iter().enumerate() {
            let sum = u16::from(bytes[32 + place]) + u16::from(*limb) + carry;
            bytes[32 + place] = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        bytes
    };
    let witness_key = witness().verifier_key().to_string();
    let cosigned = |time: u64, signed_time: u64| {
        let key = ed25519_dalek::SigningKey::from_bytes(&[0x42; 32]);
        let message = format!("cosignature/v1\ntime {signed_time}\n{text}");
        let public = [&[4], key.verifying_key().as_bytes().as_slice()].concat();
        let signature = key.sign(message.as_bytes()).to_bytes();
        let bytes = [time.to_be_bytes().as_slice(), &signature].concat();
        let name = "witness.example/w1";
        let line = raw_line(name, &key_id(name, &public), &bytes);
        with(&format!("{}{line}", by(&right)), &[&vkey(), &witness_key])
    };
    vec![
        accept("R-SIG-1", CHECKPOINT, "a signature of the text", with(&by(&right), &[&vkey()])),
        reject("R-SIG-1", CHECKPOINT, "a signature of the text without its last line feed", {
            with(&by(&sign(text.trim_end())), &[&vkey()])
        }),
        accept("R-SIG-2", CHECKPOINT, "a cosignature", cosigned(1_760_000_000, 1_760_000_000)),
        reject(
            "R-SIG-2",
            CHECKPOINT,
            "a cosignature of another time",
            cosigned(1_760_000_001, 1_760_000_000),
        ),
        reject("R-SIG-2", CHECKPOINT, "a cosignature at time 0", cosigned(0, 0)),
        reject("R-SIG-2", CHECKPOINT, "a cosignature at time 2^63", cosigned(1 << 63, 1 << 63)),
        accept("R-SIG-3", CHECKPOINT, "a strict signature", with(&by(&right), &[&vkey()])),
        reject(
            "R-SIG-3",
            CHECKPOINT,
            "the same with the order added to S",
            with(&by(&malleable), &[&vkey()]),
        ),
        accept("R-SIG-4", CHECKPOINT, "64 bytes of signature", with(&by(&right), &[&vkey()])),
        reject("R-SIG-4", CHECKPOINT, "63 bytes of signature", with(&by(&right[..63]), &[&vkey()])),
        reject(
            "R-SIG-4",
            CHECKPOINT,
            "65 bytes of signature",
            with(&by(&[&right[..], &[0]].concat()), &[&vkey()]),
        ),
    ]
}

fn notes() -> Vec<Vector> {
    const CHECKPOINT: &str = "checkpoint";
    let note = signed(3).to_string();
    let text = signed(3).checkpoint().to_string();
    let stranger = |number: u8| line(&text, "stranger.example", [number; 32]);
    let colliding = |number: u32| {
        let mut seed = [0; 32];
        seed[28..].copy_from_slice(&number.to_be_bytes());
        let key = SigningKey::from_seed(&seed).verifier_key(ORIGIN.parse().unwrap());
        (line(&text, ORIGIN, seed), key.to_string())
    };
    let ((one, one_key), (_, other_key)) = (colliding(63_313), colliding(81_665));
    let strangers = |count: u8| -> String { (0..count).map(stranger).collect() };
    vec![
        accept("R-NOTE-1", CHECKPOINT, "a note", with(&note, &[&vkey()])),
        reject(
            "R-NOTE-1",
            CHECKPOINT,
            "no line feed at the end",
            with(note.trim_end(), &[&vkey()]),
        ),
        reject(
            "R-NOTE-1",
            CHECKPOINT,
            "no empty line",
            with(&note.replace("\n\n", "\n"), &[&vkey()]),
        ),
        reject(
            "R-NOTE-1",
            CHECKPOINT,
            "an empty line after the signatures",
            with(&format!("{note}\n"), &[&vkey()]),
        ),
        accept("R-NOTE-2", CHECKPOINT, "a text of lines", with(&note, &[&vkey()])),
        reject(
            "R-NOTE-2",
            CHECKPOINT,
            "lines that end with CR LF",
            with(&note.replace('\n', "\r\n"), &[&vkey()]),
        ),
        accept("R-NOTE-3", CHECKPOINT, "100 signatures", {
            with(&format!("{note}{}", strangers(99)), &[&vkey()])
        }),
        reject("R-NOTE-3", CHECKPOINT, "101 signatures", {
            with(&format!("{note}{}", strangers(100)), &[&vkey()])
        }),
        reject("R-NOTE-3", CHECKPOINT, "no signature", with(&format!("{text}\n"), &[&vkey()])),
        reject(
            "R-NOTE-3",
            CHECKPOINT,
            "a hyphen for the dash",
            with(&note.replace(EM_DASH, "-"), &[&vkey()]),
        ),
        reject("R-NOTE-3", CHECKPOINT, "a signature of no bytes", {
            with(&format!("{note}{}", raw_line("stranger.example", &[1, 2, 3, 4], &[])), &[&vkey()])
        }),
        accept("R-NOTE-4", CHECKPOINT, "a stranger's signature beside the log's", {
            with(&format!("{note}{}", stranger(9)), &[&vkey()])
        }),
        reject("R-NOTE-4", CHECKPOINT, "signed by nobody known", {
            with(&format!("{text}\n{}", stranger(9)), &[&vkey()])
        }),
        reject("R-NOTE-4", CHECKPOINT, "a known witness that is wrong", {
            let line = line(&text, "w.example", [7; 32]);
            let key = SigningKey::from_seed(&[7; 32]).verifier_key("w.example".parse().unwrap());
            let other = signed(4).checkpoint().to_string();
            let wrong = crate::vectors::formats::line(&other, "w.example", [7; 32]);
            assert_ne!(line, wrong);
            with(&format!("{note}{wrong}"), &[&vkey(), &key.to_string()])
        }),
        accept("R-NOTE-5", CHECKPOINT, "one of two keys with one name and one id", {
            with(&format!("{text}\n{one}"), &[&one_key])
        }),
        reject("R-NOTE-5", CHECKPOINT, "both of two keys with one name and one id", {
            with(&format!("{text}\n{one}"), &[&one_key, &other_key])
        }),
    ]
}

fn checkpoints() -> Vec<Vector> {
    const CHECKPOINT: &str = "checkpoint";
    let three = signed(3);
    let root = BASE64.encode(three.checkpoint().root().as_bytes());
    let extended = format!("{}extension\n", three.checkpoint());
    let cosigned = signed(3).with_own_cosignature(&witness(), 1_760_000_000).unwrap().to_string();
    vec![
        accept("R-CKPT-1", CHECKPOINT, "three lines", with(&three.to_string(), &[&vkey()])),
        reject(
            "R-CKPT-1",
            CHECKPOINT,
            "an extension line",
            with(&note(&extended, ORIGIN, seed()), &[&vkey()]),
        ),
        reject("R-CKPT-1", CHECKPOINT, "two lines", {
            with(&note(&format!("{ORIGIN}\n3\n"), ORIGIN, seed()), &[&vkey()])
        }),
        accept(
            "R-CKPT-2",
            CHECKPOINT,
            "a root of 32 bytes",
            with(&signed(300).to_string(), &[&vkey()]),
        ),
        reject(
            "R-CKPT-2",
            CHECKPOINT,
            "a root of 31 bytes",
            own(ORIGIN, "3", &BASE64.encode(&[7; 31])),
        ),
        reject("R-CKPT-2", CHECKPOINT, "a root in hexadecimal", own(ORIGIN, "3", &hex(&[7; 32]))),
        accept(
            "R-CKPT-3",
            CHECKPOINT,
            "the root of nothing at size 0",
            with(&signed(0).to_string(), &[&vkey()]),
        ),
        reject("R-CKPT-3", CHECKPOINT, "another root at size 0", own(ORIGIN, "0", &root)),
        accept("R-CKPT-4", CHECKPOINT, "the log and a witness", {
            with(&cosigned, &[&witness().verifier_key().to_string(), &vkey()])
        }),
        reject("R-CKPT-4", CHECKPOINT, "a witness alone", {
            with(&cosigned, &[&witness().verifier_key().to_string()])
        }),
        reject("R-CKPT-4", CHECKPOINT, "the key of another log", {
            let text = three.checkpoint().to_string();
            let other = "log.example/other";
            with(&note(&text, other, seed()), &[&name_vkey(other)])
        }),
    ]
}

fn leaf(number: u64) -> TreeHash {
    TreeHash::leaf(format!("entry {number}").as_bytes())
}

fn proof_of_inclusion(index: u64, size: u64) -> Value {
    let log = log();
    json!({
        "leaf": leaf(index), "index": index, "size": size,
        "proof": inclusion(&log, index, size).unwrap(), "root": root_at(&log, size).unwrap(),
    })
}

/// An input with one member in another's place.
fn changed(mut input: Value, member: &str, value: impl Into<Value>) -> Value {
    input[member] = value.into();
    input
}

fn proofs_of_inclusion() -> Vec<Vector> {
    const INCLUSION: &str = "inclusion";
    let right = proof_of_inclusion(17, 300);
    let hashes = right["proof"].as_array().unwrap().clone();
    let longer = [hashes.clone(), vec![json!(leaf(1))]].concat();
    let mut all: Vec<_> =
        [(0, 1), (0, 2), (2, 3), (4, 5), (0, 256), (255, 256), (256, 257), (299, 300)]
            .into_iter()
            .map(|(index, size)| {
                accept("R-INCL-1", INCLUSION, "a leaf of a tree", proof_of_inclusion(index, size))
            })
            .collect();
    all.extend([
        accept("R-TREE-2", INCLUSION, "a tree of seven leaves", proof_of_inclusion(5, 7)),
        reject(
            "R-INCL-1",
            INCLUSION,
            "a hash too few",
            changed(right.clone(), "proof", hashes[1..].to_vec()),
        ),
        reject("R-INCL-1", INCLUSION, "a hash too many", changed(right.clone(), "proof", longer)),
        reject(
            "R-INCL-1",
            INCLUSION,
            "another leaf",
            changed(right.clone(), "leaf", json!(leaf(18))),
        ),
        reject("R-INCL-1", INCLUSION, "another index", changed(right.clone(), "index", 16)),
        reject(
            "R-INCL-1",
            INCLUSION,
            "an index beyond the tree",
            changed(right.clone(), "index", 300),
        ),
        reject("R-INCL-1", INCLUSION, "another size", changed(right.clone(), "size", 1)),
        reject("R-INCL-1", INCLUSION, "an empty tree", {
            json!({ "leaf": leaf(0), "index": 0, "size": 0, "proof": [], "root": leaf(0) })
        }),
        reject("R-TREE-1", INCLUSION, "a leaf hashed without its prefix", {
            let plain = hex(&whence::canon::digest::sha256(&[b"entry 17"]));
            changed(right, "leaf", plain)
        }),
        reject("R-TREE-2", INCLUSION, "the hashes of a node the other way round", {
            let root = TreeHash::node(&leaf(1), &leaf(0));
            json!({ "leaf": leaf(0), "index": 0, "size": 2, "proof": [leaf(1)], "root": root })
        }),
        reject("R-TREE-2", INCLUSION, "a node hashed without its prefix", {
            let (left, right) = (leaf(0), leaf(1));
            let root = whence::canon::digest::sha256(&[left.as_bytes(), right.as_bytes()]);
            let root = hex(&root);
            json!({ "leaf": leaf(0), "index": 0, "size": 2, "proof": [leaf(1)], "root": root })
        }),
    ]);
    all
}

fn proof_of_consistency(from: u64, to: u64) -> Value {
    let log = log();
    json!({
        "from": from, "from_root": root_at(&log, from).unwrap(),
        "to": to, "to_root": root_at(&log, to).unwrap(),
        "proof": consistency(&log, from, to).unwrap(),
    })
}

fn proofs_of_consistency() -> Vec<Vector> {
    const CONSISTENCY: &str = "consistency";
    let right = proof_of_consistency(7, 300);
    let hashes = right["proof"].as_array().unwrap().clone();
    let longer = [hashes.clone(), vec![json!(leaf(1))]].concat();
    let mut all: Vec<_> =
        [(1, 2), (1, 300), (3, 7), (4, 8), (6, 8), (255, 257), (256, 300), (299, 300)]
            .into_iter()
            .map(|(from, to)| {
                accept("R-CONS-1", CONSISTENCY, "a tree that grew", proof_of_consistency(from, to))
            })
            .collect();
    all.extend([
        reject(
            "R-CONS-1",
            CONSISTENCY,
            "a hash too few",
            changed(right.clone(), "proof", hashes[1..].to_vec()),
        ),
        reject("R-CONS-1", CONSISTENCY, "a hash too many", changed(right.clone(), "proof", longer)),
        reject(
            "R-CONS-1",
            CONSISTENCY,
            "another earlier root",
            changed(right.clone(), "from_root", json!(leaf(3))),
        ),
        reject(
            "R-CONS-1",
            CONSISTENCY,
            "another later root",
            changed(right, "to_root", json!(leaf(3))),
        ),
        reject("R-CONS-1", CONSISTENCY, "a tree that shrank", {
            let mut back = proof_of_consistency(3, 7);
            (back["from"], back["to"]) = (json!(7), json!(3));
            back
        }),
        accept("R-CONS-2", CONSISTENCY, "a tree that did not grow", proof_of_consistency(5, 5)),
        reject("R-CONS-2", CONSISTENCY, "two trees of one size", {
            changed(proof_of_consistency(5, 5), "to_root", json!(leaf(3)))
        }),
        reject("R-CONS-2", CONSISTENCY, "a proof where none is needed", {
            changed(proof_of_consistency(5, 5), "proof", vec![json!(leaf(3))])
        }),
        accept("R-CONS-3", CONSISTENCY, "from nothing", proof_of_consistency(0, 5)),
        reject("R-CONS-3", CONSISTENCY, "from nothing, with another root of nothing", {
            changed(proof_of_consistency(0, 5), "from_root", json!(leaf(0)))
        }),
        reject("R-CONS-3", CONSISTENCY, "from nothing, with a proof", {
            changed(proof_of_consistency(0, 5), "proof", vec![json!(leaf(0))])
        }),
    ]);
    all
}

fn tile_paths() -> Vec<Vector> {
    const PATH: &str = "tile_path";
    let mut all = vec![
        accept("R-TILE-1", PATH, "level 63", "tile/63/000"),
        accept("R-TILE-2", PATH, "one group", "tile/0/999"),
        accept("R-TILE-2", PATH, "three groups", "tile/entries/x001/x234/067"),
        accept("R-TILE-2", PATH, "the largest index", "content/x018/x446/x744/x073/x709/x551/615"),
        accept("R-TILE-3", PATH, "a width of 255", "tile/1/x001/000.p/255"),
        accept("R-TILE-4", PATH, "a partial content bundle", "content/000.p/1"),
    ];
    let wrong = [
        ("R-TILE-1", "level 64", "tile/64/000"),
        ("R-TILE-1", "a level with a leading zero", "tile/00/000"),
        ("R-TILE-1", "no level", "tile//000"),
        ("R-TILE-2", "two digits", "tile/0/00"),
        ("R-TILE-2", "a group more than needed", "tile/0/x000/001"),
        ("R-TILE-2", "a group without x", "tile/0/001/234"),
        ("R-TILE-2", "x before the last group", "tile/0/x001"),
        ("R-TILE-2", "2^64", "tile/0/x018/x446/x744/x073/x709/x551/616"),
        ("R-TILE-3", "a width of 0", "tile/0/000.p/0"),
        ("R-TILE-3", "a width of 256", "tile/0/000.p/256"),
        ("R-TILE-3", "a width with a leading zero", "tile/0/000.p/01"),
        ("R-TILE-3", "no width", "tile/0/000.p/"),
        ("R-TILE-4", "capitals", "tile/0/X001/000"),
        ("R-TILE-4", "a slash in front", "/tile/0/000"),
        ("R-TILE-4", "a slash at the end", "tile/0/000/"),
        ("R-TILE-4", "another kind of tile", "tile/data/000"),
        ("R-TILE-4", "a step back", "tile/0/../0/000"),
    ];
    all.extend(wrong.map(|(rule, what, path)| reject(rule, PATH, what, path)));
    all
}

fn bundles() -> Vec<Vector> {
    const BUNDLE: &str = "bundle";
    vec![
        accept(
            "R-NUM-1",
            BUNDLE,
            "a length of two bytes, the higher first",
            hex(&[&[1, 2], [7; 258].as_slice()].concat()),
        ),
        accept("R-BNDL-1", BUNDLE, "two entries", "000141000242430000"),
        accept("R-BNDL-1", BUNDLE, "no entry", ""),
        accept("R-BNDL-2", BUNDLE, "an entry to its last byte", "0003616263"),
        reject("R-BNDL-2", BUNDLE, "an end within an entry", "00036162"),
        reject("R-BNDL-2", BUNDLE, "an end within a length", "000361626300"),
        accept("R-BNDL-3", BUNDLE, "256 entries", "0000".repeat(256)),
        reject("R-BNDL-3", BUNDLE, "257 entries", "0000".repeat(257)),
    ]
}

fn proof_files() -> Vec<Vector> {
    const PROOF: &str = "tlog_proof";
    let proof = TlogProof::new(2, inclusion(&log(), 2, 5).unwrap(), &signed(5)).unwrap();
    let text = proof.to_string();
    let input = |proof: &str| json!({ "proof": proof, "leaf_hash": leaf(2), "vkeys": [vkey()] });
    let extra = |extra: &str| text.replacen('\n', &format!("\nextra {extra}\n"), 1);
    let (head, rest) = text.split_once("\n\n").unwrap();
    let hash = head.lines().last().unwrap();
    vec![
        accept("R-PROOF-1", PROOF, "a proof file", input(&text)),
        reject("R-PROOF-1", PROOF, "version 2", input(&text.replacen("@v1", "@v2", 1))),
        reject("R-PROOF-1", PROOF, "CR LF", input(&text.replacen('\n', "\r\n", 1))),
        reject("R-PROOF-1", PROOF, "an empty line too many in front of the checkpoint", {
            input(&text.replacen("\n\n", "\n\n\n", 1))
        }),
        accept("R-PROOF-2", PROOF, "something extra", input(&extra("aGVsbG8="))),
        reject("R-PROOF-2", PROOF, "nothing extra", input(&extra(""))),
        reject("R-PROOF-2", PROOF, "something extra, twice", {
            input(&extra("aGVsbG8=").replacen("extra", "extra aGVsbG8=\nextra", 1))
        }),
        reject("R-PROOF-2", PROOF, "more than 32,768 bytes extra", {
            input(&extra(&BASE64.encode(&vec![7; 32_769])))
        }),
        accept("R-PROOF-3", PROOF, "the proof of a tree of one leaf", {
            let one = TlogProof::new(0, Vec::new(), &signed(1)).unwrap().to_string();
            json!({ "proof": one, "leaf_hash": leaf(0), "vkeys": [vkey()] })
        }),
        reject(
            "R-PROOF-3",
            PROOF,
            "an index with a leading zero",
            input(&text.replacen("index 2", "index 02", 1)),
        ),
        reject("R-PROOF-3", PROOF, "no index", input(&text.replacen("index 2\n", "", 1))),
        reject("R-PROOF-3", PROOF, "a hash of 31 bytes", {
            input(&text.replacen(hash, &BASE64.encode(&[7; 31]), 1))
        }),
        reject("R-PROOF-3", PROOF, "64 hashes", {
            input(&format!("{head}\n{}\n{rest}", format!("{hash}\n").repeat(61)))
        }),
        accept("R-PROOF-4", PROOF, "a proof that holds", input(&text)),
        reject("R-PROOF-4", PROOF, "another leaf", {
            json!({ "proof": text, "leaf_hash": leaf(3), "vkeys": [vkey()] })
        }),
        reject("R-PROOF-4", PROOF, "another index", input(&text.replacen("index 2", "index 3", 1))),
        reject("R-PROOF-4", PROOF, "another log's key", {
            let other = SigningKey::from_seed(&[1; 32]).verifier_key(ORIGIN.parse().unwrap());
            json!({ "proof": text, "leaf_hash": leaf(2), "vkeys": [other.to_string()] })
        }),
    ]
}

fn checkpoint_files() -> Vec<Vector> {
    const FILE: &str = "checkpoints_file";
    vec![
        accept("R-CKF-1", FILE, "no checkpoints", ""),
        accept("R-CKF-1", FILE, "two notes", "4\nabc\n3\nd\n\n"),
        reject("R-CKF-1", FILE, "a length with a leading zero", "04\nabc\n"),
        reject("R-CKF-1", FILE, "a length of 0", "0\n"),
        reject("R-CKF-1", FILE, "a length with a sign", "+4\nabc\n"),
        reject("R-CKF-1", FILE, "an end within a note", "5\nabc\n"),
        reject("R-CKF-1", FILE, "an end within a length", "4\nabc\n3"),
        reject("R-CKF-1", FILE, "no length", "\nabc\n"),
        reject("R-CKF-1", FILE, "a length beyond any memory", "99999999999999999999999\nabc\n"),
    ]
}
