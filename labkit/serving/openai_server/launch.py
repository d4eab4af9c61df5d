"""A model as a service: llama.cpp's OpenAI-compatible server in a process of its own.

Usage: ``with lab.serve("pocket/qwen2.5") as server: lab.chat(server.url, api_key=server.api_key)``
"""

import json
import secrets
import signal
import urllib.request
from http.client import HTTPException
from pathlib import Path
from typing import Any

from ...core.background import Background, Process, first_word, start_beside, stop_beside
from ...core.errors import LabError
from ...core.extras import require
from ...core.i18n import t
from ...engines import sliding_window
from ...hub.resolver import Location, locate

PORT = 8000
"""The port to try first."""

START = 600
"""Seconds that loading may take: a large model on a slow disk."""

GRACE = 5
"""Seconds to finish what is under way when the server is told to stop."""


class Server(Background):
    """A server that runs; made by :func:`serve`, ended by :meth:`close` or the ``with`` block.

    url: ends in ``/v1``. api_key: what clients must send; never shown by ``repr``. model: its name
    to clients. note: what must be said of its answers, as
    :attr:`labkit.hub.resolver.Location.note`, and where llama.cpp runs the model otherwise than it
    was trained. port: where it listens, another one than asked for if that was taken. log: a text
    file.
    """

    def __init__(
        self,
        process: Process,
        url: str,
        api_key: str,
        model: str,
        note: str,
        port: int,
        log: Path,
        grace: float = GRACE,
    ) -> None:
        super().__init__(process, log, grace + 3)
        self.url, self.api_key, self.model, self.note = url, api_key, model, note
        self.port = port

    def wait(self) -> None:
        """Wait until the server ends. Usage: ``server.wait()``

        Raises LabError when nobody had told it to.
        """
        if self._process.wait() not in (0, -signal.SIGTERM, -signal.SIGINT):
            raise _broken(self.log, t("The server has ended", "服务已经退出"))

    def __repr__(self) -> str:
        state = self.url if self.is_running else t("stopped", "已停止")
        return f"<{self.model} · {state}>"


def serve(
    model: str | Path,
    *,
    port: int = PORT,
    host: str = "127.0.0.1",
    context: int | None = None,
    n_gpu_layers: int = -1,
    n_threads: int | None = None,
    api_key: str | None = None,
) -> Server:
    """Serve a model by OpenAI's protocol, with its own chat template and stop tokens.

    Usage: ``with lab.serve("pocket/qwen2.5") as server: print(server.url, server.api_key)``

    model: what :func:`labkit.engines.load` takes; a folder runs as F16 GGUF. port: the next free
    one where it is taken (0: any). host: 127.0.0.1 lets only this computer in; "0.0.0.0" everyone
    on the network, in plain HTTP. context, n_gpu_layers, n_threads: as for llama.cpp; requests are
    answered one after another, each with the whole context. api_key: None makes one.

    Returns when the server has answered. It ends with :meth:`Server.close`, and with this process
    however that ends. Raises LabError when the model cannot be loaded or the address not be used.

    The key goes to the server through a pipe: no command line, environment or file shows it.
    """
    require("uvicorn")
    require("fastapi")
    location = locate(model)
    order = {
        "gguf": str(location.gguf()), "name": location.name,
        "api_key": api_key or secrets.token_urlsafe(24), "host": host, "port": port,
        "context": context, "n_gpu_layers": n_gpu_layers, "n_threads": n_threads,
    }  # fmt: skip
    return start_server("labkit.serving.openai_server.process", order, location, GRACE)


def start_server(module: str, order: dict[str, Any], location: Location, grace: float) -> Server:
    """Run a module of ours that serves a model, and wait until it has answered.

    Usage: ``start_server("labkit.serving.openai_server.process", order, location, 5)``

    order: what the module reads; of these ``name api_key host`` are read here, too. grace: seconds
    it has to end. Raises LabError when it does not start, with what it says.
    """
    process, log = start_beside(module, order, "server")
    host, api_key = order["host"], order["api_key"]
    try:
        bound = _bound_port(process, log)
        reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        url = f"http://{f'[{reached}]' if ':' in reached else reached}:{bound}/v1"
        _check_health(url, api_key, location.name, log)
    except BaseException:
        stop_beside(process, grace + 3)
        raise
    note = "\n".join(filter(None, (location.note, _window_note(location))))
    return Server(process, url, api_key, location.name, note, bound, log, grace)


def _window_note(location: Location) -> str:
    window = sliding_window(location)
    if not window:
        return ""
    return t(
        f"llama.cpp ignores this model's sliding window of {window} tokens: beyond it, answers are"
        " not those it was trained for. Transformers keeps it: labkit chat --engine transformers",
        f"llama.cpp 不支持这个模型的 {window} 词元滑动窗口：超出之后，回答会偏离训练时的样子。"
        "Transformers 支持：labkit chat --engine transformers",
    )


def _bound_port(process: Process, log: Path) -> int:
    """The port, once the model is loaded; a LabError of the server's is raised here."""
    said = first_word(process, START)
    if "error" in said:
        raise LabError(*said["error"])
    if "port" not in said:
        raise _broken(log)
    return int(said["port"])


def _check_health(url: str, api_key: str, name: str, log: Path) -> None:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is no other machine
    request = urllib.request.Request(
        f"{url}/models", headers={"Authorization": f"Bearer {api_key}"}
    )
    try:
        with direct.open(request, timeout=60) as response:
            served = [model["id"] for model in json.load(response)["data"]]
    except (OSError, HTTPException, ValueError) as error:
        raise _broken(log) from error
    if served != [name]:
        raise _broken(log)


def _broken(log: Path, what: str | None = None) -> LabError:
    what = what or t("The server did not start", "服务没有启动")
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else t("nothing in its log", "日志为空")
    return LabError(
        t(f"{what}: {last}", f"{what}：{last}"),
        t(f"Its log tells more: {log}", f"详情见日志：{log}"),
    )
