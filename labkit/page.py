"""The web page of ``labkit app``: picker, memory explorer and chat, served by Voilà.

Usage: ``with open_page() as page: print(page.url)``

Voilà runs the notebook ``labkit/data/app.ipynb`` anew for everyone who opens the page, and shows
its widgets without its code. It listens on this computer only, wants the token that is in ``url``,
and ends with the process that opened it. Not covered: a page for other computers.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from .catalog import DATA
from .errors import LabError
from .extras import need
from .i18n import language, t
from .machine import cache_folder
from .widgets.front_page import MODEL

PORT = 8866
"""The port to try first; it is Voilà's own."""

START = 120
"""Seconds that Voilà may take to listen."""

GRACE = 10
"""Seconds to end what it runs when it is told to stop."""

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws:; frame-ancestors 'none'"
"""What a browser may fetch for the page: nothing from elsewhere (Voilà's template names a CDN)."""


class Page:
    """A page that is served; made by :func:`open_page`, ended by :meth:`close` or ``with``.

    url: with its token. port: another than asked for if that was taken. log: a text file.
    """

    def __init__(self, process: "subprocess.Popen[str]", url: str, port: int, log: Path) -> None:
        self.url, self.port, self.log = url, port, log
        self._process = process

    @property
    def is_running(self) -> bool:
        """Whether it still serves."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that serves it."""
        return self._process.pid

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.wait()

    def close(self) -> None:
        """End it, and everything that runs for it; a second time does nothing."""
        _stop(self._process)

    def __enter__(self) -> "Page":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_page(model: str | None = None, *, port: int = PORT) -> Page:
    """Serve the page on 127.0.0.1.

    Usage: ``with open_page("pocket/llama3") as page: webbrowser.open(page.url)``

    model: whom one talks to on it, what :func:`labkit.chat` takes. port: another one where it is
    taken (0: any). Returns when it listens. Raises LabError where Voilà is missing or fails.
    """
    need("voila")
    token = secrets.token_urlsafe(24)
    log = cache_folder() / "logs" / f"page-{os.getpid()}-{secrets.token_hex(2)}.log"
    log.parent.mkdir(exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k not in ("LABKIT_STATIC", MODEL)}
    environment |= {"LABKIT_LANG": language(), "PYTHONUTF8": "1"}
    environment |= {MODEL: model} if model else {}
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "labkit.page"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # else Ctrl-C in the terminal would reach its kernels, too
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
    assert process.stdin and process.stdout
    late = threading.Timer(START, process.kill)
    late.start()
    try:
        # Through the pipe: no command line or file shows the token. It stays open, see _serve.
        print(
            json.dumps({"port": port or _find_port(), "token": token}),
            file=process.stdin,
            flush=True,
        )
        line = process.stdout.readline()
    except OSError:
        line = ""
    except BaseException:
        _stop(process)
        raise
    finally:
        late.cancel()
    if not line:
        _stop(process)
        raise LabError(
            t("The page did not start.", "网页没有启动。"),
            t(f"Its log tells why: {log}", f"原因见日志：{log}"),
        )
    bound = json.loads(line)["port"]
    return Page(process, f"http://127.0.0.1:{bound}/?token={token}", bound, log)


def _find_port() -> int:
    """A port that is free now; Voilà tries others should it be taken meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe and not pipe.closed:
            pipe.close()


# --- in the process of the page ----------------------------------------------------------------


def _serve() -> None:
    """Run Voilà until it is told to stop, or until whoever opened the page is gone."""
    order = json.loads(sys.stdin.readline())
    Voila: Any = need("voila.app").Voila
    said = sys.stdout
    sys.stdout = sys.stderr  # what Voilà prints belongs into the log

    class Told(Voila):
        def start(self) -> None:
            self.tornado_settings = {"headers": {"Content-Security-Policy": POLICY}}
            super().start()

        def launch_browser(self) -> None:
            """Called by Voilà once it listens: tell the port instead."""
            print(json.dumps({"port": self.port}), file=said, flush=True)

    def end_with_parent() -> None:
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    Told.launch_instance(
        [
            str(DATA / "app.ipynb"),
            "--Voila.ip=127.0.0.1",
            f"--Voila.port={order['port']}",
            "--Voila.open_browser=True",
            f"--Voila.token={order['token']}",
            "--MappingKernelManager.cull_idle_timeout=600",  # of a page that was closed
            "--VoilaConfiguration.show_tracebacks=False",
        ]
    )


if __name__ == "__main__":
    _serve()
