"""A proxy on loopback between a client and an API: it keeps every byte, and can fail on order.

Usage: ``with RecordingProxy(upstream.url) as proxy: OpenAI(base_url=proxy.url, api_key=…)``;
``print(proxy.requests[-1])``

For lessons and tests: what leaves a computer can be read, and an outage, a rate limit or a model
that was retired can be had at will. Not covered: TLS towards the client (it is on this computer),
anything beside POST and GET, and a company's own proxy on the way out. The answer is passed on
piece by piece, as it comes.
"""

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

from ..core.errors import LabError
from ..core.i18n import t

Failure = Literal["rate-limit", "retired", "overloaded", "hang-up"]

FAILURES: dict[Failure, tuple[int, str, str]] = {
    "rate-limit": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "retired": (404, "model_not_found", "The model has been deprecated."),
    "overloaded": (503, "server_error", "The engine is currently overloaded."),
    "hang-up": (0, "", ""),
}
"""Kind to the status, the code and the words with which OpenAI's API answers; 0: none at all."""

OPENAI = "https://api.openai.com/v1"

PERMISSION = ("use my key", "用我的密钥")
"""The words without which a key in the environment is left alone."""

_HOP = {"connection", "keep-alive", "transfer-encoding", "host", "content-length", "server", "date"}


@dataclass(frozen=True)
class Recorded:
    """One request as it arrived. line: such as ``POST /v1/chat/completions HTTP/1.1``.

    headers: in their order, keys in them blotted out. body: raw. size: bytes of all of it.
    """

    line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    size: int

    @property
    def json(self) -> dict[str, object]:
        """The body, read. Usage: ``recorded.json["messages"]``"""
        return dict(json.loads(self.body or b"{}"))

    def __str__(self) -> str:
        lines = [self.line, *(f"{name}: {value}" for name, value in self.headers), ""]
        return "\n".join([*lines, json.dumps(self.json, ensure_ascii=False, indent=1)])


@dataclass(frozen=True)
class Endpoint:
    """Where an API is. note: what must be said of it; model: its name there.

    settings: to be sent along with each question. The stand-in is asked greedily, so that it says
    the same each time; a closed model gets none, for some refuse a temperature.
    """

    url: str
    model: str
    api_key: str = field(repr=False)
    is_stand_in: bool
    note: str
    settings: Mapping[str, float] = field(default_factory=dict)


def find_api(
    stand_in: object,
    environment: Mapping[str, str] | None = None,
    *,
    permission: str = "",
    model: str = "gpt-6-luna",
) -> Endpoint:
    """The closed API whose key is in the environment, or a server on this computer in its place.

    Usage: ``find_api(lab.serve("pocket/mistral"), permission="use my key")``

    OPENAI_API_KEY, and where set OPENAI_BASE_URL and OPENAI_MODEL, are read as the openai package
    reads the first two. permission: one of :data:`PERMISSION`; without it a key is not used, for
    answers cost money and questions leave the computer. stand_in: what has ``url``, ``model`` and
    ``api_key``. In static renderings the stand-in is always taken, so that nothing is sent and
    outputs do not vary. Raises LabError for other words of permission.
    """
    asked = permission.strip().lower()
    if asked and asked not in PERMISSION:
        raise LabError(
            t(f"'{permission}' permits nothing.", f"“{permission}”不表示同意。"),
            t(f"Write '{PERMISSION[0]}', or nothing.", f"请写“{PERMISSION[1]}”，或留空。"),
        )
    known = os.environ if environment is None else environment
    key, static = known.get("OPENAI_API_KEY"), known.get("LABKIT_STATIC") == "1"
    if key and asked and not static:
        url = known.get("OPENAI_BASE_URL") or OPENAI
        note = t(
            f"Your key is used: questions go to {urlsplit(url).hostname}, and are paid for.",
            f"使用你的密钥：问题会发往 {urlsplit(url).hostname}，并产生费用。",
        )
        return Endpoint(url, known.get("OPENAI_MODEL") or model, key, False, note)
    name = str(getattr(stand_in, "model", ""))
    if static:
        why = t("No key is used on this page", "本页不使用密钥")
    elif key:
        why = t(
            f"There is a key, and it is left alone until you write '{PERMISSION[0]}'",
            f"环境里有密钥，但没有动用；写上“{PERMISSION[1]}”才会用它",
        )
    else:
        why = t("There is no key", "没有密钥")
    note = t(
        f"{why}: {name} on this computer stands in for the API. The protocol is the same;"
        " what it says tells nothing about closed models.",
        f"{why}：由本机的 {name} 代替 API。协议是一样的；它的回答不代表闭源模型的水平。",
    )
    url, api_key = str(getattr(stand_in, "url", "")), str(getattr(stand_in, "api_key", ""))
    return Endpoint(url, name, api_key, True, note, {"temperature": 0})


class RecordingProxy:
    """Passes requests on to *upstream* and keeps them; ended by :meth:`close` or ``with``.

    url: ends as upstream does, usually in ``/v1``. requests: what arrived, the oldest first,
    failures included. failure: one of FAILURES answers instead of upstream; None passes on.
    """

    def __init__(self, upstream: str, failure: Failure | None = None) -> None:
        self.upstream, self.requests = upstream.rstrip("/"), list[Recorded]()
        self.failure = failure
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"  # an answer ends where its connection does

            def do_POST(self) -> None:
                proxy._answer(self)

            do_GET = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        path = urlsplit(self.upstream).path
        self.url = f"http://127.0.0.1:{self._httpd.server_port}{path}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def failure(self) -> Failure | None:
        """What is answered instead of passing on; may be set at any time."""
        return self._failure

    @failure.setter
    def failure(self, kind: Failure | None) -> None:
        if kind not in (None, *FAILURES):
            raise LabError(
                t(f"There is no failure '{kind}'.", f"没有名为 '{kind}' 的故障。"),
                t(f"They are: {', '.join(FAILURES)}.", f"可用的有：{'、'.join(FAILURES)}。"),
            )
        self._failure = kind

    def close(self) -> None:
        """Go down: from now on a connection is refused. Usage: ``proxy.close()``"""
        if self._thread.is_alive():
            self._httpd.shutdown()
            self._httpd.server_close()
            self._thread.join()

    def __enter__(self) -> "RecordingProxy":
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, client: BaseHTTPRequestHandler) -> None:
        body = client.rfile.read(int(client.headers.get("Content-Length") or 0))
        shown = tuple((name, _blot(name, value)) for name, value in client.headers.items())
        size = len(client.requestline) + 2 + len(client.headers.as_bytes()) + len(body)
        self.requests.append(Recorded(client.requestline, shown, body, size))
        if self.failure is None:
            self._pass_on(client, body)
        elif self.failure != "hang-up":
            _refuse(client, *FAILURES[self.failure])

    def _pass_on(self, client: BaseHTTPRequestHandler, body: bytes) -> None:
        there = urlsplit(self.upstream)
        kind = HTTPSConnection if there.scheme == "https" else HTTPConnection
        headers = {k: v for k, v in client.headers.items() if k.lower() not in _HOP}
        headers["Accept-Encoding"] = "identity"
        connection = kind(there.hostname or "", there.port, timeout=600)
        begun = False
        try:
            connection.request(client.command, client.path, body, headers)
            answer = connection.getresponse()
            begun = True
            client.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in _HOP:
                    client.send_header(name, value)
            client.end_headers()
            while piece := answer.read1(65536):
                client.wfile.write(piece)
                client.wfile.flush()
        except (OSError, HTTPException):
            if not begun:  # upstream gave no answer: say so, as gateways do
                _refuse(client, 502, "bad_gateway", "The API cannot be reached.")
        finally:
            connection.close()


def _blot(name: str, value: str) -> str:
    return "********" if name.lower() in ("authorization", "api-key", "cookie") else value


def _refuse(client: BaseHTTPRequestHandler, status: int, code: str, words: str) -> None:
    said = {"error": {"message": words, "type": code, "param": None, "code": code}}
    body = json.dumps(said).encode()
    client.send_response(status)
    client.send_header("Content-Type", "application/json")
    client.send_header("Content-Length", str(len(body)))
    if status == 429:
        client.send_header("retry-after-ms", "50")
    client.end_headers()
    client.wfile.write(body)
