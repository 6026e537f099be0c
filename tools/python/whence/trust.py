"""Which log is trusted: its key, and the newest checkpoint that was verified.

A log that forked, or that was taken back to an older state, cannot prove that it continues the checkpoint that is
kept here.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import weakref
from collections import OrderedDict
from pathlib import Path

from .errors import ReceiptError, UsageError
from .proofs import Checkpoint, VerifierKey

_REMEMBERED = 1_024


class Trust:
    """The key and the kept checkpoint of one log, in memory and, if asked for, in a file.

    Threads may share it. Processes that share a file each keep what they saw, and the longer log stays in it.
    """

    def __init__(self, key: str | None, *, on_first_use: bool = False, file: str | os.PathLike[str] | None = None):
        self._lock = threading.Lock()
        self._file = Path(file) if file is not None else None
        self._key_text = key.strip() if key else None
        self._kept: Checkpoint | None = None
        self._roots: OrderedDict[int, bytes] = OrderedDict()
        self.wants_first_key = on_first_use and key is None
        _trusts.add(self)
        self._load()
        self.key = VerifierKey.parse(self._key_text) if self._key_text else None
        if self.key is not None:
            self.wants_first_key = False
            if self._kept is not None:
                self._kept.verify(self.key)

    @property
    def key_text(self) -> str | None:
        """The verifier key, as text."""
        return self._key_text

    @property
    def kept(self) -> Checkpoint | None:
        """The newest checkpoint that was verified."""
        return self._kept

    def pin(self, key: str) -> None:
        """Trusts a key that was seen for the first time. The first one stays."""
        with self._lock:
            if self.key is None:
                self.key = VerifierKey.parse(key)
                self._key_text = key.strip()
                self._save()
            self.wants_first_key = False

    def is_known(self, seen: Checkpoint) -> bool:
        """Whether this size and root were verified before. Another root of a known size is a fork."""
        with self._lock:
            root = self._roots.get(seen.size)
            if root is None:
                return False
            if root != seen.root:
                raise ReceiptError(f"the log has two histories of {seen.size} records")
            self._roots.move_to_end(seen.size)
            return True

    def advance(self, kept: Checkpoint | None, seen: Checkpoint) -> bool:
        """Keeps a checkpoint that was found consistent with `kept`, unless another was kept meanwhile."""
        with self._lock:
            if self._kept is not kept:
                return False
            self._roots[seen.size] = seen.root
            while len(self._roots) > _REMEMBERED:
                self._roots.popitem(last=False)
            if kept is None or seen.size > kept.size:
                self._kept = seen
                self._save()
            return True

    def _load(self) -> None:
        if self._file is None or not self._file.exists():
            return
        try:
            found = json.loads(self._file.read_text("utf-8"))
            key, note = found.get("key"), found.get("checkpoint")
        except (OSError, ValueError, AttributeError) as problem:
            raise ReceiptError(f"the kept checkpoint in {self._file} cannot be read") from problem
        if key and self._key_text is None:
            self._key_text = str(key)
        if note:
            self._kept = Checkpoint.parse(note)
            self._roots[self._kept.size] = self._kept.root

    def _save(self) -> None:
        if self._file is None:
            return
        kept = self._kept
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._file.read_text("utf-8")).get("checkpoint")
            if kept is not None and found and Checkpoint.parse(found).size > kept.size:
                return
        text = json.dumps({"key": self._key_text, "checkpoint": kept.note if kept else None})
        aside = self._file.with_name(f"{self._file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            aside.write_text(text, "utf-8")
            aside.chmod(0o600)
            aside.replace(self._file)
        except OSError as problem:
            raise UsageError(f"the checkpoint cannot be kept in {self._file}: {problem}") from problem


_trusts: weakref.WeakSet[Trust] = weakref.WeakSet()


def _unlock() -> None:
    """In a child: the thread that held a lock when it was forked is not there to let it go."""
    for trust in list(_trusts):
        trust._lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock)
