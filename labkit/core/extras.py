"""Optional parts: imported only when they are used, with a hint when they are missing."""

import importlib
import importlib.util
from types import ModuleType

from .errors import LabError
from .i18n import t

EXTRAS = {
    "torch": "models",
    "transformers": "models",
    "safetensors": "models",
    "tokenizers": "models",
    "tqdm": "models",
    "huggingface_hub": "models",
    "gguf": "models",
    "llama_cpp": "llama",
    "auto_round": "gptq",
    "peft": "finetune",
    "accelerate": "finetune",
    "bitsandbytes": "finetune",
    "openai": "serve",
    "uvicorn": "serve",
    "fastapi": "serve",
    "starlette": "serve",
    "bm25s": "search",
    "voila": "app",
    "ray": "scale",
    "matplotlib": "lab",
}
"""Module name to the extra of ``pip install "open-llm-family-lab[…]"`` that brings it."""

APART = {"gptqmodel": "gptqmodel>=7.2,<8"}
"""Modules that no extra brings, as their newest want another PyTorch than ours, and what does."""


def has(module: str) -> bool:
    """Whether a module can be imported; nothing is imported to find out.

    Usage: ``has("torch")``
    """
    return importlib.util.find_spec(module) is not None


def require(module: str) -> None:
    """Say which extra brings a module that is not installed; nothing is imported.

    Usage: ``require("ray")``. Raises LabError when it is missing.
    """
    top = module.partition(".")[0]
    if not has(top):
        wanted = APART.get(top) or f"open-llm-family-lab[{EXTRAS.get(top, 'all')}]"
        raise LabError(
            t(f"The package '{module}' is not installed.", f"没有安装软件包 '{module}'。"),
            t(f'Run: pip install "{wanted}"', f'请运行：pip install "{wanted}"'),
        )


def need(module: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Usage: ``torch = need("torch")``. Raises LabError when it is not installed; an installed
    module that fails to import raises its own error, for that is a defect worth seeing.
    """
    require(module)
    return importlib.import_module(module)
