//! `whence producer` and `whence grant`: keys that producers sign with, and grants from claims.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::args::{Grant, ProducerCommand};
use super::client::{Client, segment};
use super::config::Config;
use super::jwks;
use super::output::Output;
use super::setup::write_secret;
use super::sources::read_small;
use super::system::environment;
use crate::access::jwt::{self, Expected};
use crate::record::Event;
use crate::seal::SigningKey;

/// A key that signs records, and its name.
pub(super) struct Signer {
    key: SigningKey,
    name: String,
}

impl Signer {
    /// The key of a file that `whence producer keygen` made.
    pub(super) fn read(file: &Path, name: &str) -> anyhow::Result<Self> {
        let seed = read_small(file)?;
        let seed = HEXLOWER.decode(seed.trim_ascii()).ok();
        let seed: Option<[u8; 32]> = seed.and_then(|seed| seed.try_into().ok());
        let seed = seed.with_context(|| format!("{} holds no key", file.display()))?;
        Ok(Self { key: SigningKey::from_seed(&seed), name: name.to_owned() })
    }

    /// A record with its signature. It is the record that is signed and not its spelling.
    pub(super) fn sign(&self, line: &str) -> anyhow::Result<String> {
        let mut record: Map<String, Value> =
            serde_json::from_str(line).context("not a JSON object")?;
        ensure!(!record.contains_key("signature"), "it has a signature already");
        let event = Event::parse(line.as_bytes())?;
        let form = event.signed_form().context("a record that is signed needs an id")?;
        let signature = json!({ "key": self.name, "value": self.key.sign_record(&form) });
        record.insert("signature".to_owned(), signature);
        Ok(Value::Object(record).to_string())
    }
}

/// Makes, registers, lists and revokes keys.
pub(super) fn producer(
    config: &Config,
    command: ProducerCommand,
    output: Output,
) -> anyhow::Result<()> {
    let answer = match command {
        ProducerCommand::Keygen { file } => return keygen(&file, output),
        ProducerCommand::List => {
            let client = Client::new(config)?;
            client.get(&client.in_ledger("producers"))?
        }
        ProducerCommand::Add { producer, public_key, key_id, from, until } => {
            let client = Client::new(config)?;
            let body = json!({
                "producer": producer,
                "public_key": public_key,
                "key_id": key_id,
                "valid_from": from,
                "valid_until": until,
            });
            client.post(&client.in_ledger("producers"), &body)?
        }
        ProducerCommand::Revoke { key_id } => {
            let client = Client::new(config)?;
            let path = format!("producers/{}/revoke", segment(&key_id));
            client.post(&client.in_ledger(&path), &json!({}))?
        }
    };
    output.value(&answer)
}

/// Makes a key in a file that only its owner can read, and prints its public half.
fn keygen(file: &Path, output: Output) -> anyhow::Result<()> {
    ensure!(!file.exists(), "{} is there already", file.display());
    let mut seed = [0; 32];
    environment().random.fill(&mut seed).context("the system gives no random bytes")?;
    write_secret(file, &HEXLOWER.encode(&seed))?;
    output.line(&SigningKey::from_seed(&seed).public_hex())
}

/// Posts the grant that the claims of a token are.
pub(super) fn grant(config: &Config, args: &Grant, output: Output) -> anyhow::Result<()> {
    let Read { claims, alg, credential_id } = claims(config, args)?;
    let client = Client::new(config)?;
    let body = json!({
        "profile": args.profile,
        "claims": claims,
        "session": args.session,
        "user_type": args.user_type,
        "owner": args.owner,
        "audience": args.audience,
        "alg": alg,
        "credential_id": credential_id,
        "basis": args.basis,
        "producer": args.producer,
    });
    output.value(&client.post(&client.in_ledger("delegations"), &body)?)
}

/// Claims, and what a checked token says beside them.
struct Read {
    claims: Map<String, Value>,
    alg: Option<String>,
    credential_id: Option<String>,
}

/// Reads claims from their file, or from a token that is checked first. No error shows any of either.
fn claims(config: &Config, args: &Grant) -> anyhow::Result<Read> {
    if let (Some(token), Some(keys)) = (&args.jwt, &args.jwks) {
        let text = String::from_utf8(read_small(token)?).ok();
        let text = text.with_context(|| format!("{} is not text", token.display()))?;
        let now = environment().clock.now().unix_nanos() / 1_000_000_000;
        let expected = Expected {
            audience: args.audience.as_deref(),
            issuer: None,
            now_unix: u64::try_from(now).unwrap_or(0),
        };
        let checked = jwt::check(text.trim(), &jwks::read(config, keys)?, expected)
            .with_context(|| format!("the token in {} is not taken", token.display()))?;
        let (alg, credential_id) = (Some(checked.alg), Some(checked.thumbprint));
        return Ok(Read { claims: checked.claims, alg, credential_id });
    }
    let file =
        args.claims.as_ref().context("give the claims with --claims, or a token with --jwt")?;
    let Ok(claims) = serde_json::from_slice(&read_small(file)?) else {
        bail!("{} does not hold the claims of a token as a JSON object", file.display());
    };
    Ok(Read { claims, alg: None, credential_id: None })
}
