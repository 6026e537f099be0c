//! HTTP on the wire, byte by byte: a client and a server that do exactly what a test says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

/// A message's first line and headers, and where its body follows.
pub(crate) struct Head {
    pub(crate) first: String,
    pub(crate) headers: BTreeMap<String, String>,
    reader: BufReader<TcpStream>,
}

impl Head {
    /// Reads a head; nothing if the other side has closed.
    pub(crate) fn read(mut reader: BufReader<TcpStream>) -> Option<Self> {
        let mut first = String::new();
        if reader.read_line(&mut first).ok()? == 0 {
            return None;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            let value = value.trim().to_owned();
            assert!(headers.insert(name.to_lowercase(), value).is_none(), "{name} came twice");
        }
        Some(Self { first: first.trim_end().to_owned(), headers, reader })
    }

    /// The next bytes of a body in chunks; none at its end.
    pub(crate) fn chunk(&mut self) -> Vec<u8> {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let mut chunk = vec![0; length + 2];
        self.reader.read_exact(&mut chunk).unwrap();
        chunk.truncate(length);
        chunk
    }

    /// So many bytes of a body in chunks.
    pub(crate) fn chunks(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let chunk = self.chunk();
            assert!(!chunk.is_empty(), "it ended early");
            bytes.extend_from_slice(&chunk);
        }
        bytes
    }

    /// The whole body.
    pub(crate) fn body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(length) = self.headers.get("content-length") {
            body.resize(length.parse().unwrap(), 0);
            self.reader.read_exact(&mut body).unwrap();
        } else if self.headers.contains_key("transfer-encoding") {
            loop {
                match self.chunk() {
                    chunk if chunk.is_empty() => break,
                    chunk => body.extend_from_slice(&chunk),
                }
            }
        }
        body
    }

    /// The connection, for the next message.
    pub(crate) fn rest(self) -> BufReader<TcpStream> {
        self.reader
    }
}

/// A request that has come to a scripted server, which now does what the test says.
pub(crate) struct Arrived {
    pub(crate) first: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) stream: TcpStream,
}

impl Arrived {
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn write_chunk(&mut self, bytes: &[u8]) {
        self.write(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat());
    }
}

/// A server that leaves the answers to the test.
pub(crate) struct Scripted {
    pub(crate) url: String,
    pub(crate) arrived: mpsc::Receiver<Arrived>,
}

impl Scripted {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, arrived) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, send) = (stream.unwrap(), send.clone());
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    let mut reader = BufReader::new(stream.try_clone().unwrap());
                    while let Some(mut head) = Head::read(reader) {
                        let body = head.body();
                        let stream = stream.try_clone().unwrap();
                        let (first, headers) = (head.first.clone(), head.headers.clone());
                        reader = head.rest();
                        if send.send(Arrived { first, headers, body, stream }).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { url, arrived }
    }

    /// A server that answers every request with these bytes.
    pub(crate) fn always(answer: &'static [u8]) -> String {
        let Self { url, arrived } = Self::start();
        std::thread::spawn(move || arrived.iter().for_each(|mut one| one.write(answer)));
        url
    }
}

/// Sends a request on a connection of its own.
pub(crate) fn send(url: &str, bytes: &[u8]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.write_all(bytes).unwrap();
    BufReader::new(stream)
}

/// A request with a body of this length.
pub(crate) fn request(first: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{first} HTTP/1.1\r\nhost: localhost\r\n");
    for (name, value) in headers {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() {
        text.extend(["content-length: ", &body.len().to_string(), "\r\n"]);
    }
    [format!("{text}\r\n").as_bytes(), body].concat()
}
