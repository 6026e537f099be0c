//! What the proxy adds to the time that a message takes.

use std::io::{BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::time::{Duration, Instant};

use super::Between;
use crate::receiver::Receiver;

/// Messages that are sent one after another.
const MESSAGES: usize = 400;

/// Answers each line with itself.
fn echo(from: PipeReader, mut to: PipeWriter) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).unwrap_or(0) > 0 {
            if to.write_all(&line).is_err() {
                return;
            }
            line.clear();
        }
    });
}

/// The median time from writing a line until it has come back.
fn median(to: &mut PipeWriter, from: &mut PipeReader) -> Duration {
    let mut times = Vec::new();
    for number in 0..MESSAGES {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\",\"params\":{{\"name\":\"a\",\
             \"arguments\":{{\"text\":\"{}\"}}}}}}\n",
            "x".repeat(1_000)
        );
        let mut back = vec![0; line.len()];
        let start = Instant::now();
        to.write_all(line.as_bytes()).unwrap();
        from.read_exact(&mut back).unwrap();
        times.push(start.elapsed());
    }
    times.sort_unstable();
    times[MESSAGES / 2]
}

#[test]
fn a_message_takes_less_than_two_milliseconds_more() {
    let ((from, mut to), (mut back, into)) = (pipe().unwrap(), pipe().unwrap());
    echo(from, into);
    let direct = median(&mut to, &mut back);

    let receiver = Receiver::start();
    let Between { mut client, mut to_client, server, to_server, relay, outlet, .. } =
        Between::start(&receiver.url, false);
    echo(to_server, server);
    let through = median(&mut client, &mut to_client);
    drop(client);
    relay.close();
    outlet.close(Duration::from_secs(10));
    let added = through.saturating_sub(direct) / 2;
    println!(
        "there and back: {direct:?} without, {through:?} with the proxy; {added:?} more for each"
    );
    assert!(added < Duration::from_millis(2), "{added:?}");
}
