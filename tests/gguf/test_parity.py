"""A pocket model is the same model in llama.cpp as in Transformers: its tokens and its logits."""

import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pocket_models import (
    TEXTS,
    llama_cpp_ids,
    llama_cpp_logits,
    tokenizer,
    transformers_ids,
    transformers_logits,
    vocabulary,
)

from labkit import pocket
from labkit.gguf.files import gguf_for, write_gguf

TOLERANCE = dict.fromkeys(pocket.NAMES, 1e-3) | {"chatglm3": 2e-2}
WINDOW = 64  # of pocket/mistral

each_model = pytest.mark.parametrize("name", pocket.NAMES)


@pytest.fixture(autouse=True, scope="module")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LABKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def composed(name: str, text: str) -> str:
    """Qwen's tokenizer composes characters first, and llama.cpp leaves that to the caller."""
    return unicodedata.normalize("NFC", text) if name == "qwen2.5" else text


@each_model
@pytest.mark.parametrize("special", [True, False])
def test_the_same_tokens(name: str, special: bool) -> None:
    between = tokenizer(name).all_special_tokens
    texts = [*TEXTS, *(token + text + token for token in between for text in TEXTS[:3])]
    texts += [a + b for a in between for b in between]
    for text in (composed(name, text) for text in texts):
        assert llama_cpp_ids(name, text, special) == transformers_ids(name, text, special), text


@each_model
@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(codec="utf-8"), max_size=40))
def test_the_same_tokens_of_any_text(name: str, text: str) -> None:
    text = composed(name, text)
    assert llama_cpp_ids(name, text, False) == transformers_ids(name, text, False)


def test_llama_cpp_does_not_compose_characters_as_qwen_does() -> None:
    text = "e\u0301"
    assert transformers_ids("qwen2.5", text, False) == transformers_ids("qwen2.5", "é", False)
    assert llama_cpp_ids("qwen2.5", text, False) != transformers_ids("qwen2.5", text, False)


@each_model
def test_a_special_token_that_a_user_types_is_plain_text(name: str) -> None:
    special = set(tokenizer(name).all_special_ids)
    assert special
    for index in special:
        text = f"say {tokenizer(name).convert_ids_to_tokens(index)} twice"
        assert index in llama_cpp_ids(name, text, special=True)
        plain = llama_cpp_ids(name, text, special=False)
        assert not special & set(plain)
        assert plain == transformers_ids(name, text, special=False)
        assert vocabulary(gguf_for(pocket.folder(name), "F32")).detokenize(plain).decode() in (
            text,
            f" {text}",
        )


@each_model
def test_llama_cpp_stops_where_transformers_stops(name: str) -> None:
    import llama_cpp

    settings = json.loads((pocket.folder(name) / "generation_config.json").read_text())
    stops = settings["eos_token_id"]
    vocab = vocabulary(gguf_for(pocket.folder(name), "F32"))._model.vocab
    for index in [stops] if isinstance(stops, int) else stops:
        assert llama_cpp.llama_vocab_is_eog(vocab, index)


def prompt(name: str, length: int) -> list[int]:
    """Special tokens, all of TEXTS, and then tokens by chance up to that length."""
    words = transformers_ids(name, composed(name, " ".join(TEXTS[5:10])), special=True)
    ids = [*tokenizer(name).all_special_ids, *words]
    chance = np.random.default_rng(0).integers(len(tokenizer(name)), size=length)
    return [*ids, *(int(index) for index in chance)][:length]


@each_model
def test_the_same_logits_at_every_position(name: str) -> None:
    ids = prompt(name, WINDOW if name == "mistral" else 240)
    expected = transformers_logits(pocket.folder(name), ids)
    found = llama_cpp_logits(gguf_for(pocket.folder(name), "F32"), ids)
    assert np.abs(found - expected).max() <= TOLERANCE[name]
    assert (found.argmax(1) == expected.argmax(1)).all()


def test_llama_cpp_ignores_the_window_of_mistral() -> None:
    ids = prompt("mistral", 4 * WINDOW)
    expected = transformers_logits(pocket.folder("mistral"), ids)
    found = llama_cpp_logits(gguf_for(pocket.folder("mistral"), "F32"), ids)
    apart = np.abs(found - expected).max(1)
    assert apart[:WINDOW].max() <= TOLERANCE["mistral"]
    assert apart[WINDOW:].max() > 100 * TOLERANCE["mistral"]


def assert_same_model(folder: Path, out: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    ids = np.random.default_rng(1).integers(config["vocab_size"], size=100).tolist()
    expected = transformers_logits(folder, ids)
    assert np.abs(expected).max() > 0.5, "logits near zero would agree with anything"
    found = llama_cpp_logits(write_gguf(folder, out, "F32"), ids)
    assert np.abs(found - expected).max() <= 1e-3


def test_weights_in_bfloat16_and_in_several_files(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    folder = pocket.folder("qwen2.5")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "parts", max_shard_size="1MB")
    tokenizer("qwen2.5").save_pretrained(tmp_path / "parts")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2
    assert_same_model(tmp_path / "parts", tmp_path / "parts.gguf")


@pytest.mark.parametrize(
    ("name", "rope"),
    [
        (
            "llama3",
            {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        ),
        ("yi", {"rope_type": "linear", "factor": 4.0}),
        (
            "qwen2.5",
            {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32},
        ),
        (
            "deepseek-v2",
            {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": 32,
                "mscale": 0.707,
                "mscale_all_dim": 0.707,
            },
        ),
    ],
)
def test_stretched_positions(name: str, rope: dict[str, float], tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for path in pocket.folder(name).iterdir():
        (folder / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] |= rope
    (folder / "config.json").unlink()
    (folder / "config.json").write_text(json.dumps(config))
    assert_same_model(folder, tmp_path / "stretched.gguf")


def test_experts_as_transformers_5_holds_them(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    source = pocket.folder("mixtral")
    folder = tmp_path / source.name
    folder.mkdir()
    for path in source.iterdir():
        if path.suffix != ".safetensors":
            (folder / path.name).symlink_to(path)
    state = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float16).state_dict()
    assert any(key.endswith("experts.gate_up_proj") for key in state)
    save_file(
        {key: value.contiguous() for key, value in state.items()}, folder / "model.safetensors"
    )
    assert_same_model(folder, tmp_path / "fused.gguf")
