"""All writers under one name, for a notebook: a model, or a tuning, for the tools people use.

Usage: ``write_ollama("pocket/qwen2.5", "for-ollama")``;
``write_axolotl("clinic", "pocket/qwen2.5", "for-axolotl", method="qlora")``

Nothing here runs those tools: each export is a folder that they read, with the command to type.
"""

from .axolotl import write_axolotl
from .exported import Exported
from .llamafactory import write_llamafactory
from .lmstudio import write_lmstudio
from .modal import write_modal
from .ollama import write_ollama
from .textgen import write_textgen
from .vllm import write_vllm

__all__ = [
    "Exported",
    "write_axolotl",
    "write_llamafactory",
    "write_lmstudio",
    "write_modal",
    "write_ollama",
    "write_textgen",
    "write_vllm",
]
