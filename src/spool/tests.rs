use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Limits, Position, Spool, SpoolError};

const LIMITS: Limits = Limits { bytes_max: 1 << 20, segment_bytes: 1 << 16 };

fn open(folder: &Path) -> Spool {
    Spool::open(folder, LIMITS).unwrap()
}

/// What is not settled, in order.
fn records(spool: &Spool) -> Vec<Vec<u8>> {
    spool.pending().into_iter().map(|position| spool.read(position).unwrap()).collect()
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// The bytes of a spool that holds these records in one file.
fn file_of(records: &[&[u8]]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    spool.push_all(records).unwrap();
    fs::read(&files(folder.path())[0]).unwrap()
}

/// Opens a spool whose only file has these bytes.
fn found(bytes: &[u8]) -> (tempfile::TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("00000000000000000000.spool"), bytes).unwrap();
    let spool = open(folder.path());
    (folder, spool)
}

#[test]
fn what_was_pushed_is_there_when_the_spool_is_opened_again_and_others_cannot_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("spool");
    let spool = open(&folder);
    assert_eq!(spool.push_all(&[]).unwrap(), []);
    spool.push(b"first").unwrap();
    spool.push_all(&[b"", b"third"]).unwrap();
    drop(spool);

    let spool = open(&folder);
    assert_eq!(records(&spool), [&b"first"[..], b"", b"third"]);
    assert_eq!(spool.damage(), []);
    spool.push(b"fourth").unwrap();
    assert_eq!(records(&spool), [&b"first"[..], b"", b"third", b"fourth"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert!(files(&folder).iter().all(|file| mode(file) == 0o600));
}

#[test]
fn a_second_process_cannot_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    assert!(matches!(Spool::open(folder.path(), LIMITS), Err(SpoolError::InUse)));
    drop(spool);
    open(folder.path());
}

#[test]
fn what_was_cut_off_at_any_byte_is_gone_and_everything_before_it_is_there() {
    let taken: [&[u8]; 3] = [b"one", b"the second one", b""];
    let bytes = file_of(&taken);
    let ends: Vec<usize> = (0..=3).map(|many| file_of(&taken[..many.max(1)]).len()).collect();
    for cut in 0..=bytes.len() {
        let (folder, spool) = found(&bytes[..cut]);
        let whole = (1..=3).filter(|many| ends[*many] <= cut).count();
        assert_eq!(records(&spool), taken[..whole], "cut at {cut}");
        assert_eq!(spool.damage(), [], "cut at {cut}");

        // What comes later stands behind it, and nothing of the cut shows through.
        spool.push(b"later").unwrap();
        drop(spool);
        let spool = open(folder.path());
        assert_eq!(spool.damage(), [], "cut at {cut}");
        let expected: Vec<&[u8]> = taken[..whole].iter().copied().chain([&b"later"[..]]).collect();
        assert_eq!(records(&spool), expected, "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_is_reported_wherever_it_is_and_never_read_as_a_record() {
    let taken: [&[u8]; 3] = [b"one", b"the second one", b"three"];
    let bytes = file_of(&taken);
    for bit in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let (folder, spool) = found(&bytes);
        assert_eq!(spool.damage().len(), 1, "bit {bit}");
        let left = records(&spool);
        assert!(
            left.len() < 3 && left.iter().all(|record| taken.contains(&&**record)),
            "bit {bit}"
        );

        // The damaged file is kept, and is in nobody's way.
        spool.push(b"later").unwrap();
        spool.pending().into_iter().for_each(|position| spool.settle(position).unwrap());
        drop(spool);
        let kept: Vec<_> = files(folder.path());
        assert_eq!(kept.len(), 1, "bit {bit}");
        assert_eq!(fs::read(&kept[0]).unwrap(), bytes, "bit {bit}");
        let spool = open(folder.path());
        assert_eq!((records(&spool), spool.damage().len()), (Vec::new(), 0), "bit {bit}");
        spool.push(b"after").unwrap();
        assert_eq!(fs::read(&kept[0]).unwrap(), bytes, "bit {bit}");
    }
}

#[test]
fn a_record_that_was_damaged_leaves_those_behind_it() {
    let mut bytes = file_of(&[b"one", b"two", b"three"]);
    let inside = bytes.windows(3).position(|three| three == b"two").unwrap();
    bytes[inside] ^= 1;
    let (_folder, spool) = found(&bytes);
    assert_eq!(records(&spool), [&b"one"[..], b"three"]);
    let damage = &spool.damage()[0];
    assert_eq!(damage.offset + 20, u64::try_from(inside).unwrap());
    assert_eq!(damage.bytes, 23);
}

#[test]
fn a_record_that_is_damaged_while_the_spool_is_open_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let spool = open(folder.path());
    let position = spool.push(b"a record").unwrap();
    let file = &files(folder.path())[0];
    let mut bytes = fs::read(file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(file, bytes).unwrap();
    assert!(matches!(spool.read(position), Err(SpoolError::Damaged)));
    spool.settle(position).unwrap();
    assert_eq!(files(folder.path())[0].extension().unwrap(), "damaged");
}

#[test]
fn a_file_that_is_none_of_a_spool_is_reported() {
    let (folder, spool) = found(b"something else, and longer than a header");
    assert_eq!((records(&spool), spool.damage().len()), (Vec::new(), 1));
    assert_eq!(files(folder.path()).len(), 1);
    fs::write(folder.path().join("notes.txt"), "not ours").unwrap();
    drop(spool);
    assert_eq!(open(folder.path()).damage(), [], "reported once");
    assert_eq!(files(folder.path()).len(), 2);
}

#[test]
fn a_full_spool_takes_nothing_until_something_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes_max: 1_000, segment_bytes: 300 };
    let spool = Spool::open(folder.path(), limits).unwrap();
    assert!(matches!(spool.push(&[0; 1_000]), Err(SpoolError::TooLong)));
    let mut taken = Vec::new();
    let full = loop {
        match spool.push(&[7; 100]) {
            Ok(position) => taken.push(position),
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SpoolError::Full));
    let size = |folder| files(folder).iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let before: u64 = size(folder.path());
    assert!(before <= limits.bytes_max && before == spool.bytes(), "{before}");
    assert!(matches!(spool.push_all(&[&[7; 100], &[8; 100]]), Err(SpoolError::Full)));
    assert_eq!(size(folder.path()), before, "nothing was written");
    assert_eq!(records(&spool).len(), taken.len());

    for position in &taken[..3] {
        spool.settle(*position).unwrap();
    }
    spool.push(&[9; 100]).unwrap();
    assert_eq!(records(&spool).len(), taken.len() - 2);
}

#[test]
fn a_file_goes_when_everything_in_it_is_settled_in_whatever_order() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), Limits { segment_bytes: 60, ..LIMITS }).unwrap();
    let push = |name: &str| spool.push(name.as_bytes()).unwrap();
    let [first, second, third, fourth, fifth] = ["a", "b", "c", "d", "e"].map(push);
    assert_eq!(files(folder.path()).len(), 2);
    spool.settle(third).unwrap();
    spool.settle(first).unwrap();
    spool.settle(first).unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    spool.settle(second).unwrap();
    assert_eq!(files(folder.path()).len(), 1);
    assert!(matches!(spool.read(second), Err(SpoolError::Unknown)));
    assert_eq!(records(&spool), [b"d", b"e"]);
    assert_eq!(
        (spool.next(None), spool.next(Some(fourth)), spool.next(Some(fifth))),
        (Some(fourth), Some(fifth), None)
    );
    assert_eq!((spool.next(Some(first)), spool.next(Some(second))), (Some(fourth), Some(fourth)));
    // The file that is written to goes as well, and another one comes.
    spool.settle(fourth).unwrap();
    spool.settle(fifth).unwrap();
    assert_eq!((files(folder.path()).len(), spool.bytes()), (0, 0));
    spool.push(b"f").unwrap();
    assert_eq!(records(&spool), [b"f"]);
}

#[test]
fn those_who_push_at_the_same_time_all_have_their_records_in_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let limits = Limits { bytes_max: 1 << 24, segment_bytes: 2_000 };
    let spool = Spool::open(folder.path(), limits).unwrap();
    let push = |thread: u32| {
        let pushed = (0..50u32).map(|number| {
            let position = spool.push(format!("{thread} {number}").as_bytes()).unwrap();
            (position, number)
        });
        let pushed: Vec<(Position, u32)> = pushed.collect();
        assert!(pushed.is_sorted(), "{pushed:?}");
    };
    std::thread::scope(|scope| {
        (0..8).for_each(|thread| drop(scope.spawn(move || push(thread))));
    });
    drop(spool);
    let left = records(&Spool::open(folder.path(), limits).unwrap());
    assert_eq!(left.len(), 400);
    for thread in 0..8 {
        let mine = left.iter().filter_map(|record| {
            std::str::from_utf8(record).unwrap().strip_prefix(&format!("{thread} "))
        });
        let mine: Vec<u32> = mine.map(|number| number.parse().unwrap()).collect();
        assert!(mine.iter().copied().eq(0..50), "{mine:?}");
    }
}
