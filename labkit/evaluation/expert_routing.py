"""Mixtures of experts, watched: which experts the router gives each token, and what if others.

Usage: ``routes = trace_experts(model.model, ids)``; ``with steered(model.model, rule): …``

Works with every class of Transformers whose router returns (logits, weights, experts) for each
token: Mixtral, DeepSeek-V2 and V3, Qwen3-MoE, GLM-4-MoE and others. Not covered: llama.cpp, and
routers that are part of a larger module.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import LabError
from ..core.i18n import t

if TYPE_CHECKING:
    import torch

Rule = Callable[["torch.Tensor", "torch.Tensor", "torch.Tensor"], tuple[Any, Any]]
"""From (logits, weights, experts) of one layer to (weights, experts) in their place.

logits: (tokens, experts in the layer); weights and experts: (tokens, experts chosen).
"""


@dataclass(frozen=True)
class Routes:
    """What the routers decided. experts, weights: (layers with experts, tokens, experts chosen).

    logits: (layers with experts, tokens, experts in a layer), before any softmax.
    """

    logits: "torch.Tensor"
    weights: "torch.Tensor"
    experts: "torch.Tensor"

    def shares(self) -> list[list[float]]:
        """For each layer the share of all choices that went to each expert; a row sums to one."""
        count = self.logits.shape[-1]
        return [
            (layer.flatten().bincount(minlength=count) / layer.numel()).tolist()
            for layer in self.experts
        ]


def find_routers(network: "torch.nn.Module") -> list["torch.nn.Module"]:
    """The routers of a network, layer by layer.

    Usage: ``len(find_routers(lab.load("pocket/mixtral").model))  # 4``. Raises LabError where
    there are none.
    """
    modules = list(network.modules())
    routers = [m for m in modules if type(m).__name__.lower().endswith("topkrouter")]
    if not routers:
        name = type(network).__name__
        raise LabError(
            t(f"{name} has no router: it is not a mixture of experts.",
              f"{name} 里没有路由器：它不是混合专家模型。"),
            t("Try pocket/deepseek-v2 or pocket/mixtral.",
              "可以试试 pocket/deepseek-v2 或 pocket/mixtral。"),
        )  # fmt: skip
    return routers


def trace_experts(network: "torch.nn.Module", ids: Sequence[int]) -> Routes:
    """Read a text once and write down what every router decided for every token.

    Usage: ``trace_experts(model.model, model.encode("你好")).experts.shape``
    """
    import torch

    seen: list[tuple[Any, Any, Any]] = []

    def note(router: Any, given: Any, decided: Any) -> None:
        seen.append(decided)

    hooks = [router.register_forward_hook(note) for router in find_routers(network)]
    try:
        with torch.inference_mode():
            network(torch.tensor([list(ids)], device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
    logits, weights, experts = (torch.stack(part).cpu() for part in zip(*seen, strict=True))
    return Routes(logits, weights, experts)


@contextmanager
def steered(network: "torch.nn.Module", rule: Rule) -> Iterator[None]:
    """While it lasts, a rule of your own decides in place of every router of the network.

    Usage: ``with steered(model.model, lambda logits, weights, experts: (0 * weights, experts)):``
    switches all routed experts off.
    """

    def decide(router: Any, given: Any, decided: Any) -> tuple[Any, Any, Any]:
        weights, experts = rule(*decided)
        return decided[0], weights, experts

    hooks = [router.register_forward_hook(decide) for router in find_routers(network)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
