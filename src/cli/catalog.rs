//! `whence catalog`: which tools a server offered, and what changed.

use clap::Subcommand;
use serde_json::Value;

use super::client::Client;
use super::output::{Output, shown};
use super::search::{asked, list, names, number, text};
use super::table::Screen;

#[derive(Debug, Subcommand)]
pub(super) enum CatalogCommand {
    /// List the snapshots of a server's catalogs, the newest first
    List {
        /// The server
        server: String,
        /// Snapshots of a page, at most [default: 50]
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Where the page begins, as the page before says
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
    /// Show which tools came, went and changed between two snapshots of a server
    Diff {
        /// The id of the earlier record
        from: String,
        /// The id of the later one
        to: String,
    },
}

/// Lists snapshots, or compares two.
pub(super) fn catalog(
    client: &Client,
    command: CatalogCommand,
    output: Output,
) -> anyhow::Result<()> {
    match command {
        CatalogCommand::List { server, limit, after } => {
            let limit = limit.map(|limit| limit.to_string());
            let after = after.map(|after| after.to_string());
            let parameters = [("server", Some(server)), ("limit", limit), ("after", after)];
            let page = client.get(&client.in_ledger(&asked("catalogs", &parameters)))?;
            if output.json { output.value(&page) } else { print_list(&page, output) }
        }
        CatalogCommand::Diff { from, to } => {
            let parameters = [("from", Some(from)), ("to", Some(to))];
            let diff = client.get(&client.in_ledger(&asked("catalogs/diff", &parameters)))?;
            if output.json { output.value(&diff) } else { print_diff(&diff, output) }
        }
    }
}

fn print_list(page: &Value, output: Output) -> anyhow::Result<()> {
    let rows = list(page, "/data").iter().map(|catalog| {
        let of = |pointer: &str| text(catalog, pointer);
        vec![
            number(catalog, "/seq").to_string(),
            of("/received_at"),
            of("/id"),
            number(catalog, "/tools").to_string(),
            of("/review_status"),
            of("/reviewed_by"),
            of("/catalog_digest"),
        ]
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        output.note("the ledger has no catalog of this server");
        return Ok(());
    }
    let header = ["SEQ", "RECEIVED", "ID", "TOOLS", "REVIEW", "BY", "DIGEST"];
    output.table(&Screen::of_stdout().table(&header, rows, &[0, 2]))?;
    if let Some(after) = page.pointer("/list_metadata/after").and_then(Value::as_str) {
        output.note(&format!("next page: --after {}", shown(after)));
    }
    Ok(())
}

fn print_diff(diff: &Value, output: Output) -> anyhow::Result<()> {
    let of = |pointer: &'static str, change: &'static str| {
        let tools = list(diff, pointer).iter().filter_map(Value::as_str);
        tools.map(move |tool| vec![change.to_owned(), shown(tool), String::new()])
    };
    let changed = list(diff, "/changed").iter();
    let changed =
        changed.map(|tool| vec!["changed".to_owned(), text(tool, "/tool"), names(tool, "/what")]);
    let rows = of("/added", "added").chain(of("/removed", "removed")).chain(changed);
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        output.note("no tool came, went or changed");
        return Ok(());
    }
    output.table(&Screen::of_stdout().table(&["CHANGE", "TOOL", "WHAT"], rows, &[1]))
}
