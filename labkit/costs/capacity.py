"""How many replicas, GPUs and dollars so many users take: a plan on paper, its assumptions stated.

Usage: ``print(plan_capacity("Qwen2.5-7B", "RTX 4090", users=500))``

    output at the peak = users × requests an hour / 3600 × peak factor × output tokens
    at once            = output at the peak / tokens/s that one user gets
    replicas           = the larger of  output at the peak / (tokens/s of a replica × headroom)
                         and  at once / answers whose cache fits beside the weights,
                         and as many more as may fail

The second line is Little's law: requests at once = requests a second × seconds each takes. Tokens/s
of a replica is a published figure where one is known for this GPU and this size; else memory
bandwidth bounds it (see :mod:`labkit.estimation.tokens_per_second`): each step reads the weights
once for all answers, and each answer's own cache. That leaves out the prompts, so the plan says how
it was reached.

Not covered: prompts shared between requests, queues at an uneven load (the headroom stands for
them), the network, and whether the model is good enough.
"""

import math
from dataclasses import dataclass

from ..catalog.quotes import (
    Purchase,
    find_device,
    purchases,
    rentals,
    show_dates,
    show_money,
    throughputs,
)
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..core.units import GB, show_bytes
from ..estimation.inference_memory import Estimate
from ..estimation.memory import estimate
from ..estimation.tokens_per_second import SHARE, SHARE_OF_EXPERTS, find_bandwidth
from .monthly import HOURS

USABLE = 0.9
"""Share of a GPU's memory that vLLM takes by default (its --gpu-memory-utilization)."""

PER_MACHINE = 8
"""GPUs that one computer holds."""

MACHINES_A_RACK = 4
"""Machines of eight GPUs to a rack: assumed, about 10 kW each; many rooms cool less."""


@dataclass(frozen=True)
class Demand:
    """What people ask of a service.

    users: who use it at the busiest time of a normal day. requests_per_hour: of each. peak: how
    many times that at the worst moment. input_tokens, output_tokens: of a request on average.
    user_speed: tokens a second that each answer should at least come in; people read five to ten.
    spare: replicas that may fail without anybody noticing. headroom: share of a replica's
    throughput that is planned with; above it queues grow without end.
    """

    users: float
    requests_per_hour: float = 6.0
    peak: float = 3.0
    input_tokens: int = 1000
    output_tokens: int = 300
    user_speed: float = 10.0
    spare: int = 1
    headroom: float = 0.7

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            may_be_zero = name in ("spare", "input_tokens")
            top = 1.0 if name == "headroom" else math.inf
            if math.isfinite(value) and 0 <= value <= top and (value or may_be_zero):
                continue
            raise LabError(
                t(f"{name}={value!r} does not work.", f"{name}={value!r} 不可用。"),
                t(
                    f"It must be a number from 0 to {top:g}, 0 itself only for spare and input.",
                    f"取值应在 0 到 {top:g} 之间；只有 spare 和 input_tokens 可以为 0。",
                ),
            )

    @property
    def requests_per_second(self) -> float:
        """At the peak. Usage: ``Demand(users=600).requests_per_second  # 3.0``"""
        return self.users * self.requests_per_hour / 3600 * self.peak

    @property
    def tokens_per_second(self) -> float:
        """Output at the peak. Usage: ``Demand(users=600).tokens_per_second  # 900.0``"""
        return self.requests_per_second * self.output_tokens

    @property
    def at_once(self) -> float:
        """Answers under way at the peak, each at the speed wanted: Little's law.

        Usage: ``Demand(users=600).at_once  # 90.0``
        """
        return self.tokens_per_second / self.user_speed


@dataclass(frozen=True, repr=False)
class CapacityPlan(ShowsTable):
    """Replicas for a demand, and what they cost; shows itself with all it assumes.

    gpus_per_replica: over which one copy is split. slots: answers whose cache fits in a replica.
    replica_tokens_per_second: output of one replica with its slots in use; measured: whether
    that is a published figure, or an estimate from bandwidth. limited_by: "throughput", "cache" or
    "spare". place: "one machine", "one rack" or "several places". rent, buy: US dollars, a
    month and once, for all GPUs; None where no price is known. old_prices: when they were read.
    """

    model: str
    gpu: str
    quant: str
    demand: Demand
    gpus_per_replica: int
    slots: int
    replica_tokens_per_second: float
    measured: bool
    limited_by: str
    replicas: int
    gpus: int
    place: str
    rent: float | None
    buy: float | None
    notes: tuple[str, ...]

    def table(self) -> Table:
        """What was asked, what follows. Usage: ``plan.table()``"""
        d = self.demand
        rows = [
            (t("Peak: requests a second", "峰值请求数（每秒）"), f"{d.requests_per_second:.1f}"),
            (
                t("Peak: output tokens a second", "峰值输出（词元/秒）"),
                f"{d.tokens_per_second:,.0f}",
            ),
            (t("Answers under way at once", "同时进行的回答"), f"{d.at_once:,.0f}"),
            (t("GPUs a replica", "每个副本的 GPU 数"), str(self.gpus_per_replica)),
            (t("Answers that fit in a replica", "每个副本容得下的回答"), f"{self.slots:,}"),
            (
                t("A replica writes, tokens/s", "单副本输出（词元/秒）"),
                f"{self.replica_tokens_per_second:,.0f}"
                + t(" (published)", "（公开数据）") * self.measured
                + t(" (estimate)", "（估算）") * (not self.measured),
            ),
            (
                t("Replicas", "副本数"),
                t(
                    f"{self.replicas}, of them {d.spare} spare",
                    f"{self.replicas}，其中备用 {d.spare}",
                ),
            ),
            ("GPU", f"{self.gpus} × {self.gpu}"),
            (t("Where", "规模"), places()[self.place]),
            (t("Rent a month", "每月租金"), _money(self.rent)),
            (t("Buy, cards only", "购买（仅显卡）"), _money(self.buy)),
        ]
        return Table((f"{self.model} {self.quant}", ""), rows, "\n".join(self.notes))


def plan_capacity(
    model: str,
    gpu: str,
    *,
    users: float = 100,
    quant: str = "bf16",
    demand: Demand | None = None,
    gpus_per_replica: int | None = None,
    tokens_per_second: float | None = None,
) -> CapacityPlan:
    """Replicas, GPUs and money a month for so many users.

    Usage: ``plan_capacity("Qwen2.5-7B", "RTX 4090", demand=Demand(users=500, output_tokens=200))``

    demand: None takes Demand(users). quant: of the weights, as :func:`labkit.estimate` takes it.
    gpus_per_replica: None takes the fewest (1, 2, 4, 8) on which the weights and one answer fit.
    tokens_per_second: of one replica, where you have measured it: the best of all inputs.

    Raises LabError where the model does not fit on eight such GPUs, or the GPU is not known.
    """
    demand = demand or Demand(users=users)
    device = find_device(gpu)
    if not device.memory_gb:
        raise LabError(
            t(f"The memory of {device.name} is not known.", f"不知道 {device.name} 的显存大小。"),
            t("Take another GPU.", "请换一种 GPU。"),
        )
    context = demand.input_tokens + demand.output_tokens
    one = estimate(model, quant=quant, context=context, engine="transformers", new_tokens=1)
    memory = int(device.memory_gb * GB * USABLE)
    needed = one.weights + one.kv_cache
    split = gpus_per_replica or next((n for n in (1, 2, 4, 8) if n * memory >= needed), 0)
    if split * memory < needed:
        raise LabError(
            t(
                f"{model} in {quant} needs {show_bytes(needed)} with one answer; "
                f"{split or 8} × {device.name} offer {show_bytes((split or 8) * memory)}.",
                f"{model}（{quant}）连同一个回答需要 {show_bytes(needed)}；"
                f"{split or 8} × {device.name} 只能提供 {show_bytes((split or 8) * memory)}。",
            ),
            t(
                "Take a larger GPU, more of them, or a smaller quant.",
                "请换更大的 GPU、增加数量，或用更低的量化。",
            ),
        )  # fmt: skip
    slots = (split * memory - one.weights) // one.kv_cache
    wanted = min(slots, max(1, math.ceil(demand.at_once)))
    speed, measured, said = _replica_speed(one, device.name, split, wanted, tokens_per_second)
    by_throughput = math.ceil(demand.tokens_per_second / (speed * demand.headroom) - 1e-9)
    by_cache = math.ceil(demand.at_once / slots - 1e-9)
    busy = max(by_throughput, by_cache, 1)
    gpus = (busy + demand.spare) * split
    rented, bought = next(iter(rentals(device)), None), _price(device.name)
    limit = "throughput" if by_throughput >= by_cache else "cache"
    notes = [said, *_assumed(demand, context, one)]
    run = next((row for row in throughputs() if measured and row.device == device.name), None)
    if run and tokens_per_second is None:
        ours, theirs = (x.input_tokens / x.output_tokens for x in (demand, run))
        if ours > 1.25 * theirs:
            notes.append(
                t(
                    "Your prompts are longer than in that run, which lowers it: measure.",
                    "你的提示比那次测试的长，实际会更低：请自己测。",
                )
            )
    if rented and rented.unverified:
        notes.append(t("The rent is unverified.", "租金未经核实。"))
    dates = [row.as_of for row in (rented, bought) if row]
    notes.append(show_dates(dates))
    return CapacityPlan(
        model=model, gpu=device.name, quant=quant, demand=demand, gpus_per_replica=split,
        slots=slots, replica_tokens_per_second=speed, measured=measured, limited_by=limit,
        replicas=busy + demand.spare, gpus=gpus, place=find_place(gpus),
        rent=rented.usd_per_hour * HOURS * gpus if rented else None,
        buy=bought.usd * gpus if bought else None, notes=tuple(notes),
    )  # fmt: skip


def find_place(gpus: int) -> str:
    """Where so many GPUs stand: "one machine", "one rack" or "several places".

    Usage: ``find_place(12)  # "one rack"``
    """
    if gpus <= PER_MACHINE:
        return "one machine"
    return "one rack" if gpus <= PER_MACHINE * MACHINES_A_RACK else "several places"


def places() -> dict[str, str]:
    """What the sizes are called, and what comes with each. Usage: ``places()["one rack"]``"""
    return {
        "one machine": t("one machine (up to 8 GPUs)", "一台机器（8 张 GPU 以内）"),
        "one rack": t(
            "one rack (up to 32 GPUs): a load balancer", "一个机架（32 张以内）：需要负载均衡"
        ),
        "several places": t(
            "several places: routing by region, or an API beside it",
            "多个机房：按地区分流，或再搭配 API",
        ),
    }  # fmt: skip


def step_speed(one: Estimate, bandwidth: float, at_once: int, share: float, gpus: int = 1) -> float:
    """Tokens a second of all answers together, bound by memory: (weights + caches) once a step.

    Usage: ``step_speed(estimate, 1e12, at_once=16, share=0.6)``. bandwidth: bytes a second of one
    GPU. With experts, more answers touch more of them: all are counted once there are several.
    """
    weights = one.weights if at_once > 1 and _has_experts(one) else one.read_per_token
    seconds = (weights + at_once * one.kv_cache // one.batch) / (gpus * bandwidth * share)
    return at_once / seconds


def _has_experts(one: Estimate) -> bool:
    """A token passes by much of the weights; embeddings alone, which it does too, are less."""
    return one.read_per_token < 0.7 * one.weights


def _replica_speed(
    one: Estimate, gpu: str, split: int, at_once: int, given: float | None
) -> tuple[float, bool, str]:
    if given is not None:
        if not given > 0:
            raise LabError(
                t(f"{given} tokens a second do not work.", f"每秒 {given} 个词元不可用。"),
                t("Give tokens_per_second above 0.", "tokens_per_second 应大于 0。"),
            )
        return given, True, t("Throughput of a replica: yours.", "单副本吞吐量：由你给出。")
    for run in throughputs() if split == 1 else ():
        theirs = estimate(run.model, quant="bf16", context=512, engine="transformers")
        alike = 0.8 < one.weights / theirs.weights < 1.25
        if run.device == gpu and alike and at_once >= run.concurrency:
            return run.tokens_per_second, True, t(
                f"Throughput: published for {run.model} on {run.engine}, {run.input_tokens} in and "
                f"{run.output_tokens} out, {run.as_of}: {run.source}.",
                f"吞吐量：{run.model} 在 {run.engine} 上的公开数据，输入 {run.input_tokens}、输出 "
                f"{run.output_tokens} 个词元，{run.as_of}：{run.source}。",
            )  # fmt: skip
    peaks = find_bandwidth(gpu)
    if peaks is None:
        raise LabError(
            t(f"The bandwidth of {gpu} is not known.", f"不知道 {gpu} 的显存带宽。"),
            t("Give tokens_per_second=….", "请给出 tokens_per_second=…。"),
        )
    share = (SHARE_OF_EXPERTS if _has_experts(one) else SHARE)[0]
    speed = step_speed(one, peaks[0], at_once, share, split)
    return speed, False, t(
        f"Throughput: estimated from {share:.0%} of the bandwidth, {at_once} answers at once; "
        "reading prompts is not in it. Measure your own before you buy.",
        f"吞吐量：按带宽估算，同时 {at_once} 个回答，取峰值的 {share:.0%}；"
        "不含读提示的时间。购买之前请自己测。",
    )  # fmt: skip


def _assumed(demand: Demand, context: int, one: Estimate) -> list[str]:
    return [
        t(
            f"Assumed: {demand.requests_per_hour:g} requests an hour a user, {demand.peak:g} times "
            f"that at the peak, {demand.input_tokens} tokens in, {demand.output_tokens} out, "
            f"{demand.user_speed:g} tokens/s for each, {demand.headroom:.0%} of the throughput "
            f"used, {HOURS} hours a month.",
            f"假设：每人每小时 {demand.requests_per_hour:g} 次请求，峰值为其 {demand.peak:g} 倍，"
            f"输入 {demand.input_tokens}、输出 {demand.output_tokens} 个词元，每人每秒 "
            f"{demand.user_speed:g} 个词元，吞吐量只用到 {demand.headroom:.0%}，"
            f"每月 {HOURS} 小时。",
        ),
        t(
            f"Memory: weights {show_bytes(one.weights)}, cache of one answer ({context} tokens) "
            f"{show_bytes(one.kv_cache)}, {USABLE:.0%} of the card usable.",
            f"显存：权重 {show_bytes(one.weights)}，一个回答的缓存（{context} 个词元）"
            f"{show_bytes(one.kv_cache)}，显卡可用 {USABLE:.0%}。",
        ),
    ]


def _price(gpu: str) -> Purchase | None:
    return next((row for row in purchases() if row.device == gpu), None)


def _money(usd: float | None) -> str:
    return t("no price known", "没有报价") if usd is None else show_money(usd)
