"""A model run by Hugging Face Transformers."""

import json
import logging
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from ..core.errors import LabError
from ..core.extras import has, need
from ..core.i18n import t
from ..core.progress import is_silent
from ..gguf.reader import inspect_gguf
from ..hub.resolver import Location
from .model import Model, Sampling, any_of, fitting_context


class TransformersModel(Model):
    """A model run by Hugging Face Transformers; weights are read when ``.model`` is first used."""

    engine = "transformers"

    def __init__(self, location: Location, context: int | None, dtype: str | None) -> None:
        self.location = location
        self._dtype = dtype
        gguf = location.kind == "gguf"
        if gguf:
            inspect_gguf(location.path)  # says what is wrong with it
        # A GGUF file is named by its folder and its file name; its weights become float again.
        self._source = str(location.path.parent if gguf else location.path)
        self._options = {"gguf_file": location.path.name} if gguf else {}
        trained = getattr(self.config, "max_position_embeddings", None) or 2**20
        self.context_length = fitting_context(context, trained)

    def _read(self, what: str, **options: Any) -> Any:
        """One of Transformers' ``Auto`` classes, from this disk and without foreign code."""
        maker = getattr(need("transformers"), what)
        try:
            return maker.from_pretrained(
                self._source, local_files_only=True, **self._options, **options
            )
        except (OSError, ValueError, KeyError, need("safetensors").SafetensorError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise LabError(
                t(
                    f"Transformers cannot read '{self.name}': {reason}",
                    f"Transformers 读不了 '{self.name}'：{reason}",
                ),
                t(
                    "Fetch the model again, or try engine='llama.cpp'.",
                    "请重新获取模型，或试试 engine='llama.cpp'。",
                ),
            ) from error

    @cached_property
    def config(self) -> Any:
        return self._read("AutoConfig")

    @cached_property
    def tokenizer(self) -> Any:
        return self._read("AutoTokenizer")

    @cached_property
    def model(self) -> Any:
        torch = need("torch")
        if is_silent():
            need("transformers.utils.logging").disable_progress_bar()
        gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        options = {"dtype": self._dtype or ("auto" if gpu else "float32"), "use_safetensors": True}
        quantized = getattr(self.config, "quantization_config", None) or {}
        if quantized.get("quant_method") == "gptq" and (has("auto_round") or not has("gptqmodel")):
            # Of the two readers of the GPTQ format the one that runs it on a CPU as it is.
            need("auto_round")
            options["quantization_config"] = need("transformers").AutoRoundConfig(backend="auto")
        if quantized.get("quant_method") == "bitsandbytes":
            # It says at every layer of every call that activations are cast, as int8 means to.
            logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        with _errors_only():
            model = self._read("AutoModelForCausalLM", **options)
        if quantized and options["dtype"] == "float32":
            # Readers of quantized weights leave the rest in float16, fifty times slower on a CPU.
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.dtype == torch.float16:
                    tensor.data = tensor.data.float()
        return model.to(gpu or "cpu").eval()

    @cached_property
    def chat_template(self) -> str | None:  # type: ignore[override]
        template = self.tokenizer.chat_template
        return template.get("default") if isinstance(template, dict) else template

    @cached_property
    def special_tokens(self) -> Mapping[str, str]:  # type: ignore[override]
        return {k: v for k, v in self.tokenizer.special_tokens_map.items() if isinstance(v, str)}

    @cached_property
    def bos(self) -> tuple[int, ...]:  # type: ignore[override]
        id = self.tokenizer.bos_token_id
        adds = id in self.tokenizer.encode("")
        return (id,) if id is not None and (adds or id not in self.stop_ids) else ()

    @cached_property
    def stop_ids(self) -> frozenset[int]:  # type: ignore[override]
        path = self.location.path / "generation_config.json"
        settings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        written = settings.get("eos_token_id", getattr(self.config, "eos_token_id", None))
        ids = written if isinstance(written, list) else [written]
        return frozenset({*ids, self.tokenizer.eos_token_id} - {None})

    @cached_property
    def special(self) -> re.Pattern[str] | None:  # type: ignore[override]
        tokens = self.tokenizer.added_tokens_decoder.values()
        return any_of((x.content, x.lstrip, x.rstrip) for x in tokens if x.special)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        found: list[int] = self.tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=not special
        )
        return found

    def decode(self, ids: Iterable[int], *, special: bool = False) -> Iterator[str]:
        # A tokenizer only decodes several ids rightly together, so the last few are kept.
        recent: list[int] = []
        said = 0
        for id in ids:
            recent.append(id)
            text = self.tokenizer.decode(recent, skip_special_tokens=not special)
            if text.endswith("\ufffd"):  # the other bytes of this character are still to come
                continue
            if new := text[said:].replace("\ufffd", ""):
                yield new
            if len(recent) > 32:
                tail = self.tokenizer.decode(recent[-8:], skip_special_tokens=not special)
                if "\ufffd" not in tail:  # else it begins in the middle of a character
                    recent, text = recent[-8:], tail
            said = len(text)

    def next_tokens(self, ids: list[int], sampling: Sampling) -> Iterator[int]:
        torch = need("torch")
        processors = _processors(sampling)
        device = self.model.device
        generator = torch.Generator(device).manual_seed(sampling.seed)
        seen = torch.tensor([ids], device=device)

        # On a function: as a block it would reach the caller at each yield.
        @torch.inference_mode()  # type: ignore[untyped-decorator]
        def step(new: Any, cache: Any) -> tuple[Any, Any]:
            out = self.model(input_ids=new, past_key_values=cache, use_cache=True, logits_to_keep=1)
            scores = processors(seen, out.logits[:, -1].float())
            if sampling.temperature == 0:
                return scores.argmax(-1, keepdim=True), out.past_key_values
            chosen = torch.multinomial(scores.softmax(-1), 1, generator=generator)
            return chosen, out.past_key_values

        new, cache = seen, None
        while True:
            new, cache = step(new, cache)
            seen = torch.cat([seen, new], dim=1)
            yield int(new)

    def forget(self) -> None:
        """Nothing is kept from one call to the next."""

    def close(self) -> None:
        self.__dict__.pop("model", None)


@contextmanager
def _errors_only() -> Iterator[None]:
    """Readers of quantized weights warn of much that is as it should be."""
    loggers = [logging.getLogger(name) for name in ("transformers", "autoround", "bitsandbytes")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _processors(sampling: Sampling) -> Any:
    """Transformers' own steps from logits to the scores that are sampled from."""
    tf = need("transformers")
    chain = tf.LogitsProcessorList()
    if sampling.repeat_penalty != 1:
        chain.append(tf.RepetitionPenaltyLogitsProcessor(sampling.repeat_penalty))
    if sampling.temperature == 0:
        return chain
    chain.append(tf.TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        chain.append(tf.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        chain.append(tf.TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        chain.append(tf.MinPLogitsWarper(sampling.min_p))
    return chain
