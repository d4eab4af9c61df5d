"""A model behind a URL that speaks OpenAI's protocol: ours, llama.cpp's, vLLM's, Ollama's …"""

import ipaddress
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..core.errors import LabError
from ..core.i18n import t
from ..hub.resolver import Location
from .model import Sampling

PATIENCE = 600
"""Seconds to wait for the next piece; a busy server answers one after another."""


class RemoteModel:
    """A model behind a URL; made by :func:`labkit.engines.connect`.

    url: ends before ``/chat/completions``. name: the model's, as the server calls it. The key is
    kept from ``repr``. It tokenises nothing here; what it is asked goes over the wire as text.
    """

    engine = "openai"

    def __init__(self, url: str, name: str | None = None, api_key: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._api_key = api_key or os.environ.get("LABKIT_API_KEY") or ""
        self.is_here = _is_loopback(urlsplit(url).hostname or "")
        self.name = name or self._first_model()

    def __repr__(self) -> str:
        return f"<{self.name} · {self.url}>"

    @property
    def note(self) -> str:
        """What must be said wherever its answers are shown; empty for a real model run here."""
        pocket = self.name.startswith("pocket/")
        away = t(
            f"What you type is sent to {urlsplit(self.url).hostname}.",
            f"你输入的内容会发送到 {urlsplit(self.url).hostname}。",
        )
        notes = (Location(self.name, Path(), "gguf", pocket).note, "" if self.is_here else away)
        return t(" ", "").join(note for note in notes if note)

    def forget(self) -> None:
        """Nothing is kept here from one call to the next."""

    def close(self) -> None:
        """There is nothing to give back."""

    def stream(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]], sampling: Sampling
    ) -> Iterator[dict[str, Any]]:
        """The chunks of an answer, as OpenAI's protocol has them.

        Usage: ``for chunk in model.stream(messages, [], Sampling()): …``. Leaving the loop early
        closes the connection. Raises LabError when the server refuses, fails or falls silent.
        """
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [_as_sent(message) for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
        }
        optional = {
            "tools": tools,
            "stop": list(sampling.stop),
            "max_tokens": sampling.max_new_tokens,
            # OpenAI's own servers know none of these three: sent only where they are set.
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "repeat_penalty": sampling.repeat_penalty if sampling.repeat_penalty != 1 else None,
        }
        body |= {key: value for key, value in optional.items() if value}
        from http.client import HTTPException

        ended = False
        try:
            with self._request("/chat/completions", body) as response:
                for line in response:
                    data = line.decode("utf-8", "replace").strip().removeprefix("data:").strip()
                    ended = ended or data == "[DONE]"
                    if line.startswith(b"data:") and data != "[DONE]":
                        chunk = json.loads(data)
                        if "error" in chunk:
                            raise self._refused(200, chunk["error"])
                        yield chunk
        except (OSError, HTTPException, ValueError) as error:
            raise self._broken() from error
        if not ended:
            raise self._broken()

    def _first_model(self) -> str:
        from http.client import HTTPException

        try:
            with self._request("/models", None) as response:
                models = json.load(response)["data"]
            return str(models[0]["id"])
        except (ValueError, LookupError, TypeError, HTTPException) as error:
            raise LabError(
                t(f"'{self.url}' lists no model.", f"'{self.url}' 没有列出模型。"),
                t(
                    "Give the address that ends in /v1, or the model's name:"
                    " labkit.engines.connect(url, 'name').",
                    "请给出以 /v1 结尾的地址，或指明模型名：labkit.engines.connect(url, 'name')。",
                ),
            ) from error

    def _request(self, path: str, body: Mapping[str, Any] | None) -> Any:
        # Only here: a talk with a model on this computer need not wait for them.
        import urllib.error
        import urllib.request
        from http.client import HTTPException

        class NoRedirect(urllib.request.HTTPRedirectHandler):
            """A key must not follow to wherever an answer points."""

            def redirect_request(self, *_: Any) -> None:
                return None

        # A proxy does not reach this computer's own ports.
        direct = [urllib.request.ProxyHandler({})] if self.is_here else []
        opener = urllib.request.build_opener(*direct, NoRedirect)
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json"}
            | ({"Authorization": f"Bearer {self._api_key}"} if self._api_key else {}),
        )
        try:
            return opener.open(request, timeout=PATIENCE)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error.code, _message(error.read(100_000))) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise LabError(
                t(f"'{self.url}' does not answer: {reason}.", f"'{self.url}' 没有响应：{reason}。"),
                t(
                    "Check the address, or start a server: labkit serve MODEL",
                    "请检查地址，或启动一个服务：labkit serve MODEL",
                ),
            ) from error

    def _refused(self, status: int, said: Any) -> LabError:
        code = said.get("code") if isinstance(said, dict) else None
        words = said.get("message", said) if isinstance(said, dict) else said
        if status in (401, 403):
            way_out = t(
                "Give the right key: lab.chat(url, api_key=…), or set LABKIT_API_KEY.",
                "请提供正确的密钥：lab.chat(url, api_key=…)，或设置环境变量 LABKIT_API_KEY。",
            )
        elif code == "context_length_exceeded":
            way_out = t(
                "Ask something shorter, or begin anew with chat.reset(); nothing has been lost.",
                "请缩短问题，或用 chat.reset() 重新开始；已有对话没有丢失。",
            )
        elif status == 404:
            way_out = t("Give the address that ends in /v1.", "请给出以 /v1 结尾的地址。")
        elif status in (429, 503):
            way_out = t("The server is busy: try again later.", "服务繁忙：请稍后再试。")
        else:
            way_out = t(
                "Change the request, or look into the server's log.", "请修改请求，或查看服务日志。"
            )
        reason = f"{status} {words}" if status != 200 else str(words)
        return LabError(
            t(f"'{self.url}' refuses: {reason}", f"'{self.url}' 拒绝了请求：{reason}"), way_out
        )

    def _broken(self) -> LabError:
        return LabError(
            t(
                f"The answer of '{self.url}' broke off.",
                f"'{self.url}' 的回答中途断开。",
            ),
            t(
                "Ask again; nothing has been lost. If it happens again, look into its log.",
                "请重新提问，已有对话没有丢失；若再次出现，请查看服务日志。",
            ),
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _message(text: bytes) -> Any:
    """What an error's body says: OpenAI's form, FastAPI's, or its first line."""
    try:
        said = json.loads(text)
    except ValueError:
        return text.decode("utf-8", "replace").strip().partition("\n")[0][:200]
    return (said.get("error") or said.get("detail") or said) if isinstance(said, dict) else said


def _as_sent(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message of chat templates in OpenAI's words: arguments are JSON in a string there."""
    sent = dict(message)
    if calls := sent.get("tool_calls"):
        sent["tool_calls"] = [
            call
            | {
                "function": call["function"]
                | {"arguments": json.dumps(call["function"]["arguments"], ensure_ascii=False)}
            }
            for call in calls
        ]
    return sent
