//! `whence append`.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::client::Client;
use super::output::Output;
use super::producer::Signer;

/// Records and bytes of one request.
const REQUEST_RECORDS_MAX: usize = 256;
const REQUEST_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Appends the records of a file of NDJSON, and prints their receipts.
///
/// Each request is taken as a whole or not at all; the first that is refused ends the command, and
/// sending the file again repeats nothing that was taken. That rests on the records' ids, so that a
/// record without one is refused here, although a server would take it.
pub(super) fn append(
    client: &Client,
    file: &Path,
    signer: Option<&Signer>,
    output: Output,
) -> anyhow::Result<()> {
    let lines: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        Box::new(BufReader::new(file))
    };
    let (mut request, mut records) = (Vec::new(), 0);
    for (line, number) in lines.lines().zip(1u64..) {
        let line = line.context("cannot read the records")?;
        if line.trim().is_empty() {
            continue;
        }
        if has_no_id(&line) {
            bail!(
                "line {number} has no id: give each record one of its own, or sending the file \
                 again after a broken connection would record it twice"
            );
        }
        let line = match signer {
            Some(signer) => signer.sign(&line).with_context(|| format!("line {number}"))?,
            None => line,
        };
        if records == REQUEST_RECORDS_MAX || request.len() + line.len() > REQUEST_BYTES_MAX {
            post(client, &request, output)?;
            request.clear();
            records = 0;
        }
        request.extend(line.as_bytes());
        request.push(b'\n');
        records += 1;
    }
    if records > 0 {
        post(client, &request, output)?;
    }
    Ok(())
}

/// Whether a line is a record without an id. What is no record is for the server to explain.
fn has_no_id(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Identified {
        id: Option<IgnoredAny>,
    }
    serde_json::from_str::<Identified>(line).is_ok_and(|record| record.id.is_none())
}

fn post(client: &Client, request: &[u8], output: Output) -> anyhow::Result<()> {
    let path = client.in_ledger("records");
    let answer = client.post_bytes(&path, "application/x-ndjson", request)?;
    let receipts = answer.get("data").and_then(Value::as_array).context("no receipts")?;
    for receipt in receipts {
        if output.json {
            output.value(receipt)?;
            continue;
        }
        let text = |name: &str| receipt.get(name).and_then(Value::as_str).unwrap_or("");
        let seq = receipt.get("seq").and_then(Value::as_u64).unwrap_or(0);
        let known = receipt.get("duplicate").and_then(Value::as_bool).unwrap_or(false);
        let known = if known { "  (known)" } else { "" };
        output.line(&format!("{seq:>10}  {}  {}{known}", text("entry_hash"), text("id")))?;
    }
    Ok(())
}
