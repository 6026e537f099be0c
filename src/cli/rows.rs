//! `whence export --format`: records as rows, streamed from the server into a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use super::args::{Export, RowFormat};
use super::client::{Client, segment};
use super::output::Output;

/// The longest row that is taken: a record with all its content, escaped.
const ROW_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// What a line of rows says of itself.
#[derive(Deserialize)]
struct Line {
    object: Option<String>,
    seq: Option<u64>,
    unmapped: Option<Unmapped>,
}

#[derive(Deserialize)]
struct Unmapped {
    seq: u64,
}

/// How an export went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Got {
    rows: u64,
    /// The seq of the last row.
    last: Option<u64>,
}

/// Exports rows. What came before an interruption stays, whole rows only, and it says how to go on.
pub(super) fn export(client: &Client, args: &Export, output: Output) -> anyhow::Result<()> {
    let format = args.format.context("no format")?;
    let size = client.get(&client.in_ledger(""))?.get("size").and_then(Value::as_u64);
    let answer = client.stream(&client.in_ledger(&query(args, format)))?;
    let to_stdout = args.archive == Path::new("-");
    let (target, begun): (Box<dyn Write>, bool) = if to_stdout {
        (Box::new(io::stdout().lock()), args.after.is_some())
    } else {
        let file = open(&args.archive, args.after.is_some())?;
        let begun = file.metadata()?.len() > 0;
        (Box::new(file), begun)
    };
    let rest = size.unwrap_or(0).saturating_sub(args.after.map_or(0, |seq| seq + 1));
    let bar = output.progress("exporting", rest);
    let mut target = BufWriter::with_capacity(1 << 20, target);
    let mut got = Got { rows: 0, last: args.after };
    let skip_head = format == RowFormat::Csv && begun;
    let copied = copy(BufReader::new(answer), &mut target, format, skip_head, |rows| {
        bar.set_position(rows);
    });
    let copied = copied.map(|copied| {
        got.rows = copied.0.rows;
        got.last = copied.0.last.or(got.last);
        copied.1
    });
    bar.finish_and_clear();
    let flushed = target.flush().context("cannot write the rows");
    let on = got.last.map(|seq| format!("; go on with --after {seq}")).unwrap_or_default();
    let failed = copied?;
    flushed?;
    if let Some(error) = failed {
        return Err(error)
            .with_context(|| format!("the export ended early, after {} rows{on}", got.rows));
    }
    output.note(&format!("exported {} rows{on}", got.rows));
    Ok(())
}

/// The path of the export below the ledger.
fn query(args: &Export, format: RowFormat) -> String {
    let texts = [("q", &args.query), ("since", &args.since), ("until", &args.until)];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, segment(text.as_ref()?))));
    let after = args.after.map(|after| ("after", after.to_string()));
    let content = args.without_content.then(|| ("content", "withheld".to_owned()));
    let wanted = std::iter::once(("format", format.as_str().to_owned())).chain(texts);
    let wanted = wanted.chain(after).chain(content);
    let wanted: Vec<_> = wanted.map(|(name, value)| format!("{name}={value}")).collect();
    format!("export?{}", wanted.join("&"))
}

/// A new file, or one that goes on. Prompts are in it, so that only its owner may read it.
fn open(path: &Path, goes_on: bool) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600);
    if goes_on {
        options.append(true).create(true);
    } else {
        options.write(true).create_new(true);
    }
    let mut file = options.open(path).with_context(|| format!("cannot make {}", path.display()))?;
    if file.metadata()?.len() > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        ensure!(last == *b"\n", "{} ends in the middle of a row: take that out", path.display());
    }
    Ok(file)
}

/// Copies whole rows. An answer that ends early gives an error beside what there was.
fn copy(
    mut from: impl BufRead,
    to: &mut impl Write,
    format: RowFormat,
    skip_head: bool,
    mut tell: impl FnMut(u64),
) -> anyhow::Result<(Got, Option<anyhow::Error>)> {
    let (mut got, mut line, mut last) = (Got::default(), Vec::new(), Vec::new());
    let mut head = format == RowFormat::Csv;
    let mut ended = format != RowFormat::Ndjson;
    let failed = loop {
        line.clear();
        match (&mut from).take(ROW_BYTES_MAX).read_until(b'\n', &mut line) {
            Ok(0) if ended => break None,
            Ok(0) => break Some(anyhow::anyhow!("the last line is missing")),
            Ok(_) if !line.ends_with(b"\n") => break Some(anyhow::anyhow!("a row was cut off")),
            Ok(_) => {}
            Err(error) => break Some(error.into()),
        }
        let is_head = std::mem::take(&mut head);
        if is_head && skip_head {
            continue;
        }
        to.write_all(&line).context("cannot write the rows")?;
        if is_head {
            continue;
        }
        if format == RowFormat::Ndjson && line.starts_with(b"{\"object\":\"export_end\"") {
            ended = true;
            continue;
        }
        got.rows += 1;
        std::mem::swap(&mut line, &mut last);
        tell(got.rows);
    };
    if got.rows > 0 {
        got.last = Some(seq(&last, format)?);
    }
    Ok((got, failed))
}

/// The seq of a row.
fn seq(line: &[u8], format: RowFormat) -> anyhow::Result<u64> {
    if format == RowFormat::Csv {
        let first = line.split(|byte| *byte == b',').next().unwrap_or_default();
        return Ok(std::str::from_utf8(first)?.parse()?);
    }
    let line: Line = serde_json::from_slice(line).context("a row is not JSON")?;
    if line.object.as_deref() == Some("export_end") {
        bail!("a row is missing");
    }
    line.seq.or(line.unmapped.map(|unmapped| unmapped.seq)).context("a row has no seq")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &str, format: RowFormat, skip_head: bool) -> (String, Got, bool) {
        let mut to = Vec::new();
        let (got, failed) = copy(text.as_bytes(), &mut to, format, skip_head, |_| {}).unwrap();
        (String::from_utf8(to).unwrap(), got, failed.is_some())
    }

    #[test]
    fn only_whole_rows_are_kept_and_the_last_of_them_is_known() {
        let row = |seq: u64| format!("{{\"object\":\"record\",\"seq\":{seq}}}\n");
        let end = "{\"object\":\"export_end\",\"rows\":2}\n";
        let rows = [row(4), row(9)].concat();
        let got = Got { rows: 2, last: Some(9) };
        let whole = format!("{rows}{end}");
        assert_eq!(copied(&whole, RowFormat::Ndjson, false), (whole.clone(), got, false));
        for cut in [rows.clone(), format!("{rows}{{\"obj")] {
            let (text, got, failed) = copied(&cut, RowFormat::Ndjson, false);
            assert_eq!((text, got, failed), (rows.clone(), Got { rows: 2, last: Some(9) }, true));
        }
        let empty = copied(end, RowFormat::Ndjson, false);
        assert_eq!(empty, (end.to_owned(), Got::default(), false));
    }

    #[test]
    fn the_head_of_a_table_is_written_once() {
        let table = "seq,id\r\n7,a\r\n8,b\r\n";
        let got = || Got { rows: 2, last: Some(8) };
        assert_eq!(copied(table, RowFormat::Csv, false), (table.to_owned(), got(), false));
        let rest = "7,a\r\n8,b\r\n".to_owned();
        assert_eq!(copied(table, RowFormat::Csv, true), (rest, got(), false));
        let event = "{\"class_uid\":6003,\"unmapped\":{\"seq\":3}}\n";
        assert_eq!(copied(event, RowFormat::Ocsf, false).1.last, Some(3));
    }
}
