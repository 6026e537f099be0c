"""What can go wrong, each as an exception of its own.

`WhenceError` is the root. `ApiError` and what derives from it were said by the server, in `application/problem+json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class WhenceError(Exception):
    """The root of everything that this package raises on purpose."""


class UsageError(WhenceError):
    """A call that cannot mean anything, such as an API call outside of a tool."""


class NoSession(UsageError):
    """A recorded tool was called where no session is open."""


class ConnectionFailed(WhenceError):
    """The server could not be reached, or did not answer, as often as it was tried."""


class ReceiptError(WhenceError):
    """What the server says does not hold: a signature, a proof, or the log is not the one of before.

    Nothing is retried after it, and a recorder stops sending: whoever answers is not the log that was trusted.
    """


class SpoolFull(WhenceError):
    """The spool has as much unsent in it as it may. The record was not taken."""


class SpoolDamaged(WhenceError):
    """The spool's folder cannot be used."""


class Unsent(WhenceError):
    """Time was over, and so many records were not sent. On disk they are kept for the next process."""

    def __init__(self, pending: int, cause: str) -> None:
        super().__init__(f"{pending} records are not sent yet: {cause}")
        self.pending = pending


class Unrecorded(WhenceError):
    """Results of tools that ran could not be recorded. The tools' own outcomes were passed on."""

    def __init__(self, problems: list[BaseException]) -> None:
        super().__init__(f"{len(problems)} results are not recorded: {problems[0]}")
        self.problems = problems


@dataclass(frozen=True)
class FieldError:
    """One thing that is wrong with what was sent."""

    pointer: str
    code: str
    message: str


@dataclass(frozen=True)
class Refusal:
    """Where the ledger tells that a record was refused."""

    id: str
    seq: int


class ApiError(WhenceError):
    """The server answered with an error."""

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        errors: tuple[FieldError, ...] = (),
        request_id: str | None = None,
        refusal: Refusal | None = None,
        retry_after: float | None = None,
    ) -> None:
        places = "".join(f"; {error.pointer or '/'}: {error.code}" for error in errors)
        request = f" [request {request_id}]" if request_id else ""
        super().__init__(f"{status} {code}: {detail}{places}{request}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.request_id = request_id
        self.refusal = refusal
        self.retry_after = retry_after

    @property
    def is_transient(self) -> bool:
        """Whether the same request can succeed later."""
        return self.status in (408, 429) or self.status >= 500 or self.code == "body_unreadable"


class RecordRefused(ApiError):
    """Records that will be refused again however often they are sent."""

    def indices(self, count: int) -> set[int]:
        """Which of the `count` records of the request are at fault, as far as the answer says."""
        if count == 1:
            return {0}
        found = set()
        for error in self.errors:
            head = error.pointer.split("/", 2)[1:2]
            if head and head[0].isascii() and head[0].isdigit() and int(head[0]) < count:
                found.add(int(head[0]))
        return found


class IdConflict(RecordRefused):
    """Another record has this id."""


class NotAllowed(ApiError):
    """The token is unknown, or may not do this."""


class NotFound(ApiError):
    """There is no such ledger, record or session."""


class Busy(ApiError):
    """The server has too much to do; `retry_after` says when to come back."""


class ServerFailed(ApiError):
    """The server's own failure. Nothing is acknowledged."""


_OF_A_RECORD = {"signature_invalid", "producer_forbidden"}
_OF_NO_RECORD = {
    "body_unreadable",
    "media_type_unsupported",
    "name_invalid",
    "no_records",
    "query_invalid",
    "request_invalid",
    "servers_differ",
    "size_unknown",
}
_UNKNOWN = "unknown"
"""The code of an answer that has none: something on the way gave it, such as a proxy, and not the server."""


def _number(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The exception for an answer that is no success."""
    try:
        problem: Any = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    errors = tuple(
        FieldError(str(error.get("pointer", "")), str(error.get("code", "")), str(error.get("message", "")))
        for error in problem.get("errors") or ()
        if isinstance(error, dict)
    )
    refusal = problem.get("refusal")
    code = problem.get("code")
    code = code if isinstance(code, str) and code else _UNKNOWN
    return _class_of(status, code)(
        status=status,
        code=code,
        detail=str(problem.get("detail") or f"an answer that is no problem+json ({len(body)} bytes)"),
        errors=errors,
        request_id=problem.get("request_id") or headers.get("x-request-id"),
        refusal=Refusal(str(refusal["id"]), int(refusal["seq"])) if isinstance(refusal, dict) else None,
        retry_after=_number(headers.get("retry-after")),
    )


def _class_of(status: int, code: str) -> type[ApiError]:
    if code == "id_conflict":
        return IdConflict
    if code in _OF_NO_RECORD:
        return ApiError
    if code == _UNKNOWN and status in (400, 409, 422):  # whoever does not know records has refused none
        return ApiError
    by_status: dict[int, type[ApiError]] = {
        400: RecordRefused,
        401: NotAllowed,
        403: RecordRefused if code in _OF_A_RECORD else NotAllowed,
        404: NotFound,
        409: RecordRefused,
        413: RecordRefused,
        422: RecordRefused,
        429: Busy,
    }
    return by_status.get(status, ServerFailed if status >= 500 else ApiError)
