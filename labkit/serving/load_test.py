"""A load test: how a server answers when many ask at once.

Usage: ``print(measure_load(server.url, api_key=server.api_key, clients=(1, 4, 16)))``

Every client asks, reads the whole answer as it comes, and asks again at once: a closed loop, whose
load is the number of clients. Two waits are measured on the client's side, as a person feels them:
from sending a request to the first piece of text, and between one piece and the next. What counts
is less the middle (p50) than the tail: at p95 one request in twenty waits longer.

Not covered: arrivals at a given rate whatever the server does (an open loop, under which a queue
can grow without end), and clients on several computers; this process and its threads must keep up,
which for some hundred pieces a second they do.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter, sleep

from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import track
from ..core.tables import ShowsTable, Table
from ..engines import RemoteModel, Sampling, connect

WORDS = "apple river moon stone paper green window bridge winter music garden letter".split()
"""What prompts are made of, where none are given."""

PAUSE = 0.5
"""Seconds before a failed request is sent again; doubled each time."""


@dataclass(frozen=True)
class Waits:
    """Seconds that half, 95 % and 99 % of the waits do not exceed; nan where there were none."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True)
class TimedAnswer:
    """One request: seconds since the test began at which it was sent, each piece came, it ended.

    tokens: of prompt and answer as the server counts them; None where it does not say. tries: how
    often it was sent. error: why it was not answered, None if it was.
    """

    sent: float
    pieces: tuple[float, ...]
    ended: float
    prompt_tokens: int | None
    output_tokens: int | None
    tries: int
    text: str
    error: str | None


@dataclass(frozen=True)
class Load:
    """What so many clients got at once.

    requests: asked; answered: of them. retried: answered at a second try or later. errors: reason
    to how many, for requests that were lost. seconds: of the whole run. prompt_tokens,
    output_tokens: of an answered request on average; None where the server does not say.
    first_token, between_tokens, whole: seconds a request waits for its first piece, for each
    further one, and in all; a retried one from its first sending.
    """

    clients: int
    requests: int
    answered: int
    retried: int
    errors: dict[str, int]
    seconds: float
    requests_per_second: float
    output_tokens_per_second: float | None
    prompt_tokens: float | None
    output_tokens: float | None
    first_token: Waits
    between_tokens: Waits
    whole: Waits


@dataclass(frozen=True, repr=False)
class LoadTest(ShowsTable):
    """Loads at rising numbers of clients, and every answer behind them; shows itself."""

    url: str
    model: str
    note: str
    rows: tuple[Load, ...]
    answers: tuple[tuple[TimedAnswer, ...], ...]

    def table(self) -> Table:
        """A line for each number of clients; waits in milliseconds. Usage: ``test.table()``"""
        header = (
            t("Clients", "并发"), t("Answered", "已回答"), t("Requests/s", "请求/秒"),
            t("Tokens/s", "词元/秒"), t("First token, ms: p50", "首词元（毫秒）p50"), "p95", "p99",
            t("Between tokens, ms: p50", "词元间隔（毫秒）p50"), "p95", "p99",
        )  # fmt: skip
        rows = [
            (
                str(row.clients), f"{row.answered} / {row.requests}",
                f"{row.requests_per_second:.1f}", _shown(row.output_tokens_per_second),
                *(f"{1000 * s:.0f}" for s in _three(row.first_token)),
                *(f"{1000 * s:.1f}" for s in _three(row.between_tokens)),
            )
            for row in self.rows
        ]  # fmt: skip
        lost = Counter[str]()
        for row in self.rows:
            lost.update(row.errors)
        notes = [self.note, *(f"{count} × {reason}" for reason, count in lost.items())]
        return Table(header, rows, "\n".join(filter(None, notes)))


def measure_load(
    url: str,
    *,
    api_key: str | None = None,
    model: str | None = None,
    clients: Sequence[int] = (1, 4, 16),
    requests: int = 32,
    prompts: Sequence[str] | None = None,
    prompt_words: int = 24,
    max_new_tokens: int = 32,
    retries: int = 0,
) -> LoadTest:
    """Ask a server by so many clients at once, one number of clients after the other.

    Usage: ``measure_load("http://127.0.0.1:8000/v1", clients=(1, 4, 16), requests=64)``

    url: of any server that speaks OpenAI's protocol; ends in /v1. model: None takes the first it
    lists. requests: in all, for each number of clients. prompts: asked in turn; None makes ones of
    ``prompt_words`` words, all different, so that no cache of prompts makes a server look quick.
    max_new_tokens: longest answer; a model may end it sooner. retries: how often a request that
    failed is sent again, after 0.5 s, 1 s, 2 s … Nothing is drawn at random (temperature 0).

    Raises LabError when the server cannot be reached or refuses the key before the test begins;
    what fails later is counted. A first request, not counted, wakes the server up.
    """
    check_counts(requests=requests, max_new_tokens=max_new_tokens)
    for count in clients:
        check_counts(clients=count)
    if not clients or (prompts is not None and not prompts):
        raise LabError(
            t("There is nothing to ask.", "没有可以测试的内容。"),
            t(
                "Give at least one number of clients and one prompt.",
                "请至少给出一个并发数和一条提示。",
            ),
        )
    served = connect(url, model, api_key=api_key)
    asked = list(prompts) if prompts is not None else list(make_prompts(requests, prompt_words))
    sampling = Sampling(temperature=0.0, max_new_tokens=max_new_tokens)
    first = _ask(served, asked[-1], sampling, 0, perf_counter())
    if first.error is not None:
        raise LabError(first.error, t("Nothing was measured.", "没有进行测量。"))
    done = []
    for count in track(list(clients), t("load test", "压力测试")):
        start = perf_counter()
        with ThreadPoolExecutor(count) as crowd:
            turns = [asked[n % len(asked)] for n in range(requests)]
            done.append(
                tuple(crowd.map(lambda p: _ask(served, p, sampling, retries, start), turns))  # noqa: B023
            )
    rows = tuple(_sum_up(count, answers) for count, answers in zip(clients, done, strict=True))
    return LoadTest(served.url, served.name, served.note, rows, tuple(done))


def check_counts(**counts: int) -> None:
    """Raise a LabError that names the first of them below 1. Usage: ``check_counts(nodes=0)``"""
    for name, value in counts.items():
        if value < 1:
            raise LabError(
                t(f"{name}={value} does not work.", f"{name}={value} 不可用。"),
                t("It must be at least 1.", "至少为 1。"),
            )


def make_prompts(count: int, words: int) -> Iterable[str]:
    """Prompts of so many words, the same at every call and no two alike.

    Usage: ``list(make_prompts(3, 24))``
    """
    draw = random.Random(0)
    for number in range(count):
        yield " ".join([f"Reverse {number}:", *draw.choices(WORDS, k=max(1, words - 2))])


def percentile(values: Sequence[float], percent: float) -> float:
    """The value that *percent* of them do not exceed, one of them; nan where there are none.

    Usage: ``percentile([1, 2, 3, 4], 50)  # 2``. The nearest rank: ceil(n × percent / 100).
    """
    if not values:
        return float("nan")
    return sorted(values)[max(0, -int(-len(values) * percent // 100) - 1)]


def _ask(
    model: RemoteModel, prompt: str, sampling: Sampling, retries: int, start: float
) -> TimedAnswer:
    sent = perf_counter() - start
    for attempt in range(retries + 1):
        if attempt:
            sleep(PAUSE * 2 ** (attempt - 1))
        pieces: list[float] = []
        usage: dict[str, int] = {}
        text, error = "", None
        try:
            for chunk in model.stream([{"role": "user", "content": prompt}], [], sampling):
                usage = chunk.get("usage") or usage
                choices = chunk.get("choices")  # the chunk with the counts may have none
                if piece := choices and choices[0].get("delta", {}).get("content"):
                    pieces.append(perf_counter() - start)
                    text += piece
            break
        except LabError as failure:
            error = failure.what
    tokens = usage.get("prompt_tokens"), usage.get("completion_tokens")
    ended = perf_counter() - start
    return TimedAnswer(sent, tuple(pieces), ended, *tokens, attempt + 1, text, error)


def _sum_up(clients: int, answers: Sequence[TimedAnswer]) -> Load:
    good = [a for a in answers if a.error is None]
    seconds = max(a.ended for a in answers) - min(a.sent for a in answers)
    written = [a.output_tokens for a in good if a.output_tokens is not None]
    read = [a.prompt_tokens for a in good if a.prompt_tokens is not None]
    return Load(
        clients=clients,
        requests=len(answers),
        answered=len(good),
        retried=sum(a.tries > 1 for a in good),
        errors=dict(Counter(a.error for a in answers if a.error is not None)),
        seconds=seconds,
        requests_per_second=len(good) / seconds,
        output_tokens_per_second=sum(written) / seconds if written else None,
        prompt_tokens=sum(read) / len(read) if read else None,
        output_tokens=sum(written) / len(written) if written else None,
        first_token=_waits([a.pieces[0] - a.sent for a in good if a.pieces]),
        between_tokens=_waits(
            [b - a for x in good for a, b in zip(x.pieces, x.pieces[1:], strict=False)]
        ),
        whole=_waits([a.ended - a.sent for a in good]),
    )


def _waits(seconds: Sequence[float]) -> Waits:
    return Waits(*(percentile(seconds, percent) for percent in (50, 95, 99)))


def _three(waits: Waits) -> tuple[float, float, float]:
    return waits.p50, waits.p95, waits.p99


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
