"""One way to run a model: Transformers and llama.cpp behind the same few verbs, URLs beside them.

Usage: ``m = load("pocket/qwen2.5")``; then ``m.model(…)``, ``m.tokenizer``, ``m.config``
"""

from pathlib import Path

from ..core.errors import LabError
from ..core.extras import has
from ..core.i18n import t
from ..hub.resolver import Location, locate
from .model import Engine, Model, Sampling
from .openai_client import RemoteModel

__all__ = ["Engine", "Model", "RemoteModel", "Sampling", "connect", "default_engine", "load"]


def load(
    name: str | Path | Location,
    engine: Engine | None = None,
    *,
    context: int | None = None,
    dtype: str | None = None,
    n_gpu_layers: int = -1,
) -> Model:
    """Load a model by any name :func:`labkit.hub.resolver` knows, or from where that found it.

    Usage: ``lab.load("pocket/qwen2.5").config``; ``lab.load("model.gguf")``

    engine: None takes Transformers for a folder and llama.cpp for a GGUF file. llama.cpp runs a
    folder through an F16 GGUF, made once and cached. context: tokens, at most what the model was
    trained for; None takes all of it, on llama.cpp at most 8,192, for memory is set aside at once.
    dtype: Transformers only, such as "bfloat16"; None takes what the files hold on a GPU and
    float32 (4 bytes a weight) on a CPU. n_gpu_layers: llama.cpp only; -1 puts all layers on the
    GPU where the build has one. Raises LabError when it cannot be found, read or run.
    """
    location = locate(name)
    location.config  # noqa: B018 - a broken one is said here, in the same words for every engine
    engine = engine or ("llama.cpp" if location.kind == "gguf" else "transformers")
    if engine == "transformers":
        from .transformers import TransformersModel

        return TransformersModel(location, context, dtype)
    if engine == "llama.cpp":
        from .llama_cpp import LlamaModel

        return LlamaModel(location, context, n_gpu_layers)
    raise LabError(
        t(f"Engine '{engine}' is not known.", f"不认识引擎 '{engine}'。"),
        t("Use 'transformers' or 'llama.cpp'.", "可用 'transformers' 或 'llama.cpp'。"),
    )


def default_engine(location: Location) -> Engine:
    """The engine to talk with: llama.cpp where it is installed, for it starts and runs faster.

    But Transformers for a Mistral with a sliding window: llama.cpp lets it see beyond the window,
    which it was not trained for; ``pocket/mistral`` then talks nonsense.
    """
    return "llama.cpp" if has("llama_cpp") and not sliding_window(location) else "transformers"


def sliding_window(location: Location) -> int | None:
    """Tokens of a Mistral's sliding window, which llama.cpp ignores; None where there is none.

    Usage: ``sliding_window(locate("pocket/mistral"))  # 64``. Not told for a GGUF file.
    """
    config = location.config if location.kind == "folder" else {}
    return config.get("sliding_window") if config.get("model_type") == "mistral" else None


def connect(url: str, model: str | None = None, *, api_key: str | None = None) -> RemoteModel:
    """A model behind a URL that speaks OpenAI's protocol, to be given to :func:`labkit.chat`.

    Usage: ``lab.chat(connect("http://127.0.0.1:8000/v1", "Qwen2.5-7B", api_key=key))``

    url: what ends in ``/v1``. model: its name there; None takes the first that is listed. api_key:
    None takes the variable LABKIT_API_KEY, if there is one. Raises LabError when nothing answers.
    """
    return RemoteModel(url, model, api_key)
