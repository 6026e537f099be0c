//! `whence erase`, `erasures`, `hold` and `compact`: content that goes, and content that has to stay.

use anyhow::Context;
use serde_json::{Value, json};

use super::args::{HoldCommand, OneReach, Reaching};
use super::client::{Client, segment};
use super::config::Config;
use super::output::Output;
use super::system::SOFTWARE;
use crate::ledger::{self, Settings};
use crate::store;

/// Items of a page.
const PAGE: usize = 1_000;

/// Erases the content of a record, a session or a user.
pub(super) fn erase(
    client: &Client,
    reach: &OneReach,
    reason: &str,
    authority: &str,
    output: Output,
) -> anyhow::Result<()> {
    let reach = json!({ "record": reach.record, "session": reach.session, "user": reach.user });
    let body = json!({ "reach": given(reach), "reason": reason, "authority": authority });
    let answer = client.post(&client.in_ledger("erasures"), &body)?;
    output.value(&answer)?;
    output.note("its bytes leave the disk when the ledger is opened next: restart the server");
    Ok(())
}

/// Shows everything that was erased, and why: the newest first.
pub(super) fn erasures(client: &Client, output: Output) -> anyhow::Result<()> {
    let mut after = String::new();
    loop {
        let path = format!("erasures?limit={PAGE}{after}");
        let page = client.get(&client.in_ledger(&path))?;
        output.value(&page)?;
        match page.pointer("/list_metadata/after").and_then(Value::as_str) {
            Some(seq) => after = format!("&after={}", segment(seq)),
            None => return Ok(()),
        }
    }
}

/// Places, releases or lists legal holds.
pub(super) fn hold(client: &Client, command: HoldCommand, output: Output) -> anyhow::Result<()> {
    let answer = match command {
        HoldCommand::List => client.get(&client.in_ledger("holds"))?,
        HoldCommand::Place { reach, reason } => {
            let Reaching { all, record, session, user } = reach;
            let all = all.then_some(true);
            let reach = json!({ "all": all, "record": record, "session": session, "user": user });
            let body = json!({ "reach": given(reach), "reason": reason });
            client.post(&client.in_ledger("holds"), &body)?
        }
        HoldCommand::Release { id, reason } => {
            let path = format!("holds/{}/release", segment(&id));
            client.post(&client.in_ledger(&path), &json!({ "reason": reason }))?
        }
    };
    output.value(&answer)
}

/// Copies a ledger of a stopped server without what was erased from it.
pub(super) fn compact(config: &Config, output: Output) -> anyhow::Result<()> {
    let mut settings = Settings::new(config.data.clone(), "", SOFTWARE);
    settings.heads.clone_from(&config.heads);
    match settings.compact(&config.ledger) {
        Err(ledger::Error::Store(store::Error::Locked { .. })) => {
            anyhow::bail!("the server has ledger {} open: stop it first", config.ledger)
        }
        done => done.with_context(|| format!("cannot compact ledger {}", config.ledger))?,
    }
    output.note("no file of the ledger holds any byte of what was erased; its index is made again");
    Ok(())
}

/// The members of an object that are not null.
fn given(mut value: Value) -> Value {
    if let Value::Object(members) = &mut value {
        members.retain(|_, member| !member.is_null());
    }
    value
}
