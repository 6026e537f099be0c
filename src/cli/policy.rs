//! `whence policy`: what of a request is refused, and what every record is checked for.

use anyhow::Context;
use serde_json::Value;

use super::args::PolicyCommand;
use super::client::Client;
use super::output::Output;
use super::sources::read_small;

/// Shows the policy of the ledger, or puts one in force. What is shown can be put in force again.
pub(super) fn policy(
    client: &Client,
    command: PolicyCommand,
    output: Output,
) -> anyhow::Result<()> {
    let path = client.in_ledger("policy");
    let answer = match command {
        PolicyCommand::Show => client.get(&path)?,
        PolicyCommand::Set { file } => {
            let text = String::from_utf8(read_small(&file)?).ok();
            let text = text.with_context(|| format!("{} is not text", file.display()))?;
            let policy: Value = toml::from_str(&text)
                .with_context(|| format!("{} is not a policy", file.display()))?;
            client.put(&path, &policy)?
        }
    };
    if output.json {
        return output.value(&answer);
    }
    let policy = answer.get("policy").context("the server's answer has no policy")?;
    let by = match (answer.get("record").and_then(Value::as_str), answer.get("actor")) {
        (Some(record), Some(Value::String(actor))) => format!("in force by {record} of {actor}"),
        _ => "in force from the beginning".to_owned(),
    };
    output.line(&format!("# {by}\n{}", toml::to_string(policy)?.trim_end()))
}
