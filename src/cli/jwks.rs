//! The keys of a token's issuer: from a file, or from where the issuer shows them.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use ureq::Agent;
use ureq::http::Uri;

use super::client::{is_loopback, tls};
use super::config::Config;
use super::sources::read_small;

/// Bytes of an answer that are taken.
const KEYS_BYTES_MAX: u64 = 1024 * 1024;
/// How long fetching them may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The set of keys in a file or at a URL, not looked into yet.
pub(super) fn read(config: &Config, from: &str) -> anyhow::Result<Vec<u8>> {
    if from.contains("://") { fetch(config, from) } else { read_small(Path::new(from)) }
}

/// Asks the issuer. It is told nothing: no token of any kind goes there.
fn fetch(config: &Config, url: &str) -> anyhow::Result<Vec<u8>> {
    const SAVE: &str = "or save the keys in a file and give that";
    let uri: Uri = url.parse().context("what --jwks gives is neither a file nor a URL")?;
    let named = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    ensure!(!named, "take the user name and password out of the URL of --jwks, {SAVE}");
    let loopback = is_loopback(&uri);
    ensure!(
        uri.scheme_str() == Some("https") || (uri.scheme_str() == Some("http") && loopback),
        "keys that the network could change prove nothing: give an https URL, {SAVE}"
    );
    let mut builder = Agent::config_builder()
        .http_status_as_error(false)
        // Another server than the one that was named answers for nobody.
        .max_redirects(0)
        .timeout_global(Some(TIMEOUT))
        .tls_config(tls(config)?);
    if loopback {
        builder = builder.proxy(None);
    }
    let agent = Agent::from(builder.build());
    let response = agent.get(url).header("accept", "application/json").call();
    let response =
        response.with_context(|| format!("cannot fetch {url}: look at the address, {SAVE}"))?;
    let status = response.status().as_u16();
    ensure!(
        !(300..400).contains(&status),
        "{url} leads elsewhere ({status}), where nobody follows: give the address of the keys itself, {SAVE}"
    );
    ensure!(status == 200, "{url} answers {status}: look at the address, {SAVE}");
    let body = response.into_body().into_with_config().limit(KEYS_BYTES_MAX).read_to_vec();
    body.with_context(|| {
        format!(
            "what {url} answers breaks off, or is longer than 1 MiB: look at the address, {SAVE}"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    use super::*;
    use crate::cli::config::LogFormat;

    /// A configuration with a token, which is for another server.
    fn config() -> Config {
        Config {
            data: "none".into(),
            listen: ([127, 0, 0, 1], 0).into(),
            heads: None,
            origin_host: "log.example".to_owned(),
            tls: None,
            ca: None,
            insecure_plain_http: false,
            accept_missing_head: false,
            telemetry_settle: std::time::Duration::from_secs(5),
            telemetry_timeout: std::time::Duration::from_secs(30),
            log: String::new(),
            log_format: LogFormat::Text,
            url: "http://127.0.0.1:7117".to_owned(),
            ledger: "main".parse().unwrap(),
            token: Some("whence_secret".to_owned()),
        }
    }

    /// A server that answers one request, and gives back what it was asked.
    fn answering(head: &str, body: Vec<u8>) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = String::new();
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            while lines.read_line(&mut asked).unwrap() > 2 {}
            // Who refuses the answer need not have read it.
            // A client that has read enough goes away.
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
            asked
        });
        (url, server)
    }

    fn said(from: &str) -> String {
        format!("{:#}", read(&config(), from).unwrap_err())
    }

    #[test]
    fn keys_are_fetched_and_nothing_is_told() {
        let (url, server) = answering("200 OK", b"{\"keys\":[]}".to_vec());
        assert_eq!(read(&config(), &url).unwrap(), b"{\"keys\":[]}");
        let asked = server.join().unwrap().to_ascii_lowercase();
        assert!(asked.starts_with("get /keys http/1.1\r\n"), "{asked}");
        assert!(!asked.contains("authorization") && !asked.contains("secret"), "{asked}");
    }

    #[test]
    fn an_answer_that_is_too_long_or_leads_elsewhere_is_refused() {
        let fits = usize::try_from(KEYS_BYTES_MAX).unwrap();
        let (url, server) = answering("200 OK", vec![b' '; fits]);
        assert_eq!(read(&config(), &url).unwrap().len(), fits);
        server.join().unwrap();
        let (url, server) = answering("200 OK", vec![b' '; fits + 1]);
        assert!(said(&url).contains("longer than 1 MiB"));
        server.join().unwrap();
        let (url, server) = answering("302 Found\r\nlocation: /other", Vec::new());
        assert!(said(&url).contains("leads elsewhere (302)"));
        server.join().unwrap();
        let (url, server) = answering("404 Not Found", Vec::new());
        assert!(said(&url).contains("answers 404"));
        server.join().unwrap();
    }

    #[test]
    fn keys_come_over_https_alone_but_from_this_machine() {
        assert!(said("http://issuer.example/keys").contains("give an https URL"));
        assert!(said("ftp://127.0.0.1/keys").contains("give an https URL"));
        let named = said("https://alice:hunter22@issuer.example/keys");
        assert!(named.contains("take the user name") && !named.contains("hunter22"), "{named}");
    }
}
