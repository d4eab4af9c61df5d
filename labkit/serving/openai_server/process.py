"""The server's own process: a model of ours behind llama.cpp's OpenAI-compatible app.

It reads one line of JSON from stdin and answers with one line on stdout: the port, once the model
is loaded and the socket listens, or what went wrong. It ends when stdin does: whoever started it is
gone then. Everything else it has to say goes to stderr, its log.
"""

import errno
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ...core.errors import LabError
from ...core.extras import need
from ...core.i18n import t
from ...core.workers import take_stdout
from ...engines.llama_cpp import LlamaModel
from ...hub.resolver import Location
from .launch import GRACE
from .requests import chat_handler, set_up


def main() -> None:
    """Serve until told to stop; :func:`~labkit.serving.openai_server.serve` starts it."""
    out = take_stdout()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    order = json.loads(sys.stdin.readline())
    end_with_parent(GRACE)
    try:
        listener = bind(order["host"], order["port"])
        app = make_app(order)
    except LabError as error:
        print(json.dumps({"error": [error.what, error.way_out]}), file=out, flush=True)
        return
    uvicorn = need("uvicorn")
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=GRACE))
    listener.listen(512)  # who comes before the app runs waits here
    print(json.dumps({"port": listener.getsockname()[1]}), file=out, flush=True)
    out.close()
    server.run(sockets=[listener])


def make_app(order: dict[str, Any]) -> Any:
    """llama.cpp's app, around the model as :func:`labkit.engines.load` would load it.

    Usage: ``make_app({"gguf": …, "name": …, "api_key": …, "context": None, "n_gpu_layers": 0,
    "n_threads": 1})``
    """
    llama_app = need("llama_cpp.server.app")
    llama_settings = need("llama_cpp.server.settings")
    location = Location(order["name"], Path(order["gguf"]), "gguf")
    model = LlamaModel(location, order["context"], order["n_gpu_layers"], order["n_threads"])
    model.model.chat_handler = chat_handler(model)
    proxy = need("llama_cpp.server.model").LlamaProxy
    proxy.load_llama_from_model_settings = staticmethod(lambda _: model.model)
    app = llama_app.create_app(
        server_settings=llama_settings.ServerSettings(
            api_key=order["api_key"],
            interrupt_requests=False,  # else a second client would end the first one's answer
        ),
        model_settings=[
            llama_settings.ModelSettings(model=order["gguf"], model_alias=order["name"])
        ],
    )
    set_up(app, model)
    return app


def bind(host: str, port: int) -> socket.socket:
    """A socket on the wanted port, or on a free one if that is taken.

    Usage: ``bind("127.0.0.1", 8000).getsockname()[1]``. Raises LabError for what is no address.
    """
    try:
        if not 0 <= port < 65536:  # the system would cut it to sixteen bits
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        if os.name == "posix":  # on Windows it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES) or port == 0:
                raise
            listener.bind((address[0], 0, *address[2:]))
    except OSError as error:
        reason = error.strerror
        raise LabError(
            t(f"Cannot listen on {host}:{port}: {reason}.", f"无法监听 {host}:{port}：{reason}。"),
            t(
                "Take an address of this computer, such as 127.0.0.1, and a port up to 65535.",
                "请使用本机地址（如 127.0.0.1）和不超过 65535 的端口。",
            ),
        ) from error
    return listener


def end_with_parent(grace: float) -> None:
    """Stop when stdin ends or another process has become the parent, after grace seconds by force.

    Usage: ``end_with_parent(5)``, once stdin has been read.

    The second also holds where the parent forked and its child kept the pipe open; Linux's
    PR_SET_PDEATHSIG would end the server with the thread, not the process, that started it.
    """

    def stop() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace + 2)
        os._exit(1)  # loading a model heeds no signal

    def read() -> None:
        sys.stdin.read()
        stop()

    def look() -> None:
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(1)
        stop()

    for watch in (read, look):
        threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    logging.getLogger("llama-cpp-python").setLevel(logging.WARNING)
    main()
