"""A Python of ours that works beside this one, and ends with it however that ends.

Usage: ``process, log = start_beside("labkit.serving.openai_server.process", order, "server")``

The child reads its order, one line of JSON, from a pipe: no command line, environment or file shows
what stands in it. The pipe stays open, and its end tells the child that we are gone.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .cache import cache_folder
from .i18n import language

_LOGS_KEPT = 10

Process = subprocess.Popen[str]


class Background:
    """A child that runs, ended by :meth:`close` or the ``with`` block. log: a text file.

    grace: seconds it has to end when it is told to, before it is killed.
    """

    def __init__(self, process: Process, log: Path, grace: float) -> None:
        self.log = log
        self._process = process
        self._stop = weakref.finalize(self, stop_beside, process, grace)  # at the latest at exit

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def close(self) -> None:
        """End it; what is under way has a few seconds. A second time does nothing."""
        self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start_beside(
    module: str, order: dict[str, Any], name: str, env: dict[str, str] | None = None
) -> tuple[Process, Path]:
    """Run ``python -m module`` with an order; returns the process and its log.

    Usage: ``start_beside("labkit.widgets.app_page", {"port": 0}, "page")``. name: how its logs are
    called; the last ten are kept. env: its variables; None takes this process's own.
    """
    folder = cache_folder() / "logs"
    folder.mkdir(exist_ok=True)
    for old in sorted(folder.glob(f"{name}-*.log"))[: 1 - _LOGS_KEPT]:
        old.unlink(missing_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    log = folder / f"{name}-{stamp}-{os.getpid()}-{secrets.token_hex(2)}.log"
    environment = os.environ if env is None else env
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            encoding="utf-8",
            env=environment | {"LABKIT_LANG": language(), "PYTHONUTF8": "1"},
            start_new_session=True,  # else interrupting a cell would end the child, too
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    assert process.stdin
    with contextlib.suppress(BrokenPipeError):  # it is gone already; its log says why
        print(json.dumps(order), file=process.stdin, flush=True)
    return process, log


def first_word(process: Process, seconds: float) -> dict[str, Any]:
    """The first line of JSON that a child writes; empty where it ends, or takes too long, instead.

    Usage: ``first_word(process, 60).get("port")``
    """
    assert process.stdout
    late = threading.Timer(seconds, process.kill)
    late.start()
    try:
        line = process.stdout.readline()
    finally:
        late.cancel()
    return json.loads(line) if line else {}


def stop_beside(process: Process, grace: float) -> None:
    """Ask, wait, and then do not ask again. Usage: ``stop_beside(process, 5)``"""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close() if pipe else None
