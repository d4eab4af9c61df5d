"""A hybrid: a model on this computer and an API, and rules for which of them is asked.

Usage: ``router = Router(lab.load("pocket/qwen2.5"), connect(url, "name"), Rules(budget=5.0, …))``;
``print(router("你好").decision)``

In this order: what is sensitive stays here, whatever else holds; a task or a length that is too
much for the local model goes to the API, and so does a question of whose answer it is unsure; all
of that within the budget, and if the API answers. Everything else stays here.

Fails closed: the whole request as it would be sent is judged (system prompt, earlier turns, tool
calls and results, tools, stop texts), again right before it is sent; an error on the way there
sends nothing; and where the local model is down, sensitive requests are refused.
"""

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..catalog import Price
from ..conversation.chat_templates import Message
from ..conversation.session import Chat, Reply
from ..conversation.uncertainty import measure_uncertainty
from ..core.errors import LabError
from ..core.i18n import t
from ..engines import Model, RemoteModel, Sampling
from .audit_log import AuditLog, Entry
from .sensitive_data import KINDS, Detector, describe_kinds, find_sensitive

Target = Literal["local", "api", "refused"]
Rule = Literal[
    "sensitive", "task", "length", "uncertain", "simple", "no-api", "budget", "api-down",
    "local-down",
]  # fmt: skip


class Refused(LabError):
    """Nobody may, or nobody can, answer this request; nothing was sent to the API."""


@dataclass(frozen=True)
class Rules:
    """When the API may be asked.

    words: your own, whatever their spacing, case or width. detectors: functions from a text to the
    kinds found in it, such as another library's. api_tasks: tasks that the local model is not good
    at. longest_prompt: tokens that it is asked to read at most. least_logprob: mean log-probability
    of its first tokens, in nats, below which it is taken as unsure; None: it is not asked how sure
    it is. budget: US dollars in all; price: of the API, needed for a budget. max_new_tokens: of an
    answer, for the estimate. pause: seconds for which an API that failed is not asked again.

    Raises LabError for a value that makes no sense.
    """

    words: tuple[str, ...] = ()
    detectors: tuple[Detector, ...] = ()
    api_tasks: tuple[str, ...] = ()
    longest_prompt: int = 2000
    least_logprob: float | None = -0.5
    budget: float = math.inf
    price: Price | None = None
    max_new_tokens: int = 512
    pause: float = 60.0

    def __post_init__(self) -> None:
        for name, right, rule in (
            ("longest_prompt", self.longest_prompt > 0, "> 0"),
            ("least_logprob", self.least_logprob is None or self.least_logprob <= 0, "≤ 0"),
            ("budget", self.budget >= 0, "≥ 0"),
            ("max_new_tokens", self.max_new_tokens > 0, "> 0"),
            ("pause", self.pause >= 0, "≥ 0"),
            ("words", not isinstance(self.words, str), t("several texts", "多个文本")),
            (
                "price",
                self.price or math.isinf(self.budget),
                t("set with a budget", "设预算时必填"),
            ),
        ):
            if not right:
                value = getattr(self, name)
                raise LabError(
                    t(f"{name}={value!r} does not work.", f"{name}={value!r} 不可用。"),
                    t(f"It must be: {rule}.", f"要求：{rule}。"),
                )
        find_sensitive("", self.words)  # refuses a word that is too short


@dataclass(frozen=True)
class Decision:
    """Who answers, and why; ``str()`` says it in words.

    kinds: of sensitive data that were found. reasons: sentences, in the order in which they came
    up. mean_logprob: how sure the local model was, None where it was not asked. tokens: of the
    request, about. estimated_usd: what the API would cost at most.
    """

    target: Target
    rule: Rule
    reasons: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    task: str | None = None
    tokens: int = 0
    mean_logprob: float | None = None
    estimated_usd: float = 0.0

    def __str__(self) -> str:
        name = {
            "local": t("Local model", "本地模型"),
            "api": t("API", "API"),
            "refused": t("Refused", "拒绝"),
        }[self.target]
        return t(": ", "：").join((name, t(" ", "").join(self.reasons)))


@dataclass(frozen=True, repr=False)
class Routed:
    """An answer, and the decision that led to it; ``str()`` is the answer's text."""

    reply: Reply
    decision: Decision

    def __str__(self) -> str:
        return str(self.reply)

    def __repr__(self) -> str:
        return f"{self.reply}\n[{self.decision}]"


class Router:
    """One conversation, each turn answered here or by an API; make one for each conversation.

    local: a model loaded here, or behind a URL of this computer; None: it is down. api: behind any
    URL; None: there is none. history: the messages so far; once something sensitive is in it, the
    conversation stays here until :meth:`reset`. spent: US dollars, by the API's own counts.
    audit: a file for :class:`~labkit.privacy.audit_log.AuditLog`, written before anything is sent.
    """

    def __init__(
        self,
        local: Model | RemoteModel | None,
        api: RemoteModel | None,
        rules: Rules | None = None,
        *,
        system: str | None = None,
        tools: Iterable[Message] = (),
        sampling: Sampling | None = None,
        audit: str | Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if isinstance(local, RemoteModel) and not local.is_here:
            raise LabError(
                t(f"'{local.url}' is not on this computer.", f"'{local.url}' 不在本机上。"),
                t("Give it as api, or serve a model here.", "请作为 api 传入，或在本机启动服务。"),
            )
        if local is None and api is None:
            raise LabError(
                t("There is nobody to ask.", "没有可用的模型。"),
                t("Give a local model, an API or both.", "请给出本地模型、API 或两者。"),
            )
        self.local, self.api, self.rules = local, api, rules or Rules()
        self.tools = list(tools)
        self.sampling = sampling or Sampling(max_new_tokens=self.rules.max_new_tokens)
        self.audit = None if audit is None else AuditLog(audit)
        self.spent = 0.0
        self._system = [] if system is None else [{"role": "system", "content": system}]
        self._clock, self._api_rests_until = clock, -math.inf
        self.reset()

    def reset(self) -> None:
        """Begin a new conversation; the system prompt, tools and what was spent stay.

        Usage: ``router.reset()``
        """
        self.history: list[Message] = list(self._system)

    def __call__(self, text: str | None, task: str | None = None) -> Routed:
        """Ask. Usage: ``router("What is 2 + 3?", task="math").decision.reasons``

        text: None goes on from the results of tools. Raises Refused where nobody may answer, and
        LabError for an empty text; the history is then as it was.
        """
        decision = self.decide(text, task)
        tried: list[Target] = []
        while True:
            self._record(decision)
            if decision.target == "refused":
                raise Refused(
                    " ".join(decision.reasons),
                    t("Start the local model, and ask again.", "请启动本地模型后重试。"),
                )
            tried.append(decision.target)
            try:
                return Routed(self._answer(decision, text), decision)
            except Refused:
                raise
            except LabError as error:
                decision = self._instead(decision, tried, error)

    def decide(self, text: str | None, task: str | None = None) -> Decision:
        """Who would answer, and why; the API is not asked, the local model at most how sure it is.

        Usage: ``print(router.decide("我的手机号是 138 1234 5678"))``
        """
        asked = self._asked(text)
        kinds = self._judge(asked)
        tokens = self._count(asked)
        known = Decision("local", "simple", (), kinds, task, tokens)
        known = replace(known, estimated_usd=self._estimate(tokens))
        if kinds:
            return self._keep(known)
        return self._prefer(known, asked)

    def add_tool_result(self, result: Any, name: str | None = None) -> None:
        """Give the model what a tool returned; then go on with ``router(None)``.

        Usage: as :meth:`labkit.conversation.session.Chat.add_tool_result`
        """
        model = self.local or self.api
        assert model is not None  # one of them was given
        chat = self._chat(model)
        chat.add_tool_result(result, name)
        self.history = chat.history

    # --- deciding --------------------------------------------------------------------------------

    def _keep(self, known: Decision) -> Decision:
        """A sensitive request: here, or nowhere."""
        what = describe_kinds(known.kinds)
        stays = t(f"It holds {what}: it stays on this computer.", f"内容含有{what}：只在本机处理。")
        if self.local is None:
            down = t("The local model is not available.", "本地模型不可用。")
            return replace(known, target="refused", rule="sensitive", reasons=(stays, down))
        return replace(known, rule="sensitive", reasons=(stays,))

    def _prefer(self, known: Decision, asked: list[Message]) -> Decision:
        """A request that may leave: is it too much for the local model?"""
        rules = self.rules
        if self.local is None:
            why = t("The local model is not available.", "本地模型不可用。")
            return self._to_api(known, "local-down", why)
        if known.task in rules.api_tasks:
            why = t(f"The task '{known.task}' is for the API.", f"任务“{known.task}”交给 API。")
            return self._to_api(known, "task", why)
        if known.tokens > rules.longest_prompt:
            why = t(
                f"It is long: about {known.tokens} tokens, over {rules.longest_prompt}.",
                f"内容较长：约 {known.tokens} 个词元，超过 {rules.longest_prompt}。",
            )
            return self._to_api(known, "length", why)
        if rules.least_logprob is None or not isinstance(self.local, Model):
            why = t("Nothing speaks against the local model.", "没有理由不用本地模型。")
            return replace(known, reasons=(why,))
        try:
            sure = measure_uncertainty(self.local, asked, self.tools).mean_logprob
        except LabError as error:
            return self._to_api(known, "local-down", error.what)
        known = replace(known, mean_logprob=sure)
        if sure < rules.least_logprob:
            why = t(
                f"The local model is unsure: log-probability {sure:.2f} a token, below "
                f"{rules.least_logprob:g}.",
                f"本地模型没有把握：每词元对数概率 {sure:.2f}，低于 {rules.least_logprob:g}。",
            )
            return self._to_api(known, "uncertain", why)
        why = t(
            f"The local model is sure: log-probability {sure:.2f} a token.",
            f"本地模型有把握：每词元对数概率 {sure:.2f}。",
        )
        return replace(known, reasons=(why,))

    def _to_api(
        self, known: Decision, rule: Rule, why: str, *, local_failed: bool = False
    ) -> Decision:
        """The API, if there is one, it is up and within the budget; else here, else nowhere."""
        left = self.rules.budget - self.spent
        if self.api is None:
            stop: Rule = "no-api"
            but = t("There is no API.", "没有配置 API。")
        elif self._clock() < self._api_rests_until:
            stop, but = "api-down", t("The API failed a moment ago.", "API 刚才出过故障。")
        elif known.estimated_usd > left:
            stop = "budget"
            but = t(
                f"It may cost ${known.estimated_usd:.4f}; ${max(left, 0):.4f} of the budget is"
                " left.",
                f"预计最多花费 ${known.estimated_usd:.4f}，预算只剩 ${max(left, 0):.4f}。",
            )
        else:
            reasons = (*known.reasons, why)
            return replace(known, target="api", rule=rule, reasons=reasons)
        nobody = self.local is None or local_failed
        target: Target = "refused" if nobody else "local"
        return replace(known, target=target, rule=stop, reasons=(*known.reasons, why, but))

    def _instead(self, failed: Decision, tried: list[Target], error: LabError) -> Decision:
        """Who answers after one of the two could not."""
        if failed.target == "api":
            self._api_rests_until = self._clock() + self.rules.pause
            self.spent += failed.estimated_usd  # part of an answer may have been paid for
        # The words of an error may repeat the request: a reader sees them, the log does not.
        why = error.what
        if failed.target == "local" and not failed.kinds and "api" not in tried:
            return self._to_api(failed, "local-down", why, local_failed=True)
        rule: Rule = "api-down" if failed.target == "api" else "local-down"
        rule = "sensitive" if failed.kinds else rule
        nobody = failed.target == "local" or self.local is None or "local" in tried
        target: Target = "refused" if nobody else "local"
        return replace(failed, target=target, rule=rule, reasons=(*failed.reasons, why))

    # --- asking ----------------------------------------------------------------------------------

    def _asked(self, text: str | None) -> list[Message]:
        """The history with the question; what no model could be asked is refused at once."""
        model = self.local or self.api
        assert model is not None  # one of them was given
        return self._chat(model)._asked(text)

    def _judge(self, asked: list[Message]) -> tuple[str, ...]:
        """The kinds of sensitive data in all that would be sent."""
        sent = [*asked, {"tools": self.tools, "stop": list(self.sampling.stop)}]
        return find_sensitive(sent, self.rules.words, self.rules.detectors)

    def _answer(self, decision: Decision, text: str | None) -> Reply:
        model = self.api if decision.target == "api" else self.local
        assert model is not None  # decided so
        if model is self.api and self._judge(self._asked(text)):
            raise Refused(t("It is sensitive after all.", "内容仍被判为敏感。"))
        chat = self._chat(model)
        reply = chat(text)
        self.history = chat.history
        if model is self.api:
            self.spent += self._cost(reply, decision)
        return reply

    def _chat(self, model: Model | RemoteModel) -> Chat:
        chat = Chat(model, tools=self.tools, sampling=self.sampling)
        chat.history = list(self.history)
        return chat

    def _count(self, asked: list[Message]) -> int:
        """Tokens of a request, about; where nothing can count them, its characters: rather more."""
        text = json.dumps([asked, self.tools], ensure_ascii=False, default=str)
        return len(self.local.encode(text)) if isinstance(self.local, Model) else len(text)

    def _estimate(self, tokens: int) -> float:
        price = self.rules.price
        if price is None:
            return 0.0
        limit = self.sampling.max_new_tokens or self.rules.max_new_tokens
        return (tokens * price.input + limit * price.output) / 1e6

    def _cost(self, reply: Reply, decision: Decision) -> float:
        price = self.rules.price
        if price is None:
            return 0.0
        read = reply.prompt_tokens or decision.tokens  # some servers do not say
        return (read * price.input + reply.completion_tokens * price.output) / 1e6

    def _record(self, decision: Decision) -> None:
        if self.audit is None:
            return
        kinds = [kind if kind in KINDS else "custom" for kind in decision.kinds]
        task = decision.task if decision.task in self.rules.api_tasks else None
        self.audit.write(
            Entry(
                datetime.now(UTC).isoformat(timespec="seconds"), decision.target, decision.rule,
                tuple(dict.fromkeys(kinds)), task, decision.tokens, decision.mean_logprob,
                decision.estimated_usd,
            )
        )  # fmt: skip
