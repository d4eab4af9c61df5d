"""Open LLM Family Lab: the few names a notebook types.

Usage: ``import labkit as lab; lab.hardware()``

Importing this package imports nothing else: each name brings its module on first use (PEP 562).
To add a name, write it in both lists below; a test compares them.
"""

from importlib import import_module

TYPE_CHECKING = False  # editors and type checkers take it as true; importing typing costs 10 ms
if TYPE_CHECKING:
    from .conversation.session import chat as chat
    from .core.errors import LabError as LabError
    from .core.i18n import use_language as use_language
    from .course.family_overview import published_scores as published_scores
    from .course.family_overview import run_lines as run_lines
    from .course.family_overview import successors as successors
    from .engines import load as load
    from .estimation.memory import estimate as estimate
    from .evaluation.comparison import compare as compare
    from .evaluation.recommendation import recommend as recommend
    from .finetuning.experiment import compare_methods as compare_methods
    from .finetuning.experiment import finetune as finetune
    from .machine.hardware import hardware as hardware
    from .picker.picks import pick as pick
    from .quantization.versions import quantize as quantize
    from .serving.openai_server import serve as serve

    __version__: str

_MODULES = {
    "LabError": "core.errors",
    "chat": "conversation.session",
    "compare": "evaluation.comparison",
    "compare_methods": "finetuning.experiment",
    "estimate": "estimation.memory",
    "finetune": "finetuning.experiment",
    "hardware": "machine.hardware",
    "load": "engines",
    "pick": "picker.picks",
    "published_scores": "course.family_overview",
    "quantize": "quantization.versions",
    "recommend": "evaluation.recommendation",
    "run_lines": "course.family_overview",
    "serve": "serving.openai_server",
    "successors": "course.family_overview",
    "use_language": "core.i18n",
}
"""Public name to the module that holds it."""

_OLD_NAMES = {"heirs": "successors"}
"""What a public name was called before; still understood."""

__all__ = [*_MODULES, "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        value: object = _version()
    elif name in _OLD_NAMES:
        value = __getattr__(_OLD_NAMES[name])
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
