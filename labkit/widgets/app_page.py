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
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ..catalog import DATA
from ..core.background import Background, Process, first_word, start_beside, stop_beside
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from .front_page import MODEL

PORT = 8866
"""The port to try first; it is Voilà's own."""

START = 120
"""Seconds that Voilà may take to listen."""

GRACE = 10
"""Seconds to end what it runs when it is told to stop."""

POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws:; frame-ancestors 'none'"
"""What a browser may fetch for the page: nothing from elsewhere (Voilà's template names a CDN)."""


class Page(Background):
    """A page that is served; made by :func:`open_page`, ended by :meth:`close` or ``with``.

    url: with its token. port: another than asked for if that was taken. log: a text file.
    """

    def __init__(self, process: Process, url: str, port: int, log: Path) -> None:
        super().__init__(process, log, GRACE)
        self.url, self.port = url, port

    def wait(self) -> None:
        """Return when it has ended."""
        self._process.wait()


def open_page(model: str | None = None, *, port: int = PORT) -> Page:
    """Serve the page on 127.0.0.1.

    Usage: ``with open_page("pocket/llama3") as page: webbrowser.open(page.url)``

    model: whom one talks to on it, what :func:`labkit.chat` takes. port: another one where it is
    taken (0: any). Returns when it listens. Raises LabError where Voilà is missing or fails.
    """
    need("voila")
    token = secrets.token_urlsafe(24)
    environment = {k: v for k, v in os.environ.items() if k not in ("LABKIT_STATIC", MODEL)}
    environment |= {MODEL: model} if model else {}
    order = {"port": port or _find_port(), "token": token}
    process, log = start_beside("labkit.widgets.app_page", order, "page", environment)
    try:
        said = first_word(process, START)
    except BaseException:
        stop_beside(process, GRACE)
        raise
    if not said:
        stop_beside(process, GRACE)
        raise LabError(
            t("The page did not start.", "网页没有启动。"),
            t(f"Its log tells why: {log}", f"原因见日志：{log}"),
        )
    bound = said["port"]
    return Page(process, f"http://127.0.0.1:{bound}/?token={token}", bound, log)


def _find_port() -> int:
    """A port that is free now; Voilà tries others should it be taken meanwhile."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- in the process of the page ----------------------------------------------------------------


def _serve() -> None:
    """Run Voilà until it is told to stop, or until whoever opened the page is gone."""
    order = json.loads(sys.stdin.readline())
    Voila: Any = need("voila.app").Voila
    said = sys.stdout
    sys.stdout = sys.stderr  # what Voilà prints belongs into the log

    class Told(Voila):  # type: ignore[misc]
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
