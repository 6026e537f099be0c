"""What was recorded and is not sent yet.

A spool is a folder. Each process writes to a *lane* of its own in it, which it holds locked for as long as it lives:

    <spool>/<lane>/lock       held by the process whose lane it is
    <spool>/<lane>/to         which log its records are for
    <spool>/<lane>/000001.log one line a record: CRC-32 in hexadecimal, a space, the record, a line feed
    <spool>/<lane>/sent       how far it was sent: the number of a file and an offset in it
    <spool>/refused.ndjson    what the server refused for good, with the reasons

A lane that nobody holds is one of a process that died: the next process that opens the spool for the same log sends it
first. One that is for another log, or that does not say for which, is left alone. A line that was cut off when the
machine stopped, or that was damaged, is told by its checksum; it is counted, and what is whole is sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .errors import SpoolDamaged

SEGMENT = 8 * 1_048_576
_HEAD = 9

# Whatever else stands in the folder is somebody else's, and is neither read nor removed.
_LANE = re.compile(r"\d{20}-\d+-[0-9a-f]{8}")


@dataclass(frozen=True)
class Place:
    """A place in a lane."""

    segment: int
    offset: int


@dataclass(frozen=True)
class Batch:
    """Records of one lane in their order, and the place behind them."""

    lines: list[bytes]
    end: Place
    bytes: int
    damaged: int


class Lane(Protocol):
    """What is recorded goes in at the end and is taken from the front."""

    @property
    def pending_bytes(self) -> int: ...

    @property
    def pending(self) -> int: ...

    def append(self, line: bytes) -> None: ...

    def batch(self, count: int, size: int) -> Batch: ...

    def settle(self, batch: Batch) -> None: ...

    def close(self) -> None: ...


class MemoryLane:
    """A lane without a folder: what is not sent when the process ends is lost."""

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._size = 0

    @property
    def pending_bytes(self) -> int:
        return self._size

    @property
    def pending(self) -> int:
        return len(self._lines)

    def append(self, line: bytes) -> None:
        with self._lock:
            self._lines.append(line)
            self._size += len(line) + _HEAD + 1

    def batch(self, count: int, size: int) -> Batch:
        lines: list[bytes] = []
        taken = 0
        with self._lock:
            for line in self._lines:
                if lines and (len(lines) == count or taken + len(line) + 1 > size):
                    break
                lines.append(line)
                taken += len(line) + 1
        return Batch(lines, Place(0, len(lines)), taken, 0)

    def settle(self, batch: Batch) -> None:
        with self._lock:
            for _ in range(batch.end.offset):
                self._size -= len(self._lines.popleft()) + _HEAD + 1

    def close(self) -> None:
        pass


class DiskLane:
    """A lane in a folder, whose lock this process holds."""

    def __init__(self, folder: Path, lock: int, *, fsync: bool) -> None:
        self.folder = folder
        self._lock_file: int | None = lock
        self._fsync = fsync
        self._mutex = threading.Lock()
        self._sent = self._read_sent()
        self._file: int | None = None
        self._segment, self._written = 0, 0
        self._pending, self._pending_bytes = 0, 0
        self._count_pending()

    @classmethod
    def create(cls, spool: Path, *, to: str, fsync: bool) -> DiskLane:
        """A new lane, which nobody can see before it is locked and says for which log it is."""
        name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
        aside, folder = spool / f".{name}", spool / name
        try:
            aside.mkdir(mode=0o700)
            lock = _lock(aside)
            if lock is None:
                raise SpoolDamaged(f"{aside} was taken by somebody else")
            _write_synced(aside / "to", to, fsync=fsync)
            aside.rename(folder)
        except OSError as problem:
            raise SpoolDamaged(f"the spool {spool} cannot be written: {problem}") from problem
        if fsync:
            _sync_folder(spool)
        return cls(folder, lock, fsync=fsync)

    @classmethod
    def orphans(cls, spool: Path, *, to: str, fsync: bool) -> Iterator[DiskLane]:
        """The lanes for this log that nobody holds, the oldest first; from now on this process holds them."""
        for folder in sorted(path for path in spool.iterdir() if _LANE.fullmatch(path.name)):
            lock = _lock(folder) if _destination(folder) == to else None
            if lock is not None:
                yield cls(folder, lock, fsync=fsync)

    @property
    def pending_bytes(self) -> int:
        return self._pending_bytes

    @property
    def pending(self) -> int:
        return self._pending

    def append(self, line: bytes) -> None:
        """Writes a record. When this returns, the record outlives this process; with `fsync`, the machine."""
        framed = b"%08x %s\n" % (zlib.crc32(line), line)
        with self._mutex:
            self._cut_what_was_not_taken()
            if self._file is None or self._written >= SEGMENT:
                self._begin_segment()
            assert self._file is not None
            start = self._written
            try:
                done = 0
                while done < len(framed):
                    done += os.write(self._file, framed[done:])
                if self._fsync:
                    os.fsync(self._file)
            except OSError:
                # Half a line would take the next one with it.
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, start)
                raise
            written, pending, size = start + len(framed), self._pending + 1, self._pending_bytes + len(framed)
            # With no call in between, where the handler of a signal could raise.
            self._written, self._pending, self._pending_bytes = written, pending, size

    def _cut_what_was_not_taken(self) -> None:
        """Takes away what an `append` wrote that was left by an exception, such as the one of a signal's handler.

        Nobody was told that it was taken. Left where it is, it would be counted as what is appended next.
        """
        if self._file is not None and os.fstat(self._file).st_size > self._written:
            os.ftruncate(self._file, self._written)

    def _begin_segment(self) -> None:
        segment = max([self._segment, self._sent.segment, *self._segments()]) + 1
        new = os.open(self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if self._fsync:
                _sync_folder(self.folder)
        except BaseException:
            os.close(new)
            raise
        # The old one is closed last: where no new one can be had, it stays in use.
        old, self._file, self._segment, self._written = self._file, new, segment, 0
        if old is not None:
            os.close(old)

    def batch(self, count: int, size: int) -> Batch:
        """The next records that are to be sent."""
        with self._mutex:
            open_segment, written = (self._segment, self._written) if self._file is not None else (None, 0)
        lines: list[bytes] = []
        taken = damaged = 0
        place = self._sent
        for segment in [number for number in self._segments() if number >= place.segment]:
            start = place.offset if segment == place.segment else 0
            limit = written if segment == open_segment else None
            for framed, end in _lines(self._path(segment), start, limit):
                line = _checked(framed)
                if line is None:
                    damaged += 1
                elif lines and (len(lines) == count or taken + len(line) + 1 > size):
                    return Batch(lines, place, taken, damaged)
                else:
                    lines.append(line)
                    taken += len(line) + 1
                place = Place(segment, end)
        return Batch(lines, place, taken, damaged)

    def settle(self, batch: Batch) -> None:
        """That a batch is done with: sent, or refused and put aside."""
        with self._mutex:
            before = self._sent
            self._sent = batch.end
            self._pending = max(0, self._pending - len(batch.lines) - batch.damaged)
            open_segment = self._segment if self._file is not None else None
            freed = batch.end.offset - (before.offset if before.segment == batch.end.segment else 0)
            for segment in self._segments():
                if segment >= batch.end.segment:
                    break
                path = self._path(segment)
                freed += path.stat().st_size - (before.offset if segment == before.segment else 0)
                if segment != open_segment:
                    path.unlink()
            self._pending_bytes = max(0, self._pending_bytes - freed)
            aside = self.folder / "sent.new"
            aside.write_text(json.dumps([batch.end.segment, batch.end.offset]), "ascii")
            aside.replace(self.folder / "sent")

    def close(self) -> None:
        """Lets the lane go. Its folder is removed if there is nothing in it to be sent."""
        with self._mutex:
            try:
                # What is in the files decides, not what was counted: nothing that was taken may be removed.
                self._cut_what_was_not_taken()
                if not self._has_unsent():
                    self._remove()
            finally:
                self.abandon()

    def _remove(self) -> None:
        for segment in self._segments():
            self._path(segment).unlink()
        # What says for which log it is goes last: where this is cut short, the next process cleans up.
        for name in ("sent", "lock", "to"):
            (self.folder / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a process that looked at this moment holds it now, and removes it
            self.folder.rmdir()

    def abandon(self) -> None:
        """Lets go of the descriptors, once: of a process that was forked they are copies, and the lane its parent's."""
        held = (self._file, self._lock_file)
        self._file = self._lock_file = None
        for descriptor in held:
            if descriptor is not None:
                os.close(descriptor)

    def _has_unsent(self) -> bool:
        """Whether anything stands behind the place up to which the lane was sent."""
        sent = self._sent
        return any(
            self._path(segment).stat().st_size > (sent.offset if segment == sent.segment else 0)
            for segment in self._segments()
            if segment >= sent.segment
        )

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.log") if path.stem.isdecimal())

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:06d}.log"

    def _read_sent(self) -> Place:
        try:
            segment, offset = json.loads((self.folder / "sent").read_text("ascii"))
            return Place(int(segment), int(offset))
        except FileNotFoundError:
            return Place(0, 0)
        except (ValueError, TypeError):
            return Place(0, 0)  # sent once more is not wrong: the server knows the ids

    def _count_pending(self) -> None:
        for segment in self._segments():
            start = self._sent.offset if segment == self._sent.segment else 0
            if segment < self._sent.segment:
                continue
            for framed, _ in _lines(self._path(segment), start, None):
                self._pending += 1
                self._pending_bytes += len(framed)


def _lines(path: Path, start: int, limit: int | None) -> Iterator[tuple[bytes, int]]:
    """The lines from `start` on, each with the offset behind it. What was torn off at the end is one too."""
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        while limit is None or offset < limit:
            framed = file.readline()
            if not framed:
                return
            offset += len(framed)
            yield framed, offset


def _checked(framed: bytes) -> bytes | None:
    """The record of a line, if it is as it was written."""
    line = framed[_HEAD:-1]
    if framed[-1:] != b"\n" or framed[_HEAD - 1 : _HEAD] != b" ":
        return None
    return line if framed[: _HEAD - 1] == b"%08x" % zlib.crc32(line) else None


def _lock(folder: Path) -> int | None:
    """The lock of a lane, if nobody else holds it."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink > 0:
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _destination(folder: Path) -> str | None:
    """For which log a lane is, if that can be read."""
    try:
        return (folder / "to").read_text("utf-8")
    except (OSError, ValueError):
        return None


def _write_synced(path: Path, text: str, *, fsync: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if fsync:
            os.fsync(descriptor)
    if fsync:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def prepare(spool: Path) -> None:
    """Makes the folder, for its owner alone: what is in it is what people said."""
    try:
        spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise SpoolDamaged(f"the spool {spool} cannot be made: {problem}") from problem


class RefusedFile:
    """Where refused records are kept, up to a bound."""

    def __init__(self, path: Path, most: int) -> None:
        self._path = path
        self._most = most

    def append(self, text: str) -> bool:
        """Whether there was room for it."""
        data = text.encode("utf-8") + b"\n"
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(descriptor).st_size + len(data) > self._most:
                return False
            os.write(descriptor, data)
            os.fsync(descriptor)
            return True
        finally:
            os.close(descriptor)
