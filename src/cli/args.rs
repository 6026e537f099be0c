//! What can be typed.

#![expect(clippy::doc_markdown, reason = "these are help texts, and Markdown would show")]

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};

use super::catalog::CatalogCommand;
use super::config::Raw;
use super::gateway::Gateway;
use super::mcp::Mcp;

/// An append-only, tamper-evident provenance log for AI agents
#[derive(Debug, Parser)]
#[command(name = "whence", version, about)]
pub(super) struct Args {
    /// Print JSON in place of text
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Configuration file [default: whence.toml in the data directory, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(flatten)]
    pub(super) settings: Settings,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The settings that can be given as flags. Each can be given in the environment and the file too.
#[derive(Debug, Default, ClapArgs)]
pub(super) struct Settings {
    /// Data directory of a server [env: WHENCE_DATA; default: whence-data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<String>,
    /// Address to listen on [env: WHENCE_LISTEN; default: 127.0.0.1:7117]
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Folder for the head files, outside the data directory [env: WHENCE_HEADS]
    #[arg(long, global = true, value_name = "DIR")]
    heads: Option<String>,
    /// Host part of the origins of new ledgers [env: WHENCE_ORIGIN_HOST; default: localhost]
    #[arg(long, global = true, value_name = "HOST")]
    origin_host: Option<String>,
    /// Certificate chain in PEM, to serve TLS with [env: WHENCE_TLS_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Private key of the certificate in PEM [env: WHENCE_TLS_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<String>,
    /// Certificates in PEM that a server must have one of, in place of those that the system believes [env: WHENCE_CA]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<String>,
    /// Speak plain HTTP with others: serve it, or send them a token over it [env: WHENCE_INSECURE_PLAIN_HTTP]
    #[arg(long, global = true)]
    insecure_plain_http: bool,
    /// Open ledgers whose head file is gone, which may hide lost records [env: WHENCE_ACCEPT_MISSING_HEAD]
    #[arg(long, global = true)]
    accept_missing_head: bool,
    /// What to log, such as info or whence=debug [env: WHENCE_LOG; default: info]
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// How to log: text or json [env: WHENCE_LOG_FORMAT; default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Server to talk to [env: WHENCE_URL; default: http://127.0.0.1:7117]
    #[arg(long, global = true, value_name = "URL")]
    url: Option<String>,
    /// Ledger to work on [env: WHENCE_LEDGER; default: main]
    #[arg(long, global = true, value_name = "NAME")]
    ledger: Option<String>,
}

impl Settings {
    pub(super) fn to_raw(&self) -> Raw {
        let flag = |given: bool| given.then(|| "true".to_owned());
        Raw {
            data: self.data.clone(),
            listen: self.listen.clone(),
            heads: self.heads.clone(),
            origin_host: self.origin_host.clone(),
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            ca: self.ca.clone(),
            insecure_plain_http: flag(self.insecure_plain_http),
            accept_missing_head: flag(self.accept_missing_head),
            log: self.log.clone(),
            log_format: self.log_format.clone(),
            url: self.url.clone(),
            ledger: self.ledger.clone(),
            // No token: on the command line it is there for every user of the machine to read.
            ..Raw::default()
        }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a data directory with a ledger and a first token
    Init,
    /// Run the server
    Serve,
    /// Record an agent that is hijacked, find out why, and catch a forger
    Demo(Demo),
    /// Append records from a file of NDJSON, or - for standard input
    Append {
        /// The file
        file: PathBuf,
        /// Sign the records with the key in this file
        #[arg(long, value_name = "FILE", requires = "key_id")]
        sign: Option<PathBuf>,
        /// The name under which the key is registered
        #[arg(long, value_name = "ID", requires = "sign")]
        key_id: Option<String>,
    },
    /// Record who may act for whom, as the claims of a token say
    Grant(Grant),
    /// Make, register, list and revoke keys that producers sign with
    #[command(subcommand)]
    Producer(ProducerCommand),
    /// Show one record with its content and receipt
    Get {
        /// The record's id
        id: String,
    },
    /// Show a session: who acted in it, and what led to what
    Session {
        /// The session's id
        id: String,
    },
    /// Record what passes between an agent and an MCP server, such as: whence mcp -- npx some-server
    Mcp(Box<Mcp>),
    /// Record what passes between an agent and a model's API
    Gateway(Box<Gateway>),
    /// Find records, such as: whence search 'user:alice@example.com "wire transfer" since:2h'
    Search(Search),
    /// List sessions, the one with the newest record that matches first
    Sessions(Sessions),
    /// Build the search index again, beside the one in use
    Reindex {
        /// Wait until the new index is in use
        #[arg(long)]
        wait: bool,
    },
    /// Walk from a record back to what caused it
    Why {
        /// The record's id
        id: String,
    },
    /// Walk from a record forward to all that came of it, in other sessions too
    Effects {
        /// The record's id
        id: String,
    },
    /// Show which tools a server offered, and what changed
    #[command(subcommand)]
    Catalog(CatalogCommand),
    /// Check a log: a data directory, an archive, or a URL
    Verify(Verify),
    /// Write the ledger, or a part of it, as an archive that anybody can check, or as rows
    Export(Export),
    /// Check an archive and make an identical ledger of it
    Import(Import),
    /// Erase the content of a record, a session or a user; what was sealed stays
    Erase {
        #[command(flatten)]
        reach: OneReach,
        /// Why
        #[arg(long)]
        reason: String,
        /// The right by which it is asked for
        #[arg(long)]
        authority: String,
    },
    /// Show what was erased, and why
    Erasures,
    /// Place, release and list legal holds, which forbid erasing
    #[command(subcommand)]
    Hold(HoldCommand),
    /// Copy a ledger of a stopped server without the bytes of what was erased
    Compact,
    /// Show the verifier key of a ledger
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make and list ledgers
    #[command(subcommand)]
    Ledger(LedgerCommand),
    /// Make, list and revoke tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show or change what of a request is refused, and what every record is checked for
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Say who is told of flags and gaps
    #[command(subcommand)]
    Webhook(WebhookCommand),
    /// Show every setting and where it comes from
    Config,
}

impl Command {
    /// Whether the command only shows something: then it has done its work when its reader has seen
    /// enough and goes away. The others still have something to do or to say.
    pub(super) const fn only_shows(&self) -> bool {
        match self {
            Self::Get { .. }
            | Self::Session { .. }
            | Self::Search(_)
            | Self::Sessions(_)
            | Self::Why { .. }
            | Self::Effects { .. }
            | Self::Catalog(_)
            | Self::Config
            | Self::Erasures
            | Self::Hold(HoldCommand::List)
            | Self::Key(KeyCommand::Show)
            | Self::Ledger(LedgerCommand::List)
            | Self::Policy(PolicyCommand::Show)
            | Self::Producer(ProducerCommand::List)
            | Self::Token(TokenCommand::List)
            | Self::Webhook(WebhookCommand::List) => true,
            Self::Init
            | Self::Serve
            | Self::Demo(_)
            | Self::Append { .. }
            | Self::Grant(_)
            | Self::Mcp(_)
            | Self::Gateway(_)
            | Self::Policy(PolicyCommand::Set { .. })
            | Self::Producer(
                ProducerCommand::Keygen { .. }
                | ProducerCommand::Add { .. }
                | ProducerCommand::Revoke { .. },
            )
            | Self::Reindex { .. }
            | Self::Verify(_)
            | Self::Export(_)
            | Self::Import(_)
            | Self::Erase { .. }
            | Self::Hold(HoldCommand::Place { .. } | HoldCommand::Release { .. })
            | Self::Compact
            | Self::Ledger(LedgerCommand::Create { .. })
            | Self::Token(TokenCommand::Create { .. } | TokenCommand::Revoke { .. })
            | Self::Webhook(WebhookCommand::Add { .. } | WebhookCommand::Remove { .. }) => false,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct Demo {
    /// End after the demonstration, in place of serving on
    #[arg(long)]
    pub(super) exit: bool,
}

#[derive(Debug, Default, ClapArgs)]
pub(super) struct Search {
    /// The query; a star alone finds every record
    #[arg(allow_hyphen_values = true)]
    pub(super) query: String,
    /// Records of a page, at most [default: 50]
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u32>,
    /// By seq: the newest first, or the oldest first [default: desc]
    #[arg(long, value_parser = ["asc", "desc"])]
    pub(super) order: Option<String>,
    /// Where the page begins, as the page before says
    #[arg(long, value_name = "SEQ")]
    pub(super) after: Option<u64>,
    /// What to count, with commas between: user, session, agent, tool, kind, flag
    #[arg(long, value_name = "FIELDS")]
    pub(super) facets: Option<String>,
    /// Count when the records were received
    #[arg(long)]
    pub(super) histogram: bool,
    /// Answer once the record of this seq can be found
    #[arg(long, value_name = "SEQ")]
    pub(super) wait_for: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Sessions {
    /// A query; sessions with a record that matches are listed [default: all]
    #[arg(allow_hyphen_values = true)]
    pub(super) query: Option<String>,
    /// Only of this user
    #[arg(long)]
    pub(super) user: Option<String>,
    /// Only of this agent
    #[arg(long)]
    pub(super) agent: Option<String>,
    /// Only with this flag; flag:* as the query means any
    #[arg(long)]
    pub(super) flag: Option<String>,
    /// Only with records received at this time or later, such as 2026-11-24 or 2h
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Only with records received before this time
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Sessions of a page, at most [default: 50]
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u32>,
    /// Where the page begins, as the page before says
    #[arg(long, value_name = "SEQ")]
    pub(super) after: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(super) struct Verify {
    /// A data directory of a stopped server, an archive, or a URL such as https://HOST/tlog/LEDGER
    pub(super) target: String,
    /// The log's verifier key, or a file that holds it; may be given more than once
    #[arg(long, value_name = "VKEY")]
    pub(super) key: Vec<String>,
    /// A signed checkpoint that was kept from earlier; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) since: Vec<PathBuf>,
    /// A receipt that was kept; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(super) receipt: Vec<PathBuf>,
}

#[derive(Debug, Default, ClapArgs)]
pub(super) struct Export {
    /// The folder to make; with --format the file, or - for standard output
    pub(super) archive: PathBuf,
    /// First entry, rounded down to a whole bundle of 256
    #[arg(long, default_value_t = 0, conflicts_with = "format")]
    pub(super) from: u64,
    /// One past the last entry, rounded up to a whole bundle of 256 [default: the size of the log]
    #[arg(long, conflicts_with = "format")]
    pub(super) to: Option<u64>,
    /// Write records as rows in place of an archive
    #[arg(long, value_enum)]
    pub(super) format: Option<RowFormat>,
    /// Only the records that a query finds
    #[arg(long, requires = "format")]
    pub(super) query: Option<String>,
    /// Only records received at this time or later, such as 2026-11-24T00:00:00Z
    #[arg(long, requires = "format", value_name = "TIME")]
    pub(super) since: Option<String>,
    /// Only records received before this time
    #[arg(long, requires = "format", value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Go on after the row of this seq, at the end of the file
    #[arg(long, requires = "format", value_name = "SEQ")]
    pub(super) after: Option<u64>,
    /// Leave content out: its digests stay
    #[arg(long)]
    pub(super) without_content: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RowFormat {
    /// One JSON object a line, with the entry byte for byte
    Ndjson,
    /// A table
    Csv,
    /// OCSF events, one a line
    Ocsf,
}

impl RowFormat {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Ocsf => "ocsf",
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(super) struct Import {
    /// The archive
    pub(super) archive: PathBuf,
    /// The log's verifier key, or a file that holds it
    #[arg(long, value_name = "VKEY")]
    pub(super) key: String,
    /// The file with the ledger's signing key, without which it can be audited but not served
    #[arg(long, value_name = "FILE")]
    pub(super) signing_key: Option<PathBuf>,
}

/// What an erasure reaches.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(super) struct OneReach {
    /// One record, by its id
    #[arg(long, value_name = "ID")]
    pub(super) record: Option<String>,
    /// The records of a session
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// The records of a user
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
}

/// What a hold reaches.
#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = false)]
pub(super) struct Reaching {
    /// Everything in the ledger
    #[arg(long)]
    pub(super) all: bool,
    /// One record, by its id
    #[arg(long, value_name = "ID")]
    pub(super) record: Option<String>,
    /// The records of a session
    #[arg(long, value_name = "ID")]
    pub(super) session: Option<String>,
    /// The records of a user
    #[arg(long, value_name = "ID")]
    pub(super) user: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// List the holds in force
    List,
    /// Place a hold
    Place {
        #[command(flatten)]
        reach: Reaching,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Release a hold
    Release {
        /// The hold's id
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Show the verifier key
    Show,
}

#[derive(Debug, Subcommand)]
pub(super) enum LedgerCommand {
    /// List the ledgers
    List,
    /// Make a ledger
    Create {
        /// Its name
        name: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(super) struct Grant {
    /// How the claims are read; it decides who is the user and who the agent
    #[arg(long, value_parser = ["rfc8693", "workos_agent", "workos_user", "oidc", "id_jag"])]
    pub(super) profile: String,
    /// The session that the grant is for
    #[arg(long, value_name = "ID")]
    pub(super) session: String,
    /// What the user is
    #[arg(long, value_parser = ["human", "organization", "service"])]
    pub(super) user_type: String,
    /// The claims of a token that was checked, as a JSON object
    #[arg(long, value_name = "FILE", required_unless_present = "jwt", conflicts_with = "jwt")]
    pub(super) claims: Option<PathBuf>,
    /// The token, which is checked here and sent nowhere
    #[arg(long, value_name = "FILE", requires = "jwks")]
    pub(super) jwt: Option<PathBuf>,
    /// The keys of the token's issuer, as a JWKS: a file, or an https URL, which is told nothing
    #[arg(long, value_name = "FILE|URL", requires = "jwt")]
    pub(super) jwks: Option<String>,
    /// Who answers for an agent that acts for nobody
    #[arg(long, value_name = "USER")]
    pub(super) owner: Option<String>,
    /// Whom the token has to be for, or is for if claims do not say
    #[arg(long, value_name = "NAME")]
    pub(super) audience: Option<String>,
    /// What the grant's lifetime hangs on [default: login_session]
    #[arg(long, value_parser = ["login_session", "grant"])]
    pub(super) basis: Option<String>,
    /// The program that sends the grant
    #[arg(long, default_value = "whence-cli")]
    pub(super) producer: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum ProducerCommand {
    /// Make a key in a file, and print its public half
    Keygen {
        /// The file, which must not be there
        file: PathBuf,
    },
    /// Register a key: the producer's records have to be signed from then on
    Add {
        /// The producer, as its records name it
        producer: String,
        /// The public key: 64 hexadecimal digits
        public_key: String,
        /// How signatures name the key [default: a digest of it]
        #[arg(long, value_name = "ID")]
        key_id: Option<String>,
        /// From when on it counts, such as 2026-11-24T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until when
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// List the keys
    List,
    /// Take a key back
    Revoke {
        /// Its name
        key_id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// List the tokens
    List,
    /// Make a token; its secret is shown once
    Create {
        /// What it is for
        name: String,
        /// A role: writer, investigator, auditor or admin; may be given more than once
        #[arg(long, required = true)]
        role: Vec<String>,
        /// A ledger on which it is good; may be given more than once [default: all]
        #[arg(long, value_name = "LEDGER")]
        on: Vec<String>,
        /// A kind of records that it may append; may be given more than once [default: all]
        #[arg(long, value_name = "KIND")]
        kind: Vec<String>,
        /// A producer whose records it may append; may be given more than once [default: all]
        #[arg(long, value_name = "PRODUCER")]
        producer: Vec<String>,
    },
    /// Take a token back
    Revoke {
        /// Its id
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Show the policy in force, as a file that `set` takes
    Show,
    /// Put the policy of a file in force, as a whole
    Set {
        /// A TOML file with `mode = "strict"` or `"observe"`, and what else the policy says
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// List the webhooks of the ledger, how far each was told, and whether that fails
    List,
    /// Make a webhook, whose secret is shown once, or change one
    Add {
        /// Its name
        name: String,
        /// Where messages go: an http or https URL
        to: String,
        /// A flag or a gap to be told of; may be given more than once [default: all]
        #[arg(long, value_name = "NAME")]
        flag: Vec<String>,
        /// How bad it has to be at least: info, low, medium or high
        #[arg(long, value_name = "SEVERITY")]
        min_severity: Option<String>,
    },
    /// Remove a webhook
    Remove {
        /// Its name
        name: String,
    },
}
