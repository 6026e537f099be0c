//! `kill -9` at random moments under load.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::history::History;
use crate::load::{Client, Connection, below};
use crate::log::Seeded;
use crate::server::{Setup, copy};
use crate::{seed, setting};

/// Clients that post at the same time.
const CLIENTS: u64 = 8;
/// Rounds of the short run.
const ROUNDS: u64 = 12;

#[test]
fn whatever_was_acknowledged_before_a_kill_is_there_after_it() {
    let seed = seed("kill");
    let rounds = setting("WHENCE_CRASH_ROUNDS", ROUNDS);
    let folder = tempfile::tempdir().unwrap();
    let mut setup = Setup::new(&folder.path().join("data"));
    assert!(setup.run(&["init"]).status.success());
    let token = setup.token();

    let random = Seeded::new(seed);
    let mut clients: Vec<_> = (0..CLIENTS).map(|number| Client::new(seed, number)).collect();
    let mut history = History::default();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        if below(&random, 4) == 0 {
            move_heads(&mut setup);
        }
        if below(&random, 6) == 0 {
            // A kill while it opens. If it was too late for that, it is one while it idles.
            let delay = Duration::from_micros(below(&random, 60_000));
            if let Ok(server) = setup.start_and(|server| server.kill_after(delay)) {
                server.kill();
            }
        }
        let started = Instant::now();
        let server = setup.start().unwrap();
        slowest = slowest.max(started.elapsed());

        let connection = Connection::new(&server.url, &token);
        history.audit(&connection, round % 10 == 9);
        let delay = Duration::from_millis(20 + below(&random, 400));
        let receipts = thread::scope(|scope| {
            let sending: Vec<_> = clients
                .iter_mut()
                .map(|client| {
                    // A connection of its own for each.
                    let connection = Connection::new(&server.url, &token);
                    scope.spawn(move || client.send(&connection, usize::MAX))
                })
                .collect();
            server.kill_after(delay);
            let received = sending.into_iter().map(|sending| sending.join().unwrap());
            received.collect::<Vec<_>>().concat()
        });
        server.kill();
        history.take(receipts);
        if round % 20 == 19 {
            println!("kill: {} rounds, {} acknowledged", round + 1, history.acknowledged());
        }
        if round % 5 == 4 {
            let data = folder.path().join("copy");
            let kept = Setup { data, ..setup.clone() };
            copy(&setup.data, &kept.data);
            kept.verify(&history.key(), &[]);
            fs::remove_dir_all(&kept.data).unwrap();
        }
    }

    // Whoever got no answer sends the same again, and everything is as it was said.
    let server = setup.start().unwrap();
    let connection = Connection::new(&server.url, &token);
    for client in &mut clients {
        history.take(client.send(&connection, 1));
    }
    history.audit(&connection, true);
    for place in 0..100 {
        history.spot_check(&connection, place * 7_919);
    }
    assert!(server.stop().status.success());
    let early = folder.path().join("early");
    fs::write(&early, history.early_checkpoint()).unwrap();
    setup.verify(&history.key(), &[early]);
    println!(
        "kill: {rounds} rounds, {} records acknowledged, none lost; the slowest start took {} ms",
        history.acknowledged(),
        slowest.as_millis()
    );
}

/// Moves the head file out of the data directory, or back into it.
fn move_heads(setup: &mut Setup) {
    let before = setup.head();
    setup.heads = match setup.heads {
        Some(_) => None,
        None => Some(setup.data.with_file_name("heads")),
    };
    let after = setup.head();
    fs::create_dir_all(after.parent().unwrap()).unwrap();
    fs::rename(before, after).unwrap();
}
