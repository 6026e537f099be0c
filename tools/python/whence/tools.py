"""`recorded_tool`: a function whose every call is recorded as a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from .context import Effect, Invocation, Session, _current, current_session

P = ParamSpec("P")
R = TypeVar("R")

_NO_ONE_RESULT = "a generator has no one result that could be recorded"


@overload
def recorded_tool(function: Callable[P, R], /) -> Callable[P, R]: ...


@overload
def recorded_tool(
    *,
    name: str | None = None,
    effect: Effect | None = None,
    server: str | None = None,
    preflight: bool = False,
    without_session: Literal["raise", "run"] = "raise",
    data: Mapping[str, Any] | None = None,
) -> Callable[[Callable[P, R]], Callable[P, R]]: ...


def recorded_tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    effect: Effect | None = None,
    server: str | None = None,
    preflight: bool = False,
    without_session: Literal["raise", "run"] = "raise",
    data: Mapping[str, Any] | None = None,
) -> Any:
    """Records every call of a function: a `tool_invocation` before it with its arguments, a `tool_result` after it.

    The invocation is recorded before the function runs; where it cannot be, the function does not run. What it
    returns and raises is passed on as it is. Works for functions, methods and coroutine functions. Called where no
    session is open it raises `NoSession`, unless `without_session="run"`.

    Of any other function that returns an awaitable the result is what that comes to: a coroutine is returned in its
    place, and the result recorded when it was awaited. Generators are refused, since they have no one result.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(_NO_ONE_RESULT)
        tool = name or str(getattr(function, "__name__", "tool"))
        signature = inspect.signature(function)

        def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Session, Any] | None:
            if without_session == "run" and _current.get() is None:
                return None
            session = current_session()
            return session, session._invocation(
                tool,
                _arguments(signature, args, kwargs),
                call_id=None,
                effect=effect,
                server=server,
                informed=(),
                extra=data,
            )

        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

            @functools.wraps(function)
            async def recorded_async(*args: Any, **kwargs: Any) -> Any:
                begun = begin(args, kwargs)
                if begun is None:
                    return await function(*args, **kwargs)
                session, (frame, record) = begun
                if not preflight:
                    session.sink.emit(record)
                elif inspect.isawaitable(asked := session.sink.preflight(record)):
                    await cast(Awaitable[object], asked)
                invocation = Invocation(session, frame, record)
                with invocation._inside():
                    awaitable = function(*args, **kwargs)
                return await _awaited(invocation, awaitable)

            return recorded_async

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            begun = begin(args, kwargs)
            if begun is None:
                return function(*args, **kwargs)
            session, (frame, record) = begun
            if not preflight:
                session.sink.emit(record)
            elif inspect.iscoroutine(asked := session.sink.preflight(record)):
                asked.close()
                raise TypeError("this sink is asynchronous: only a coroutine function can ask it first")
            invocation = Invocation(session, frame, record)
            with invocation._inside():
                value = function(*args, **kwargs)
                _refuse_generator(value)
            return _outcome(invocation, value)

        return recorded

    return decorate if function is None else decorate(function)


def _outcome(invocation: Invocation, value: object) -> object:
    """What the caller gets. Something that is yet to be awaited is no result, and leaves the invocation open."""
    if inspect.isawaitable(value):
        return _awaited(invocation, value)
    invocation.result(value)
    invocation._finish()
    return value


async def _awaited(invocation: Invocation, awaitable: Awaitable[object]) -> object:
    with invocation._inside():
        value = await awaitable
        _refuse_generator(value)
    return _outcome(invocation, value)


def _refuse_generator(value: object) -> None:
    # A generator of `types.coroutine` is there to be awaited.
    if (inspect.isgenerator(value) or inspect.isasyncgen(value)) and not inspect.isawaitable(value):
        raise TypeError(_NO_ONE_RESULT)


def _arguments(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, object]:
    """The arguments by name, without the object that a method belongs to, and with defaults."""
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # the call itself will fail with the same, and this is what it was called with
        return {"args": list(args), "kwargs": kwargs}
    bound.apply_defaults()
    found = dict(bound.arguments)
    first = next(iter(signature.parameters), None)
    if first in ("self", "cls"):
        found.pop(first, None)
    return found
