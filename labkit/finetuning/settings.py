"""How a model is tuned: what can be set, and what is refused at once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TypedDict, TypeVar

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.numbers import is_whole
from ..estimation.training_memory import METHODS, PRECISIONS

LEARNING_RATES = {"full": 2e-5, "lora": 2e-4, "qlora": 2e-4}
"""What each method learns with unless told otherwise: usual for models of billions."""

DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
"""Precision to PyTorch's name of it."""


@dataclass(frozen=True)
class Settings:
    """How a model is tuned; refuses what cannot be.

    method: "full", "lora" or "qlora". steps: of the optimizer, at most. batch: samples of one
    pass; accumulate: passes of one step, so batch · accumulate samples count alike in it.
    learning_rate: None takes LEARNING_RATES'. rank, alpha (None: 2 · rank), targets, dropout: of
    LoRA. quant: of QLoRA's base. precision: None takes fp32 on a CPU and Apple's chips, bf16 on a
    GPU that has it, else fp16 with scaled losses (full: fp32). checkpointing: compute activations
    again instead of keeping them. warmup: steps until the learning rate is reached; it falls to
    nothing over the last half. evaluate_every, checkpoint_every: steps. patience: validations
    without a gain before it stops. seed: of the order of samples, of A and of dropout.
    """

    method: str = "lora"
    steps: int = 450
    batch: int = 8
    accumulate: int = 1
    learning_rate: float | None = None
    rank: int = 16
    alpha: int | None = None
    targets: tuple[str, ...] | str = "all-linear"
    dropout: float = 0.0
    quant: str = "nf4-double"
    precision: str | None = None
    checkpointing: bool = False
    warmup: int = 10
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    evaluate_every: int = 50
    patience: int = 6
    checkpoint_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        whole = ("steps", "batch", "accumulate", "rank", "evaluate_every", "patience",
                 "checkpoint_every")  # fmt: skip
        rate, precision = self.learning_rate, self.precision
        for name, right, rule in (
            ("method", self.method in METHODS, ", ".join(METHODS)),
            *((name, is_whole(getattr(self, name), 1), "1, 2, 3 …") for name in whole),
            *((name, is_whole(getattr(self, name), 0), "0, 1, 2 …") for name in ("warmup", "seed")),
            ("alpha", self.alpha is None or is_whole(self.alpha, 1), "1, 2, 3 …"),
            ("learning_rate", rate is None or 0 < rate < 1, "0 < … < 1"),
            ("dropout", 0 <= self.dropout < 1, "0 ≤ … < 1"),
            ("weight_decay", 0 <= self.weight_decay < 1, "0 ≤ … < 1"),
            ("max_grad_norm", self.max_grad_norm > 0, "> 0"),
            ("precision", precision in (None, *PRECISIONS[:3]), ", ".join(PRECISIONS[:3])),
            (
                "precision",  # half of such small steps would be lost, and the other half overflow
                not (self.method == "full" and precision == "fp16"),
                "full: bf16, fp32",
            ),
        ):
            if not right:
                value = getattr(self, name)
                raise LabError(
                    t(f"{name}={value!r:.40} does not work.", f"{name}={value!r:.40} 不可用。"),
                    t(f"It must be: {rule}.", f"取值应为：{rule}。"),
                )

    @property
    def rate(self) -> float:
        """The highest learning rate of the run."""
        return self.learning_rate or LEARNING_RATES[self.method]

    def rate_at(self, step: int) -> float:
        """The learning rate of one step, counted from 0."""
        left = (self.steps - step) / (self.steps / 2)
        return self.rate * min(1.0, (step + 1) / max(self.warmup, 1), left)


class SettingsOptions(TypedDict, total=False):
    """The fields of :class:`Settings` but its method, as functions take them by keyword."""

    steps: int
    batch: int
    accumulate: int
    learning_rate: float | None
    rank: int
    alpha: int | None
    targets: tuple[str, ...] | str
    dropout: float
    quant: str
    precision: str | None
    checkpointing: bool
    warmup: int
    weight_decay: float
    max_grad_norm: float
    evaluate_every: int
    patience: int
    checkpoint_every: int
    seed: int


F = TypeVar("F", bound=Callable[..., object])


def show_settings(function: F) -> F:
    """Decorate a function so that its signature lists each setting instead of ``**options``.

    Usage: ``@show_settings`` above ``def tune(model: str, **options: Unpack[SettingsOptions])``;
    Shift-Tab and ``help`` then show ``rank: int = 16`` and its like.
    """
    signature = inspect.signature(function)
    *own, options = signature.parameters.values()
    assert options.kind is inspect.Parameter.VAR_KEYWORD
    taken = {parameter.name for parameter in own}
    settings = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in fields(Settings)
        if field.name not in taken
    ]
    function.__signature__ = signature.replace(parameters=[*own, *settings])  # type: ignore[attr-defined]
    return function


def default_precision(method: str) -> str:
    """What is trained in unless told otherwise: fp32 off CUDA, else bf16 where the GPU has it.

    Usage: ``default_precision("lora")``. A GPU without bf16 trains adapters on an fp16 base.
    """
    cuda = need("torch").cuda
    if not cuda.is_available():
        return "fp32"
    if cuda.is_bf16_supported(including_emulation=False):
        return "bf16"
    return "fp32" if method == "full" else "fp16"
