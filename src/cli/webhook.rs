//! `whence webhook`: who is told of flags and gaps.

use serde_json::json;

use super::args::WebhookCommand;
use super::client::{Client, segment};
use super::output::Output;

/// Lists, makes or removes webhooks of the ledger.
pub(super) fn webhook(
    client: &Client,
    command: WebhookCommand,
    output: Output,
) -> anyhow::Result<()> {
    let path = |name: &str| client.in_ledger(&format!("webhooks/{}", segment(name)));
    let answer = match command {
        WebhookCommand::List => client.get(&client.in_ledger("webhooks"))?,
        WebhookCommand::Add { name, to, flag, min_severity } => {
            let body = json!({ "url": to, "flags": flag, "min_severity": min_severity });
            client.put(&path(&name), &body)?
        }
        WebhookCommand::Remove { name } => client.delete(&path(&name))?,
    };
    output.value(&answer)
}
