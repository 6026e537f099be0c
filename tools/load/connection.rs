//! HTTP/1.1 over one connection, as little of it as the load needs.

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest head of an answer.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection that is kept alive, and the bytes of the last answer.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    filled: usize,
}

/// An answer. Its body is in the connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    body: (usize, usize),
}

impl Connection {
    pub(crate) async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: vec![0; 64 * 1024], filled: 0 })
    }

    /// Sends a whole request and reads the whole answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let (mut head, mut searched) = (None, 0);
        loop {
            if let Some((status, from, length)) = head {
                if self.filled == from + length {
                    return Ok(Answer { status, body: (from, from + length) });
                }
                ensure!(self.filled < from + length, "the answer is longer than it says");
                self.read.resize(self.read.len().max(from + length), 0);
            }
            let count = self.stream.read(&mut self.read[self.filled..]).await?;
            ensure!(count > 0, "the server closed the connection");
            self.filled += count;
            if head.is_none() {
                let new = &self.read[searched..self.filled];
                match new.windows(4).position(|window| window == b"\r\n\r\n") {
                    Some(end) => head = Some(self.head(searched + end + 4)?),
                    None => ensure!(self.filled < HEAD_BYTES_MAX, "a long head"),
                }
                searched = self.filled.saturating_sub(3);
            }
        }
    }

    /// The body of the answer that came last.
    pub(crate) fn body(&self, answer: Answer) -> &[u8] {
        &self.read[answer.body.0..answer.body.1]
    }

    /// Reads the status and the length of the body from a head that ends at `end`.
    fn head(&self, end: usize) -> anyhow::Result<(u16, usize, usize)> {
        let head = std::str::from_utf8(&self.read[..end])?;
        let status = head.get(9..12).context("no status")?.parse()?;
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok((status, end, length.unwrap_or(0)))
    }
}

/// The head of a request.
pub(crate) fn head(method: &str, path: &str, token: &str, rest: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: whence\r\nauthorization: Bearer {token}\r\n{rest}\r\n"
    )
}
