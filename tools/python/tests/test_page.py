"""Every Python block of the page about this package runs, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from serving import ROOT, Server, binary

from whence import Client


def test_the_blocks_of_the_page_run(server: Server, tmp_path: Path) -> None:
    page = (ROOT / "schema" / "PYTHON.md").read_text("utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 6
    (tmp_path / "page.py").write_text("\n".join(blocks))
    (tmp_path / "whence").symlink_to(binary())
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "WHENCE_DATA": str(server.data),
        "WHENCE_URL": server.url,
        "WHENCE_TOKEN": server.token,
        "WHENCE_LEDGER": "main",
    }
    [commands] = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    # The package is installed already: how else would this run?
    script = commands.replace("pip install ./tools/python\n", "")
    assert script != commands
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, "page.py"],
        check=False,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "user_context_missing /0/user" in done.stdout
    assert "happened because" in done.stdout, done.stdout
    assert server.key in done.stdout
    assert not (tmp_path / "spool" / "refused.ndjson").exists(), (tmp_path / "spool" / "refused.ndjson").read_text()
    with Client(server.url, server.token, key=server.key) as client:
        records = client.session_records("s-1")["records"]["data"]
        kinds = [record["entry"]["kind"] for record in records]
        assert kinds.count("model_output") == 2
        assert kinds[-1] == "session_end"
        assert not any(record["flags"] for record in records)


def test_the_page_names_what_there_is() -> None:
    import whence  # noqa: PLC0415

    page = (ROOT / "schema" / "PYTHON.md").read_text("utf-8")
    for names in re.findall(r"^from whence import (.*)$", page, re.MULTILINE):
        assert set(names.split(", ")) <= set(whence.__all__)
