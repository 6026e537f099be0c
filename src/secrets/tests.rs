//! What is a secret, and what is none. Secrets are put together here, so that no scanner of this
//! repository finds one.

use std::time::Instant;

use proptest::prelude::*;
use regex::Regex;
use serde_json::{Value, json};

use super::rules::RULES;
use super::{redact, redact_text};
use crate::canon;

/// So many letters of an alphabet, in no order that repeats.
fn letters(alphabet: &str, count: usize) -> String {
    let alphabet: Vec<_> = alphabet.chars().collect();
    let mut state = 0x9E37_79B9_u64;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()]
    };
    (0..count).map(next).collect()
}

fn word(count: usize) -> String {
    letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", count)
}

fn alpha(count: usize) -> String {
    letters("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", count)
}

fn hex(count: usize) -> String {
    letters("0123456789abcdef", count)
}

fn capitals(count: usize) -> String {
    letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", count)
}

fn digits(count: usize) -> String {
    letters("123456789", count)
}

/// A rule, what stands before the secret, the secret, and what stands after it.
type Sample = (&'static str, String, String, String);

#[expect(clippy::too_many_lines, reason = "a table")]
fn samples() -> Vec<Sample> {
    let bare = |id, secret: String| (id, "see ".to_owned(), secret, " there".to_owned());
    let within = |id, before: &str, secret: String, after: &str| {
        (id, before.to_owned(), secret, after.to_owned())
    };
    let begin = |what: &str| format!("{}{what}PRIVATE KEY-----", "-----BEGIN ");
    let end = |what: &str| format!("-----{}{what}PRIVATE KEY-----", "END ");
    let (head, claims) = (format!("J{}", word(30)), format!("J{}", word(60)));
    let jwt = format!("ey{head}.ey{claims}.{}", word(43));
    vec![
        bare("private-key", format!("{}\n{}\n{}", begin(""), word(200), end(""))),
        bare("private-key", format!("{}\n{}\n{}", begin("RSA "), word(200), end("RSA "))),
        within("private-key", "cut off: ", format!("{}\n{}", begin("OPENSSH "), word(64)), ""),
        bare("age-secret-key", format!("AGE-SECRET-{}{}", "KEY-1", capitals(58))),
        bare("jwt", jwt),
        bare("aws-access-key", format!("AK{}{}", "IA", capitals(16))),
        bare("aws-access-key", format!("AS{}{}", "IA", capitals(16))),
        bare("aws-bedrock-key", format!("AB{}{}", "SK", word(120))),
        bare("github-token", format!("gh{}{}", "p_", word(36))),
        bare("github-token", format!("gh{}{}", "s_", word(36))),
        bare("github-fine-grained-token", format!("github_{}{}", "pat_", word(82))),
        bare("gitlab-token", format!("gl{}{}", "pat-", word(20))),
        bare("slack-token", format!("xo{}{}-{}-{}", "xb-", digits(11), digits(12), word(24))),
        bare(
            "slack-app-token",
            format!("xa{}1-{}-{}-{}", "pp-", capitals(10), digits(12), hex(64)),
        ),
        within("slack-webhook", "https://hooks.slack.com/", format!("services/{}", word(44)), ""),
        bare("stripe-key", format!("sk_{}{}", "live_", word(24))),
        bare("stripe-key", format!("wh{}{}", "sec_", word(32))),
        bare("anthropic-key", format!("sk-{}api03-{}", "ant-", word(93))),
        bare("openai-key", format!("sk-{}{}", "proj-", word(64))),
        bare("openai-key", format!("sk-{}{}{}", word(20), "T3Blbk".to_owned() + "FJ", word(20))),
        bare("openrouter-key", format!("sk-{}{}", "or-v1-", hex(64))),
        bare("groq-key", format!("gs{}{}", "k_", word(52))),
        bare("xai-key", format!("xa{}{}", "i-", word(80))),
        bare("perplexity-key", format!("pp{}{}", "lx-", word(48))),
        bare("replicate-token", format!("r{}{}", "8_", word(37))),
        bare("google-api-key", format!("AI{}{}", "za", word(35))),
        bare("google-oauth-secret", format!("GOC{}{}", "SPX-", word(28))),
        bare("google-access-token", format!("ya{}{}", "29.", word(100))),
        bare("google-refresh-token", format!("1/{}{}", "/0", word(60))),
        bare("npm-token", format!("np{}{}", "m_", word(36))),
        bare("pypi-token", format!("pypi-{}{}", "AgE", word(120))),
        bare("rubygems-token", format!("ruby{}{}", "gems_", hex(48))),
        bare("docker-token", format!("dck{}{}", "r_pat_", word(27))),
        bare("twilio-key", format!("S{}{}", "K", hex(32))),
        bare("sendgrid-key", format!("S{}{}.{}", "G.", word(22), word(43))),
        bare("mailgun-key", format!("ke{}{}", "y-", hex(32))),
        bare("mailchimp-key", format!("{}-{}", hex(32), "us12")),
        within("azure-storage-key", "AccountName=a;Account", String::new(), ""),
        bare("azure-ad-secret", format!("{}8{}{}", word(3), "Q~", word(34))),
        within("azure-sas", "https://a.example/b?sv=1&si", String::new(), ""),
        bare("databricks-token", format!("da{}{}", "pi", hex(32))),
        bare("huggingface-token", format!("h{}{}", "f_", alpha(34))),
        bare("digitalocean-token", format!("dop{}{}", "_v1_", hex(64))),
        bare("doppler-token", format!("dp{}{}", ".pt.", word(43))),
        bare("shopify-token", format!("shp{}{}", "at_", hex(32))),
        bare("square-token", format!("sq0{}{}", "csp-", word(43))),
        bare("linear-key", format!("lin{}{}", "_api_", word(40))),
        bare("notion-token", format!("nt{}{}{}", "n_", digits(11), word(35))),
        bare("postman-key", format!("PM{}{}-{}", "AK-", hex(24), hex(34))),
        bare("grafana-token", format!("gls{}{}_{}", "a_", word(32), hex(8))),
        bare("new-relic-key", format!("NR{}{}", "AK-", capitals(27))),
        bare("sentry-token", format!("sntr{}{}", "yu_", hex(64))),
        bare("vault-token", format!("hv{}{}", "s.", word(95))),
        bare("terraform-token", format!("{}.atl{}{}", word(14), "asv1.", word(64))),
        bare("pulumi-token", format!("pu{}{}", "l-", hex(40))),
        bare("fly-token", format!("fo{}{}", "1_", word(43))),
        bare("atlassian-token", format!("ATA{}{}", "TT3", word(180))),
        bare("telegram-token", format!("{}:A{}{}", digits(9), "A", word(33))),
        within(
            "discord-webhook",
            "https://discord.com/api/webhooks/123456789012345678/",
            word(68),
            "",
        ),
        bare("whence-token", format!("when{}{}", "ce_", word(43))),
        within("url-password", "postgres://app:", format!("hunter{}", 22), "@db.example.com/x"),
        within("bearer-token", "Authorization: Bearer ", word(40), "\n"),
        within("basic-credentials", "authorization: Basic ", word(24), "=="),
        within("named-secret", "export DB_PASSWORD=", word(16), "\n"),
        within("named-secret", "{\\\"api_key\\\": \\\"", word(24), "\\\"}"),
    ]
    .into_iter()
    .map(|(id, before, secret, after)| match id {
        "azure-storage-key" => (id, before + "Key=", format!("{}==", word(86)), after),
        "azure-sas" => (id, before + "g=", format!("{}=", word(43)), after),
        _ => (id, before, secret, after),
    })
    .collect()
}

#[test]
fn every_rule_has_a_pattern_and_a_secret_that_it_finds() {
    for rule in RULES {
        assert!(Regex::new(rule.pattern).is_ok(), "{}", rule.id);
        assert!(!rule.keywords.is_empty(), "{}", rule.id);
        assert!(samples().iter().any(|sample| sample.0 == rule.id), "{} has no sample", rule.id);
    }
}

#[test]
fn a_secret_is_replaced_and_what_stands_around_it_is_not() {
    for (id, before, secret, after) in samples() {
        let found = redact_text(&format!("{before}{secret}{after}"));
        let after = if id == "basic-credentials" { "" } else { &after };
        assert_eq!(found, Some(format!("{before}[redacted:{id}]{after}")), "{id}");
    }
}

#[test]
fn a_secret_deep_in_content_is_replaced_and_the_rest_stays_canonical() {
    for (id, before, secret, after) in samples() {
        let text = format!("{before}{secret}{after}");
        let part = json!({ "b": [1, 2.5, { "é": text }], "a": null, "\u{fb33}": "x" });
        let found = redact(&canon::to_bytes(&part).unwrap()).unwrap();
        let value: Value = serde_json::from_slice(&found).unwrap();
        assert_eq!(canon::to_bytes(&value).unwrap(), found);
        let inner = value["b"][2]["é"].as_str().unwrap();
        assert!(inner.contains(&format!("[redacted:{id}]")) && !inner.contains(&secret), "{id}");
        assert_eq!((&value["a"], &value["b"][1]), (&Value::Null, &json!(2.5)));
    }
}

#[test]
fn what_stands_under_the_name_of_a_secret_is_one() {
    let part =
        json!({ "db_password": "correct-horse", "apiKey": "a1b2c3d4e5", "name": "correct-horse" });
    let found = redact(&canon::to_bytes(&part).unwrap()).unwrap();
    let value: Value = serde_json::from_slice(&found).unwrap();
    let gone = "[redacted:named-secret]";
    assert_eq!(value, json!({ "db_password": gone, "apiKey": gone, "name": "correct-horse" }));
    for kept in ["", "short", "two words here", "${DB_PASSWORD}", "<your password>", "xxxxxxxxxxxx"]
    {
        assert_eq!(redact(&canon::to_bytes(&json!({ "password": kept })).unwrap()), None, "{kept}");
    }
}

#[test]
fn what_only_looks_like_a_secret_stays() {
    let image = format!("data:image/png;base64,iVBORw0KGgo{}", word(4_000));
    let prose = "The token was refreshed, and the password: ask the bearer of this letter. Basic \
                 authorization needs an api key; the bearer token is never logged. Risk-averse task-based.";
    let example = format!("AK{}{}", "IA", "IOSFODNN7EXAMPLE");
    let texts = [
        "7c9e6679-7425-40de-944b-e07fc1f90ae7".to_owned(),
        hex(40),
        hex(64),
        format!("sha512-{}==", word(86)),
        letters("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", 44),
        "DE89 3704 0044 0532 0130 00".to_owned(),
        "DE89370400440532013000".to_owned(),
        image,
        prose.to_owned(),
        example,
        format!("gh{}{}", "p_", "x".repeat(36)),
        "Authorization: Bearer ${TOKEN_OF_THE_SERVICE}".to_owned(),
        "password = os.environ['DB_PASSWORD']".to_owned(),
        "https://bank.example:8443/v2/transfers?x=a@b.example".to_owned(),
        "postgres://app@db.example.com/x".to_owned(),
        "https://user:<password>@h.example/".to_owned(),
        "max_tokens=4096, completion_tokens: 1200, secret_santa=alice".to_owned(),
        "Meet me at 10:30, at 12:AA, or call +1 555 0100".to_owned(),
    ];
    for text in texts {
        assert_eq!(redact_text(&text), None, "{text}");
        assert_eq!(redact(&canon::to_bytes(&json!({ "text": text })).unwrap()), None, "{text}");
    }
}

#[test]
fn redacting_twice_is_redacting_once() {
    let all: Vec<_> = samples().into_iter().map(|(_, a, b, c)| format!("{a}{b}{c}")).collect();
    for text in all.iter().cloned().chain([all.join(" "), all.concat(), all.join("\n")]) {
        let once = redact_text(&text).unwrap();
        assert_eq!(redact_text(&once), None, "{once}");
    }
}

proptest! {
    #[test]
    fn whatever_the_text_nothing_breaks_and_nothing_is_found_twice(
        pieces in proptest::collection::vec((any::<String>(), 0..70_usize, any::<bool>()), 0..6),
    ) {
        let samples = samples();
        let mut text = String::new();
        for (noise, place, cut) in &pieces {
            let (_, before, secret, after) = &samples[place % samples.len()];
            let after = if *cut { "" } else { after };
            text.extend([noise.as_str(), before, secret, after]);
        }
        let part = canon::to_bytes(&json!({ "text": text, "list": [text] })).unwrap();
        if let Some(found) = redact(&part) {
            let value: Value = serde_json::from_slice(&found).unwrap();
            prop_assert_eq!(&canon::to_bytes(&value).unwrap(), &found);
            prop_assert_eq!(redact(&found), None);
        }
        drop(redact(text.as_bytes()));
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a speed is measured, and not judged")]
fn text_without_secrets_is_passed_over_quickly() {
    let text =
        "The agent read the invoice, asked for the amount, and paid 420.00 EUR to the bank. ";
    let part = canon::to_bytes(&json!(text.repeat(12_000))).unwrap();
    assert_eq!(redact(&part), None);
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(redact(&part), None);
    }
    let bytes = f64::from(u32::try_from(part.len() * 20).unwrap());
    println!("{:.0} MB/s of content without secrets", bytes / 1e6 / begun.elapsed().as_secs_f64());
}
