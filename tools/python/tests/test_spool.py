"""A spool gives back what was put in, in its order, wherever the process was cut off."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from whence import spool
from whence.spool import DiskLane

LOG = "a log"
LINES = st.binary(min_size=1, max_size=200).map(lambda data: data.replace(b"\n", b"_"))


def taken(lane: DiskLane, count: int = 1_000, size: int = 1_000_000) -> list[bytes]:
    found: list[bytes] = []
    while True:
        batch = lane.batch(count, size)
        if not batch.lines and not batch.damaged:
            return found
        found += batch.lines
        lane.settle(batch)


class SpoolMachine(RuleBasedStateMachine):
    """Appends, sends, dies and is adopted, in any order, with segments so short that many are begun."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(spool, "SEGMENT", 300)
        self.lane = DiskLane.create(self.folder, to=LOG, fsync=False)
        self.expected: list[bytes] = []

    def teardown(self) -> None:
        self.lane.abandon()
        self.patch.undo()
        shutil.rmtree(self.folder)

    @rule(line=LINES)
    def append(self, line: bytes) -> None:
        self.lane.append(line)
        self.expected.append(line)

    @rule(count=st.integers(1, 5), size=st.integers(1, 500))
    def send(self, count: int, size: int) -> None:
        batch = self.lane.batch(count, size)
        assert batch.lines == self.expected[: len(batch.lines)]
        assert bool(batch.lines) == bool(self.expected)
        assert len(batch.lines) <= count
        assert len(batch.lines) <= 1 or sum(len(line) + 1 for line in batch.lines) <= size
        del self.expected[: len(batch.lines)]
        self.lane.settle(batch)

    @rule()
    def die_and_be_adopted(self) -> None:
        self.lane.abandon()
        [self.lane] = DiskLane.orphans(self.folder, to=LOG, fsync=False)

    @rule(cut=st.integers(1, 50))
    @precondition(lambda self: self.expected and self.lane._file is not None)
    def die_in_a_write(self, cut: int) -> None:
        """The last line is torn: it alone is gone."""
        path = self.lane._path(self.lane._segment)
        data = path.read_bytes()
        last = data[data.rstrip(b"\n").rfind(b"\n") + 1 :]
        sent = self.lane._sent
        unsent = len(data) - (sent.offset if sent.segment == self.lane._segment else 0)
        if unsent < len(last):
            return
        path.write_bytes(data[: len(data) - min(cut, len(last))])
        self.expected.pop()
        self.die_and_be_adopted()

    @invariant()
    def counts(self) -> None:
        assert self.lane.pending >= len(self.expected)
        assert (self.lane.pending_bytes > 0) == (self.lane.pending > 0)


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=20), st.data())
def test_a_spool_that_is_cut_anywhere_gives_back_what_is_whole(lines: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        lane = DiskLane.create(Path(name), to=LOG, fsync=False)
        for line in lines:
            lane.append(line)
        path = lane._path(1)
        whole = path.read_bytes()
        cut = data.draw(st.integers(0, len(whole)))
        path.write_bytes(whole[:cut])
        lane.abandon()
        [again] = DiskLane.orphans(Path(name), to=LOG, fsync=False)
        complete = whole[:cut].count(b"\n")
        assert taken(again, 3) == lines[:complete]
        again.append(b"more")
        assert taken(again) == [b"more"]
        again.close()
        assert list(Path(name).iterdir()) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, min_size=1, max_size=10), st.data())
def test_a_changed_byte_costs_no_more_than_the_lines_that_it_stands_in(lines: list[bytes], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as name:
        lane = DiskLane.create(Path(name), to=LOG, fsync=False)
        for line in lines:
            lane.append(line)
        path = lane._path(1)
        whole = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(whole)
        lane.abandon()
        [again] = DiskLane.orphans(Path(name), to=LOG, fsync=False)
        found = taken(again)
        assert len(found) >= len(lines) - 2
        rest = iter(lines)
        assert all(line in rest for line in found), "in their order, and none that was not written"
        again.abandon()


def test_a_lane_belongs_to_one_process_at_a_time(tmp_path: Path) -> None:
    lane = DiskLane.create(tmp_path, to=LOG, fsync=True)
    lane.append(b"{}")
    assert list(DiskLane.orphans(tmp_path, to=LOG, fsync=True)) == []
    lane.close()
    [again] = DiskLane.orphans(tmp_path, to=LOG, fsync=True)
    assert taken(again) == [b"{}"]
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lane_that_is_taken_over_while_it_is_removed_is_removed_by_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = DiskLane.create(tmp_path, to=LOG, fsync=False)
    found: list[DiskLane] = []
    real = Path.unlink

    def unlink(path: Path, missing_ok: bool = False) -> None:
        real(path, missing_ok)
        if path.name == "lock" and not found:
            found.extend(DiskLane.orphans(tmp_path, to=LOG, fsync=False))

    monkeypatch.setattr(Path, "unlink", unlink)
    lane.close()
    [other] = found
    assert other.pending == 0
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lane_is_taken_over_for_its_own_log_alone(tmp_path: Path) -> None:
    lane = DiskLane.create(tmp_path, to=LOG, fsync=True)
    lane.append(b"A")
    lane.abandon()
    assert list(DiskLane.orphans(tmp_path, to="another log", fsync=True)) == []
    (lane.folder / "to").rename(lane.folder / "gone")
    assert list(DiskLane.orphans(tmp_path, to=LOG, fsync=True)) == [], "it does not say for which it is"
    (lane.folder / "gone").rename(lane.folder / "to")
    [again] = DiskLane.orphans(tmp_path, to=LOG, fsync=True)
    assert taken(again) == [b"A"]
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_what_else_stands_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "data"
    other.mkdir()
    (other / "000001.log").write_text("somebody's")
    lane = DiskLane.create(tmp_path, to=LOG, fsync=False)
    lane.close()
    assert list(DiskLane.orphans(tmp_path, to=LOG, fsync=False)) == []
    assert [path.name for path in tmp_path.rglob("*")] == ["data", "000001.log"]


def test_what_is_spooled_is_the_owners_alone(tmp_path: Path) -> None:
    spool.prepare(tmp_path / "spool")
    lane = DiskLane.create(tmp_path / "spool", to=LOG, fsync=False)
    lane.append(b"{}")
    modes = [path.stat().st_mode & 0o077 for path in (tmp_path / "spool").rglob("*")]
    assert modes
    assert not any(modes)
    lane.abandon()


def test_with_fsync_a_record_is_on_the_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_size)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    for asked in (True, False):
        lane = DiskLane.create(tmp_path, to=LOG, fsync=asked)
        synced.clear()
        lane.append(b"{}")
        assert (lane._path(1).stat().st_size in synced) == asked
        lane.abandon()


@pytest.mark.parametrize("where", ["write", "fsync"])
def test_what_a_signal_cut_short_does_not_cost_the_next_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    lane = DiskLane.create(tmp_path, to=LOG, fsync=True)
    lane.append(b"A")
    real = getattr(os, where)

    def interrupted(*given: object) -> None:
        real(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, where, interrupted)
        with pytest.raises(KeyboardInterrupt):
            lane.append(b"B")
    assert lane.batch(10, 1_000).lines == [b"A"], "nobody was told that B was taken"
    lane.append(b"C")
    batch = lane.batch(2, 1_000)
    assert batch.lines == [b"A", b"C"]
    lane.append(b"D")
    lane.settle(batch)
    assert lane.pending == 1
    lane.close()
    [again] = DiskLane.orphans(tmp_path, to=LOG, fsync=True)
    assert taken(again) == [b"D"]
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_a_lane_in_which_something_stands_is_kept_whatever_was_counted(tmp_path: Path) -> None:
    lane = DiskLane.create(tmp_path, to=LOG, fsync=False)
    lane.append(b"A")
    lane._pending = 0
    lane.close()
    [again] = DiskLane.orphans(tmp_path, to=LOG, fsync=False)
    assert taken(again) == [b"A"]
    again.close()


@pytest.mark.parametrize("where", ["open", "fsync"])
def test_a_file_that_cannot_be_begun_costs_one_record_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(spool, "SEGMENT", 10)
    lane = DiskLane.create(tmp_path, to=LOG, fsync=True)
    lane.append(b"A")
    held = lane._file
    assert held is not None

    def failing(*_: object) -> None:
        raise OSError("too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, where, failing)
        with pytest.raises(OSError, match="too many"):
            lane.append(b"B")
    os.fstat(held)  # raises, were it closed: its number could be that of somebody else's file by now
    lane.append(b"C")
    assert lane.pending == 2
    assert taken(lane) == [b"A", b"C"]
    lane.close()
    assert list(tmp_path.iterdir()) == []
