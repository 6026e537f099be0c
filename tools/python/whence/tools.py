"""`recorded_tool`: a function whose every call is recorded as a tool."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, ParamSpec, TypeVar, cast, overload

from .context import Effect, Session, _current, current_session

P = ParamSpec("P")
R = TypeVar("R")


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
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError("a generator has no one result that could be recorded")
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

        if inspect.iscoroutinefunction(function):

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
                with session._running(frame, record) as invocation:
                    value = await function(*args, **kwargs)
                    invocation.result(value)
                    return value

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
            with session._running(frame, record) as invocation:
                value = function(*args, **kwargs)
                invocation.result(value)
                return value

        return recorded

    return decorate if function is None else decorate(function)


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
