"""Both engines keep the same promises: whole characters, same seed same text, an end."""

import json
import shutil
import subprocess
import sys
from functools import cache, partial
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit as lab
from labkit import pocket
from labkit.core.errors import LabError
from labkit.engines import Model, Sampling, default_engine, load
from labkit.gguf.files import gguf_for
from labkit.hub.resolver import locate

ENGINES = ("transformers", "llama.cpp")
both_engines = pytest.mark.parametrize("engine", ENGINES)


@cache
def model(name: str, engine: str) -> Model:
    return load(f"pocket/{name}", engine)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"min_p": -1},
        {"repeat_penalty": 0},
        {"max_new_tokens": 0},
        {"seed": -1},
        {"stop": ("",)},
    ],
    ids=str,
)
def test_a_setting_outside_its_range_is_named(wrong):
    with pytest.raises(LabError, match=next(iter(wrong))):
        Sampling(**wrong)


# Composed, as Qwen's tokenizer makes every text in Transformers, and llama.cpp does not.
# Not the sign of a broken character, nor SentencePiece's own sign for a space.
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\ufffd▁")


@both_engines
@pytest.mark.parametrize("name", ["qwen2.5", "llama2"])  # byte-level BPE and SentencePiece
@given(text=st.text(characters, max_size=40).map(partial(normalize, "NFC")))
@settings(max_examples=40, deadline=None)
def test_what_is_decoded_is_what_was_encoded(name, engine, text):
    said = list(model(name, engine).decode(model(name, engine).encode(text)))
    if name == "llama2":  # puts a space in front of every text, which Transformers takes off again
        assert "".join(said) in (text, f" {text}")
    else:
        assert "".join(said) == text
    assert all(said)


@both_engines
def test_a_character_comes_whole_or_not_at_all(engine):
    qwen = model("qwen2.5", engine)
    ids = qwen.encode("龘🦙")
    assert len(ids) > 2, "these take several tokens, else this tests nothing"
    pieces = list(qwen.decode(ids))
    assert pieces == ["龘", "🦙"]
    assert "".join(qwen.decode(ids[:-1])) == "龘"


@both_engines
def test_same_seed_same_text_another_seed_another(engine):
    qwen = model("qwen2.5", engine)
    ids = qwen.encode("你好")

    def draw(seed: int, **settings: float) -> list[int]:
        qwen.forget()
        sampling = Sampling(temperature=1.5, seed=seed, max_new_tokens=12, **settings)
        return list(qwen.generate(ids, sampling))

    assert draw(1) == draw(1)
    assert len({tuple(draw(seed)) for seed in range(5)}) > 1
    greedy = list(qwen.generate(ids, Sampling(max_new_tokens=12)))
    assert draw(1, top_k=1) == draw(2, top_p=1e-6) == draw(3, min_p=1.0) == greedy


@both_engines
def test_it_ends_at_a_stop_token_at_the_limit_or_at_the_end_of_the_context(engine):
    qwen = load("pocket/qwen2.5", engine, context=20)
    ids = qwen.encode("1 2 3")
    assert len(list(qwen.generate(ids, Sampling(max_new_tokens=3)))) <= 3
    every = list(qwen.generate(ids))
    assert len(ids) + len(every) == 20 or every[-1] in qwen.stop_ids
    qwen.stop_ids = frozenset(every[:1])
    assert list(qwen.generate(ids)) == every[:1], "with its stop token, as Transformers does"
    for prompt in ([], ids * 9):
        with pytest.raises(LabError, match=f"has {len(prompt)} tokens.*1 to 19"):
            next(qwen.generate(prompt))


@both_engines
def test_a_repeat_penalty_changes_what_is_said(engine):
    qwen = model("qwen2.5", engine)
    question = "Which sizes does Qwen2.5 come in?"  # an answer that repeats a letter
    plain, fined = (
        lab.chat(qwen, repeat_penalty=penalty)(question).text for penalty in (1.0, 50.0)
    )
    assert plain != fined


@pytest.mark.parametrize("name", pocket.NAMES)
def test_both_engines_agree_on_what_ends_and_begins_a_text(name):
    one, other = (model(name, engine) for engine in ENGINES)
    assert one.bos == other.bos
    assert one.stop_ids <= other.stop_ids, "llama.cpp knows some by their names besides"
    assert one.context_length == other.context_length
    assert one.chat_template == other.chat_template
    texts = {one.tokenizer.convert_ids_to_tokens(id) for id in one.stop_ids}
    if name == "chatglm3":
        assert {"<|user|>", "<|observation|>"} <= texts
    if name == "llama3-base":
        assert one.chat_template is None and one.bos


def test_transformers_gives_its_own_objects():
    qwen = model("qwen2.5", "transformers")
    assert type(qwen.model).__name__ == "Qwen2ForCausalLM"
    assert qwen.config.num_key_value_heads == 2 and not qwen.model.training
    assert "pocket/qwen2.5" in repr(qwen)


def test_a_gguf_file_is_a_model_on_both_engines(tmp_path):
    path = gguf_for(pocket.folder("llama3"), "Q8_0")
    small = load(path, context=64)
    assert small.engine == "llama.cpp" and small.config["general.architecture"] == "llama"
    ids = small.encode("Reverse: apple river moon")
    assert list(small.generate(ids))
    whole = load(path, "transformers")
    assert whole.encode("Reverse: apple river moon") == ids
    assert type(whole.model).__name__ == "LlamaForCausalLM"


def test_what_cannot_be_loaded_is_said_in_words(tmp_path):
    good = gguf_for(pocket.folder("qwen2.5"))
    foreign, short = tmp_path / "foreign.gguf", tmp_path / "short.gguf"
    foreign.write_bytes(b"PK\3\4" + bytes(100))
    short.write_bytes(good.read_bytes()[:100_000])
    for path in (foreign, short):
        for engine in ENGINES:
            with pytest.raises(LabError) as error:
                load(path, engine).model  # noqa: B018  Transformers reads when first asked
            assert str(path) in error.value.what and error.value.way_out
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    shutil.copy(pocket.folder("qwen2.5") / "tokenizer.json", tmp_path)
    for engine in ENGINES:
        with pytest.raises(LabError) as error:
            load(tmp_path, engine).model  # noqa: B018
        assert error.value.way_out


def test_a_broken_config_is_said_before_an_engine_is_chosen(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": ')
    with pytest.raises(LabError, match="is no valid configuration"):
        default_engine(locate(tmp_path))


def test_wrong_settings_of_loading_are_named():
    with pytest.raises(LabError, match="Engine 'onnx' is not known"):
        load("pocket/qwen2.5", "onnx")  # type: ignore[arg-type]
    for engine in ENGINES:
        with pytest.raises(LabError, match="A context of 99999 tokens does not work"):
            load("pocket/qwen2.5", engine, context=99_999)


def test_with_amx_weights_stay_as_in_the_file_and_say_the_same(monkeypatch):
    """A llama.cpp with AMX ended the process on this model (ggml-org/llama.cpp, issue 18099)."""
    monkeypatch.setattr("llama_cpp.llama_print_system_info", lambda: b"CPU : AMX_INT8 = 1 | ")
    model = load("pocket/deepseek-v2", "llama.cpp")
    assert model.model.model_params.use_extra_bufts is False
    monkeypatch.undo()
    question = "What is 12 + 30?"
    both = (model, load("pocket/deepseek-v2", "transformers"))
    answers = [lab.chat(one)(question).text for one in both]
    assert "42" in answers[0] and answers[0] == answers[1]


def test_llama_cpp_starts_without_torch_and_transformers():
    code = (
        "import sys, labkit; labkit.chat('pocket/qwen2.5', max_new_tokens=2)('Hi')\n"
        "print(sorted({'torch', 'transformers', 'tokenizers', 'gguf'} & set(sys.modules)))"
    )
    gguf_for(pocket.folder("qwen2.5"))  # making it may import more
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_damaged_weights_are_one_sentence(tmp_path):
    folder = shutil.copytree(pocket.folder("qwen2.5"), tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"\xff" * 2000)
    with pytest.raises(LabError, match="Transformers cannot read") as error:
        _ = load(folder, "transformers").model
    assert "Fetch the model again" in error.value.way_out
