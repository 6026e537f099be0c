//! Settings: flag before environment before file before default.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::record::LedgerName;

/// Makes a struct of settings that are all text or absent, with ways to go through them by name.
macro_rules! settings {
    ($($(#[$doc:meta])* $name:ident = $variable:literal, $default:expr;)+) => {
        /// Settings as they were given in one place, unchecked.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct Raw {
            $($(#[$doc])* #[serde(default)] pub $name: Option<String>,)+
        }

        impl Raw {
            /// The settings in the environment, as `variable` gives it. One that is not text is an
            /// error: the default must not take its place unnoticed.
            pub fn from_environment(
                variable: impl Fn(&str) -> Option<OsString>,
            ) -> anyhow::Result<Self> {
                let text = |name: &str| {
                    let value = variable(name).map(OsString::into_string).transpose();
                    // The value is not shown: it may be a secret.
                    value.map_err(|_| anyhow::anyhow!("{name} is not UTF-8"))
                };
                Ok(Self { $($name: text($variable)?,)+ })
            }
        }

        impl Layers {
            /// Every setting with its value and where that comes from.
            pub fn settings(&self) -> Vec<Setting> {
                vec![$(self.pick(stringify!($name), |raw| raw.$name.as_deref(), $default),)+]
            }
        }
    };
}

settings! {
    /// The data directory.
    data = "WHENCE_DATA", Some("whence-data");
    /// The address to listen on.
    listen = "WHENCE_LISTEN", Some("127.0.0.1:7117");
    /// The folder of the head files.
    heads = "WHENCE_HEADS", None;
    /// The host part of new origins.
    origin_host = "WHENCE_ORIGIN_HOST", Some("localhost");
    /// The certificate chain's file.
    tls_cert = "WHENCE_TLS_CERT", None;
    /// The private key's file.
    tls_key = "WHENCE_TLS_KEY", None;
    /// The file of the certificates that a client believes.
    ca = "WHENCE_CA", None;
    /// Whether to speak plain HTTP with others.
    insecure_plain_http = "WHENCE_INSECURE_PLAIN_HTTP", Some("false");
    /// Whether to open ledgers without their head files.
    accept_missing_head = "WHENCE_ACCEPT_MISSING_HEAD", Some("false");
    /// Seconds for which a trace is quiet before it is told.
    telemetry_settle = "WHENCE_TELEMETRY_SETTLE", Some("5");
    /// Seconds for which one is quiet whose root has not ended.
    telemetry_timeout = "WHENCE_TELEMETRY_TIMEOUT", Some("30");
    /// What to log.
    log = "WHENCE_LOG", Some("info");
    /// How to log.
    log_format = "WHENCE_LOG_FORMAT", Some("text");
    /// The server to talk to.
    url = "WHENCE_URL", Some("http://127.0.0.1:7117");
    /// The ledger to work on.
    ledger = "WHENCE_LEDGER", Some("main");
    /// The token to show the server.
    token = "WHENCE_TOKEN", None;
}

/// A setting, and where its value comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// Its name in the configuration file.
    pub name: &'static str,
    /// Its value.
    pub value: Option<String>,
    /// `flag`, `environment`, `file`, `default`, or `unset`.
    pub from: &'static str,
}

/// The places in which settings are given.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    /// On the command line.
    pub flags: Raw,
    /// In the environment.
    pub environment: Raw,
    /// In the configuration file.
    pub file: Raw,
    /// The configuration file that was read.
    pub file_path: Option<PathBuf>,
}

impl Layers {
    /// Reads the environment and the configuration file. A file that was named has to be there; the
    /// one in the data directory need not.
    pub fn read(flags: Raw, file: Option<&Path>) -> anyhow::Result<Self> {
        let environment = Raw::from_environment(|name| std::env::var_os(name))?;
        let mut layers = Self { flags, environment, ..Self::default() };
        let path = match file {
            Some(path) => path.to_owned(),
            None => Path::new(&layers.get("data").unwrap_or_default()).join("whence.toml"),
        };
        if file.is_some() || path.exists() {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            // The parser's message would quote the file, and a token may stand in it.
            layers.file = toml::from_str(&text).map_err(|error| {
                let why = error.message().split('`').step_by(2).collect::<String>();
                anyhow::anyhow!("{} is not a configuration: {why}", path.display())
            })?;
            layers.file_path = Some(path);
        }
        Ok(layers)
    }

    /// What is set in a way that gives a secret away: a file with one that others can read.
    pub fn warnings(&self) -> Vec<String> {
        let secret = |path: &Path| {
            let mode = fs::metadata(path).ok()?.permissions().mode();
            let path = path.display();
            (mode & 0o077 != 0).then(|| {
                format!("warning: others can read {path}, which holds a secret: chmod 600 it")
            })
        };
        let file = self.file_path.as_deref().filter(|_| self.file.token.is_some());
        let key = self.get("tls_key").map(PathBuf::from);
        [file, key.as_deref()].into_iter().flatten().filter_map(secret).collect()
    }

    fn get(&self, name: &str) -> Option<String> {
        self.settings().into_iter().find(|setting| setting.name == name)?.value
    }

    fn pick(
        &self,
        name: &'static str,
        of: impl Fn(&Raw) -> Option<&str>,
        default: Option<&'static str>,
    ) -> Setting {
        let places = [
            (of(&self.flags), "flag"),
            (of(&self.environment), "environment"),
            (of(&self.file), "file"),
            (default, "default"),
        ];
        let given = places.into_iter().find_map(|(value, from)| Some((value?, from)));
        let (value, from) = given.map_or((None, "unset"), |(value, from)| (Some(value), from));
        Setting { name, value: value.map(ToOwned::to_owned), from }
    }
}

/// How to log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Text,
    Json,
}

/// Settings that were checked.
#[derive(Clone, Debug)]
pub(super) struct Config {
    pub(super) data: PathBuf,
    pub(super) listen: SocketAddr,
    pub(super) heads: Option<PathBuf>,
    pub(super) origin_host: String,
    pub(super) tls: Option<(PathBuf, PathBuf)>,
    pub(super) ca: Option<PathBuf>,
    pub(super) insecure_plain_http: bool,
    pub(super) accept_missing_head: bool,
    pub(super) telemetry_settle: Duration,
    pub(super) telemetry_timeout: Duration,
    pub(super) log: String,
    pub(super) log_format: LogFormat,
    pub(super) url: String,
    pub(super) ledger: LedgerName,
    pub(super) token: Option<String>,
}

impl Config {
    pub(super) fn new(layers: &Layers) -> anyhow::Result<Self> {
        let get = |name: &str| layers.get(name);
        let text = |name: &str| get(name).with_context(|| format!("{name} is not set"));
        let yes = |name: &str| match get(name).as_deref() {
            Some("true" | "1") => Ok(true),
            Some("false" | "0" | "") | None => Ok(false),
            Some(_) => bail!("{name} is neither true nor false"),
        };
        let seconds = |name: &str| {
            let number = text(name)?.parse().ok().filter(|number| (0.01..=3600.0).contains(number));
            let number = number.with_context(|| format!("{name} is not 0.01 to 3600 seconds"))?;
            anyhow::Ok(Duration::from_secs_f64(number))
        };
        let listen: SocketAddr =
            text("listen")?.parse().context("listen is not an address such as 127.0.0.1:7117")?;
        let tls = match (get("tls_cert"), get("tls_key")) {
            (Some(cert), Some(key)) => Some((cert.into(), key.into())),
            (None, None) => None,
            _ => bail!("tls_cert and tls_key are given together or not at all"),
        };
        let insecure_plain_http = yes("insecure_plain_http")?;
        ensure!(
            tls.is_some() || listen.ip().is_loopback() || insecure_plain_http,
            "plain HTTP on {listen} would show tokens and prompts to the network: give tls_cert and \
             tls_key, or say --insecure-plain-http if something else encrypts it"
        );
        let log_format = match text("log_format")?.as_str() {
            "text" => LogFormat::Text,
            "json" => LogFormat::Json,
            _ => bail!("log_format is neither text nor json"),
        };
        Ok(Self {
            data: text("data")?.into(),
            listen,
            heads: get("heads").map(PathBuf::from),
            origin_host: text("origin_host")?,
            tls,
            ca: get("ca").map(PathBuf::from),
            insecure_plain_http,
            accept_missing_head: yes("accept_missing_head")?,
            telemetry_settle: seconds("telemetry_settle")?,
            telemetry_timeout: seconds("telemetry_timeout")?,
            log: text("log")?,
            log_format,
            url: text("url")?.trim_end_matches('/').to_owned(),
            ledger: text("ledger")?.parse()?,
            token: get("token"),
        })
    }
}
