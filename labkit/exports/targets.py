"""The tools that a model, or the tuning of one, is exported to, and what each takes.

To add a tool: write ``write_NAME`` in a file of its own, and its line here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .exported import Exported


@dataclass(frozen=True)
class Target:
    """A tool. options: keyword arguments of its writer. tunes: given a task first, then a model."""

    options: tuple[str, ...]
    tunes: bool = False


TARGETS: dict[str, Target] = {
    "ollama": Target(("quant", "name", "adapter")),
    "lmstudio": Target(("quant", "name")),
    "textgen": Target(("quant", "name")),
    "vllm": Target(("name", "adapter", "context", "vram", "gpus")),
    "modal": Target(("name", "adapter", "context", "gpus")),
    "axolotl": Target(("method",), tunes=True),
    "llamafactory": Target(("method",), tunes=True),
}
"""Name of a tool, and of the file here that writes for it."""


def writer(name: str) -> Callable[..., "Exported"]:
    """The function that writes for a tool of TARGETS. Usage: ``writer("ollama")(model, folder)``"""
    found: Callable[..., Exported] = getattr(
        import_module(f".{name}", __package__), f"write_{name}"
    )
    return found
