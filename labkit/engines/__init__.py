"""One way to run a model: Transformers and llama.cpp behind the same verbs, URLs beside them."""

from .loading import connect, default_engine, load, sliding_window
from .model import Engine, Model, Sampling
from .openai_client import RemoteModel

__all__ = [
    "Engine",
    "Model",
    "RemoteModel",
    "Sampling",
    "connect",
    "default_engine",
    "load",
    "sliding_window",
]
