//! `/v1/ledgers/{ledger}/export`: records as NDJSON, CSV or OCSF, any number of them, in ascending seq.
//!
//! An export is of the records below one checkpoint, and every row says which leaf of its tree it is:
//! seq, entry hash, leaf hash, and the checkpoint's size and root. The signed note comes once. So every
//! row can be proven by itself later on, and a row of NDJSON can be hashed anew from its own bytes.
//!
//! It is made row by row as the client takes it ([`rows`]), and goes on after any row: `after` is the
//! seq of the last row that the client has. Before the first byte leaves, a `log_export` record that
//! says who takes what is on disk.

mod csv;
mod ndjson;
mod ocsf;
mod rows;

use std::ops::Range;

use axum::extract::{Path, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::App;
use super::accesses::{Access, Operation, Reader, write_first};
use super::app::blocking;
use super::caller::Caller;
use super::error::{ApiError, with_causes};
use super::reading::Params;
use super::search;
use super::streaming::{self, PIECE_BYTES};
use crate::access::Action;
use crate::canon;
use crate::ledger::Ledger;
use crate::record::Timestamp;
use crate::record::data::LogExport;
use crate::search::Query;

use rows::Checkpoint;
pub(super) use rows::{Rows, Source, beyond};

/// How rows are written.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ExportFormat")]
pub(super) enum Format {
    /// One JSON object a line: the entry byte for byte, its content, and its place in the tree.
    #[default]
    Ndjson,
    /// A table.
    Csv,
    /// OCSF events, one a line.
    Ocsf,
}

impl Format {
    /// The names of all formats.
    pub(super) const NAMES: &'static [&'static str] = &["ndjson", "csv", "ocsf"];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }

    pub(super) const fn media(self) -> &'static str {
        match self {
            Self::Ndjson | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }
}

/// Whether content is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Content {
    /// All that was not erased.
    #[default]
    Kept,
    /// None. The entries commit to it all the same.
    Withheld,
}

/// What is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    content: Content,
    q: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    after: Option<u64>,
}

/// Exports records.
pub(super) async fn export(
    State(app): State<App>,
    Caller(grant): Caller,
    Path(ledger): Path<String>,
    Params(wanted): Params<Wanted>,
) -> Result<Response, ApiError> {
    let ledger = app.ledger(&grant, &ledger, Action::Investigate).await?;
    let Wanted { format, content, q, since, until, after } = wanted;
    let query = search::asked(&app, q.as_deref().unwrap_or(""))?;
    let turn = streaming::turn(&app).await?;
    let view = ledger.view();
    let reading = view.clone();
    let seqs = blocking(move || rows::between(&reading, since, until)).await?;
    let source = source(&app, &ledger, query, beyond(after, seqs)).await?;
    let data = LogExport {
        actor: grant.id.as_str().into(),
        content: Some(content == Content::Kept),
        end: source.seqs.end,
        format: format.as_str().into(),
        start: source.seqs.start,
    };
    let query = q.clone().map(|query| ("query", Value::String(query)));
    write_first(&ledger, data, query, app.clock.now()).await?;
    let access = Access { operation: Operation::Export, records: 0, query: q.as_deref() };
    let mut reader = Reader::new(&app.accesses, &ledger, grant, access);
    let rows = Rows::new(view, source, content == Content::Kept, u64::MAX);
    let mut export = Export::new(rows, format);
    streaming::pieces(turn, format.media(), move || {
        let (piece, shown) = export.piece()?;
        reader.add(shown);
        Ok(piece)
    })
    .await
}

/// The records among `seqs` that a query wants, or all of them.
pub(super) async fn source(
    app: &App,
    ledger: &Ledger,
    query: Option<Query>,
    seqs: Range<u64>,
) -> Result<Source, ApiError> {
    let Some(query) = query else { return Ok(Source::whole(seqs)) };
    let index = app.index(ledger)?;
    search::wait_for(app, &index, seqs.end.checked_sub(1)).await?;
    Ok(Source::found(index, query, seqs))
}

/// An export on its way.
#[derive(Debug)]
pub(super) struct Export {
    rows: Rows,
    format: Format,
    checkpoint: Checkpoint,
    part: Part,
}

/// How far an export has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Head,
    Rows,
    Done,
}

impl Export {
    pub(super) fn new(rows: Rows, format: Format) -> Self {
        let checkpoint = Checkpoint::of(&rows.view);
        Self { rows, format, checkpoint, part: Part::Head }
    }

    /// The next bytes, and of how many records they are. No bytes at the end.
    pub(super) fn piece(&mut self) -> Result<(Option<Vec<u8>>, u64), ApiError> {
        let before = self.rows.count;
        let mut bytes = Vec::new();
        if self.part == Part::Done {
            return Ok((None, 0));
        }
        if self.part == Part::Head {
            if self.format == Format::Csv {
                csv::head(&mut bytes)?;
            }
            self.part = Part::Rows;
        }
        let Self { rows, format, checkpoint, .. } = self;
        while bytes.len() < PIECE_BYTES && self.part == Part::Rows {
            let mut first = rows.count == 0;
            let more = rows.run(|row| {
                let first = std::mem::take(&mut first);
                match format {
                    Format::Ndjson => ndjson::row(&mut bytes, row, checkpoint),
                    Format::Csv => csv::row(&mut bytes, row, checkpoint, first),
                    Format::Ocsf => ocsf::row(&mut bytes, row, checkpoint, first),
                }
            })?;
            if !more {
                if *format == Format::Ndjson {
                    ndjson::end(&mut bytes, rows, checkpoint)?;
                }
                self.part = Part::Done;
            }
        }
        Ok((Some(bytes), rows.count - before))
    }

    /// All of it, in memory: as many of its records as take about so many bytes.
    pub(super) fn page(mut self, bytes_max: usize) -> Result<(Vec<u8>, Rows), ApiError> {
        let mut bytes = Vec::new();
        while let (Some(piece), _) = self.piece()? {
            bytes.extend(piece);
            if bytes.len() >= bytes_max {
                self.rows.stop();
            }
        }
        Ok((bytes, self.rows))
    }
}

/// Writes a value on a line of its own.
fn line<T: Serialize>(bytes: &mut Vec<u8>, value: &T) -> Result<(), ApiError> {
    bytes.extend(
        canon::sorted_to_bytes(value).map_err(|error| ApiError::internal(with_causes(&error)))?,
    );
    bytes.push(b'\n');
    Ok(())
}
