"""A web page that talks with a served model, and the small backend that keeps its key.

Usage: ``with serve_page(server.url, server.api_key) as address: print(address)``

What a page holds every visitor can read, so the key stays in the backend: the page asks the backend
on its own address, the backend asks the model. Built on the standard library, to be read.

Not covered: who may visit (put it behind your own login), encryption (a reverse proxy), streaming.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..conversation.session import Chat
from ..core.errors import LabError
from ..core.i18n import language, t
from ..engines import RemoteModel, Sampling, connect

LARGEST = 100_000
"""Bytes of a question with all that was said before."""

PAGE = """<!doctype html>
<html lang="LANGUAGE">
<meta charset="utf-8">
<title>TITLE</title>
<h1>TITLE</h1>
<ol id="talk"></ol>
<form><input id="text" placeholder="HINT" autofocus><button>SEND</button></form>
<script>
const messages = [];
function show(role, content) {
  messages.push({role, content});
  const line = document.createElement("li");
  line.textContent = content;             // as text: an answer must not become a part of the page
  document.getElementById("talk").append(line);
}
document.querySelector("form").onsubmit = async (event) => {
  event.preventDefault();
  const text = document.getElementById("text");
  show("user", text.value);
  text.value = "";
  const reply = await fetch("ask", {      // the address this page came from, and no key
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify({messages}),
  });
  const said = await reply.json();
  if (reply.ok) show("assistant", said.answer);
  else alert(said.error);
};
</script>
</html>
"""


def write_page() -> str:
    """The page, in the reader's language. Usage: ``print(write_page())``"""
    words = {
        "LANGUAGE": language(),
        "TITLE": t("Ask the model", "问问模型"),
        "HINT": t("Your question", "输入问题"),
        "SEND": t("Send", "发送"),
    }
    page = PAGE
    for name, word in words.items():
        page = page.replace(name, word)
    return page


class Backend(BaseHTTPRequestHandler):
    """Gives the page to who asks for it, and answers its questions."""

    model: RemoteModel
    sampling: Sampling

    def do_GET(self) -> None:
        if self.path == "/":
            self.reply(200, write_page(), "text/html; charset=utf-8")
        else:
            self.reply(404, {"error": t("There is only one page.", "这里只有一个页面。")})

    def do_POST(self) -> None:
        # A page of another address may send a form anywhere, but JSON only where it is allowed to.
        if self.headers.get("Content-Type") != "application/json":
            return self.reply(415, {"error": t("JSON is wanted.", "请发送 JSON。")})
        size = int(self.headers.get("Content-Length") or 0)
        if size > LARGEST:
            return self.reply(413, {"error": t("That is too long.", "内容太长。")})
        try:
            *earlier, question = json.loads(self.rfile.read(size))["messages"]
            chat = Chat(self.model, sampling=self.sampling)
            chat.history += [{k: str(m[k]) for k in ("role", "content")} for m in earlier]
            self.reply(200, {"answer": str(chat(question["content"]))})
        except LabError as error:
            self.reply(502, {"error": str(error)})
        except (ValueError, LookupError, TypeError):
            self.reply(400, {"error": t("Messages are wanted.", "请发送 messages。")})

    def reply(self, status: int, content: Any, kind: str = "application/json") -> None:
        data = (content if isinstance(content, str) else json.dumps(content)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Nothing: what people ask is nobody's business."""


@contextmanager
def serve_page(
    url: str,
    api_key: str,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    sampling: Sampling | None = None,
) -> Iterator[str]:
    """Serve the page as long as the block lasts; gives its address.

    Usage: ``with serve_page(server.url, server.api_key) as address: webbrowser.open(address)``

    url, api_key: of the model's server, as :func:`labkit.engines.connect` takes them. port: 0 takes
    a free one. sampling: None is greedy, with at most 200 tokens an answer. Raises LabError where
    the model's server does not answer, and OSError where the address cannot be used.
    """
    settings = {
        "model": connect(url, api_key=api_key),
        "sampling": sampling or Sampling(max_new_tokens=200),
    }
    server = ThreadingHTTPServer((host, port), type("PageBackend", (Backend,), settings))
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://{host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
