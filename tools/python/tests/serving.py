"""A real server in a folder of its own, that can be killed and started again, and records to post to it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import settings

from whence import Client

settings.register_profile("here", database=None)
settings.load_profile("here")

ROOT = Path(__file__).resolve().parents[3]


def binary() -> str:
    """The server: `WHENCE_BIN`, or what was built last in this checkout."""
    named = os.environ.get("WHENCE_BIN")
    built = [ROOT / "target" / profile / "whence" for profile in ("debug", "release")]
    found = [named] if named else [str(path) for path in built if path.exists()]
    if not found:
        pytest.fail("there is no server to test with: set WHENCE_BIN, or run `cargo build`")
    return found[0]


class Server:
    """A server on a port that it keeps over restarts."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("WHENCE_")}
        self._command("init")
        self.token = (self.data / "admin.token").read_text().strip()
        self.start()
        self.key = httpx.get(f"{self.url}/tlog/main/log.vkey", headers=self.headers).text.strip()

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}

    def _command(self, *arguments: str) -> None:
        command = [binary(), *arguments, "--data", str(self.data)]
        subprocess.run(command, check=True, capture_output=True, env=self._environment)

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [binary(), "serve", "--data", str(self.data), "--listen", f"127.0.0.1:{self.port}"],
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(f"{self.url}/healthz")
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"the server does not start: {self._log.read_text()}")

    def kill(self) -> None:
        """As `kill -9` does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        assert self._process is not None
        self._process.terminate()
        self._process.wait()

    def token_of(self, role: str) -> str:
        answer = httpx.post(
            f"{self.url}/v1/tokens", headers=self.headers, json={"name": role, "roles": [role], "ledgers": ["main"]}
        )
        assert answer.status_code == 201, answer.text
        secret: str = answer.json()["token"]
        return secret

    def client(self, **options: Any) -> Client:
        return Client(self.url, self.token, **{"key": self.key, "producer": "test", **options})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Server]:
    """A server that nobody else uses, to be killed and changed."""
    server = Server(tmp_path)
    yield server
    server.kill()


def prompt(session: str, text: object = "Pay the invoice.", **more: Any) -> dict[str, Any]:
    return {
        "kind": "prompt",
        "user": {"id": "alice@example.com", "type": "human"},
        "session": {"id": session},
        "source": {"observed_by": "agent_process", "producer": "test"},
        "data": {"role": "user"},
        "content": {"text": text},
        **more,
    }


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it does not come to hold"
        time.sleep(0.01)
