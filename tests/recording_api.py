"""An OpenAI-compatible endpoint on loopback that keeps every byte that reaches it."""

import http.server
import json
import threading
from types import TracebackType
from typing import Any


class RecordingAPI:
    """Answers every chat with ``answer`` in the protocol's stream. bodies: what arrived, raw.

    Usage: ``with RecordingAPI() as api: connect(api.url, "model")``. failure: an HTTP status to
    answer with instead, or "break" to hang up in the middle of the answer.
    """

    def __init__(self, answer: str = "Fine.", failure: int | str | None = None) -> None:
        self.answer, self.failure = answer, failure
        self.bodies: list[bytes] = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                recorder.bodies.append(self.path.encode() + str(self.headers).encode() + body)
                recorder.reply(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}/v1"

    def reply(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if isinstance(self.failure, int):
            request.send_response(self.failure)
            request.end_headers()
            request.wfile.write(b'{"error": {"message": "no"}}')
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/event-stream")
        request.end_headers()
        usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
        chunks: list[dict[str, Any]] = [
            {"choices": [{"delta": {"content": self.answer}, "finish_reason": None}]},
            {"choices": [{"delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": usage},
        ]
        for chunk in chunks:
            request.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
            if self.failure == "break":
                return
        request.wfile.write(b"data: [DONE]\n\n")

    def __enter__(self) -> "RecordingAPI":
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def close(self) -> None:
        """Go down: from now on a connection is refused."""
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def __exit__(self, kind: type | None, error: Any, trace: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.close()
