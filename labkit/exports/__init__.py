"""A model, or the tuning of one, written down for the tools people use: a file here a tool.

Usage: ``write_axolotl("clinic", "pocket/qwen2.5", "for-axolotl", method="qlora")``

Nothing here runs those tools: each export is a folder that they read, with the command to type.
"""

from .axolotl import write_axolotl
from .exported import Exported
from .llamafactory import write_llamafactory

__all__ = ["Exported", "write_axolotl", "write_llamafactory"]
