"""Open LLM Family Lab: the few names a notebook types.

Usage: ``import labkit as lab; lab.hardware()``

Importing this package imports nothing else: each name brings its module on first use (PEP 562).
To add a name, write it in both lists below; a test compares them.
"""

from importlib import import_module

TYPE_CHECKING = False  # editors and type checkers take it as true; importing typing costs 10 ms
if TYPE_CHECKING:
    from .conversation import chat as chat
    from .engines import load as load
    from .errors import LabError as LabError
    from .evaluation import compare as compare
    from .finetuning import compare_methods as compare_methods
    from .finetuning import finetune as finetune
    from .i18n import use_language as use_language
    from .machine import hardware as hardware
    from .memory import estimate as estimate
    from .picker import pick as pick
    from .portraits import heirs as heirs
    from .portraits import published_scores as published_scores
    from .portraits import run_lines as run_lines
    from .quantization import quantize as quantize
    from .recommendation import recommend as recommend
    from .server import serve as serve

    __version__: str

_MODULES = {
    "LabError": "errors",
    "chat": "conversation",
    "compare": "evaluation",
    "compare_methods": "finetuning",
    "estimate": "memory",
    "finetune": "finetuning",
    "hardware": "machine",
    "heirs": "portraits",
    "load": "engines",
    "pick": "picker",
    "published_scores": "portraits",
    "quantize": "quantization",
    "recommend": "recommendation",
    "run_lines": "portraits",
    "serve": "server",
    "use_language": "i18n",
}
"""Public name to the module that holds it."""

__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _MODULES:
        value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("open-llm-family-lab")
    except metadata.PackageNotFoundError:
        return "0+not.installed"  # run from a checkout: there is no version to tell
