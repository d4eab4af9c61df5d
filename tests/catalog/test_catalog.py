"""The catalogue: whole, sourced, and in accord with itself, the arithmetic and Transformers."""

import time
import tomllib
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import catalog
from labkit.architecture.tensors import count_parameters
from labkit.catalog import find, models, reader, successor, validation
from labkit.core.errors import LabError
from labkit.core.i18n import use_language

COURSE = """
    Llama-2-7B Llama-2-13B Llama-2-70B Llama-3-8B Llama-3-70B Llama-3.1-8B Llama-3.1-70B
    Llama-3.2-1B Llama-3.2-3B Qwen1.5-1.8B Qwen1.5-7B Qwen2.5-0.5B Qwen2.5-1.5B Qwen2.5-3B
    Qwen2.5-7B Qwen2.5-14B Qwen2.5-32B Qwen2.5-72B Qwen2.5-Coder-7B ChatGLM3-6B GLM-4-9B Yi-6B
    Yi-34B Yi-34B-200K DeepSeek-V2 DeepSeek-V2-Lite DeepSeek-Coder-6.7B DeepSeek-Math-7B
    WizardMath-7B-V1.1 Mistral-7B-v0.1 Mistral-7B-v0.3 Mixtral-8x7B
""".split()

ids = pytest.mark.parametrize("model", models(), ids=lambda m: m.name)


def test_every_file_is_valid():
    assert catalog.validate() == []


def test_validation_names_what_is_wrong(tmp_path, monkeypatch):
    for path in catalog.DATA.rglob("*.toml"):
        copy = tmp_path / path.relative_to(catalog.DATA)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    yi = tmp_path / "models" / "yi.toml"
    yi.write_text(yi.read_text(encoding="utf-8").replace("context = 4096", 'contxt = "4k"', 1))
    monkeypatch.setattr(reader, "DATA", tmp_path)
    faults = catalog.validate()
    assert len(faults) == 2
    assert all("Yi-6B" in fault for fault in faults)
    assert {"context", "contxt"} == {w for f in faults for w in ("context", "contxt") if w in f}


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"license": "mine"}, "license 'mine'"),
        ({"family": "camel"}, "family 'camel'"),
        ({"superseded_by": "Nobody-1B"}, "'Nobody-1B'"),
        ({"release_date": "last May"}, "last May"),
        ({"sources": {}}, "'config' has no source"),
    ],
)
def test_validation_finds_what_points_nowhere(changed, fault, monkeypatch):
    broken = replace(find("Yi-6B"), **changed)
    monkeypatch.setattr(validation, "models", lambda: (*models(), broken))
    found = [*validation._dangling(), *validation._unsourced()]
    assert found
    assert any(fault in line and "Yi-6B" in line for line in found)


def test_the_course_is_whole():
    assert sorted(m.name for m in models() if m.course) == sorted(COURSE)


def test_names_and_ids_are_unique():
    assert len({m.name.lower() for m in models()}) == len(models())
    assert len({m.huggingface.lower() for m in models()}) == len(models())


@ids
def test_parameters_follow_from_the_architecture(model):
    count = count_parameters(model.config)
    assert (count.total, count.active) == (model.parameters, model.active_parameters)


@ids
def test_context_is_within_reach(model):
    given = model.config.get("max_position_embeddings") or model.config["seq_length"]
    stretched = "rope_scaling" in model.config or model.native_context
    assert 2048 <= model.context <= (131_072 if stretched and given < 131_072 else given)
    assert model.native_context is None or model.native_context < model.context


@ids
def test_properties_read_the_architecture(model):
    assert 1 <= model.num_hidden_layers <= 126
    assert model.config["num_attention_heads"] % model.num_key_value_heads == 0
    assert 32_000 <= model.vocab_size <= 262_400


@ids
def test_heirs_are_of_the_family_and_younger(model):
    if model.superseded_by:
        after = find(model.superseded_by)
        assert after.family == model.family or after.specialty == model.specialty != "general"
        assert after.release_date >= model.release_date
        assert after.specialty in (model.specialty, "general")
    assert successor(model).superseded_by is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Llama-2-70B", "Llama-4-Scout"),
        ("Qwen1.5-7B", "Qwen3.5-9B"),
        ("Qwen2.5-32B", "Qwen3.8-27B"),
        ("ChatGLM3-6B", "GLM-4.7-Flash"),
        ("Yi-34B", "Yi-1.5-34B"),
        ("Mistral-7B-v0.1", "Ministral-3-8B"),
        ("DeepSeek-V2", "DeepSeek-V3.2"),
    ],
)
def test_the_end_of_the_line(old, new):
    assert successor(find(old)).name == new


def test_what_is_not_verified_says_so():
    doubtful = [m for m in models() if m.verification == "unverified"]
    assert doubtful
    assert all({"config", "parameters"} <= set(m.unverified) for m in doubtful)


def test_families_of_the_course_have_a_lesson():
    lessons = {f.key: f.lesson for f in catalog.families()}
    assert all(lessons[m.family] for m in models() if m.course)
    assert [bool(f.lesson) for f in catalog.families()] == sorted(map(bool, lessons.values()))[::-1]


def test_every_license_is_used_and_speaks_both_languages():
    used = {m.license for m in models()}
    assert used == catalog.licenses().keys()
    for row in catalog.licenses().values():
        assert row.link.startswith("https://")
        assert any("\u4e00" <= c <= "\u9fff" for c in row.conditions.zh)
        assert row.conditions.en.isascii() or "“" in row.conditions.en


def test_known_license_terms():
    assert catalog.licenses()[find("Qwen2.5-3B").license].commercial == "no"
    assert catalog.licenses()[find("Qwen2.5-7B").license].commercial == "yes"
    assert catalog.licenses()["llama2"].user_limit == 700_000_000


def test_the_license_of_the_base_holds_too():
    distilled = catalog.terms(find("DeepSeek-R1-Distill-Llama-8B"))
    assert [row.key for row in distilled] == ["mit", "llama3.1"]
    assert [row.key for row in catalog.terms(find("DeepSeek-R1-Distill-Qwen-14B"))] == [
        "mit",
        "apache-2.0",
    ]
    assert [row.key for row in catalog.terms(find("Yi-6B"))] == ["apache-2.0"]


def test_derived_models_point_at_their_base():
    names = {d.name.split("-")[0].split(" v")[0] for d in catalog.derived_models()}
    assert names == {"DoctorGLM", "Meditron", "Lawyer LLaMA", "FinGPT", "WizardMath"}
    in_catalogue = [d for d in catalog.derived_models() if d.base in {m.name for m in models()}]
    assert len(in_catalogue) == 4
    assert all(find(d.base).family == d.family for d in in_catalogue)


def test_scores_belong_to_models_and_have_a_source():
    known = {m.name for m in models()}
    for score in catalog.scores():
        assert score.model in known or score.model.startswith("GPT-")
        assert 0 < score.score <= 100
        assert bool(score.source) != score.unverified
    llama = [s.score for s in catalog.scores() if (s.model, s.benchmark) == ("Llama-2-7B", "MMLU")]
    assert {44.4, 45.3, 45.7} <= set(llama)  # three runs, three numbers: the protocol matters


def test_prices_are_dated_and_ordered():
    for price in catalog.prices():
        assert 0 <= price.input <= price.output < 1000
        assert price.cached_input is None or price.cached_input <= price.input


def test_devices():
    named = {d.name: d for d in catalog.devices()}
    assert named["RTX 4090"].bandwidth_gbps == 1008
    assert named["Ascend 910B"].bandwidth_gbps is None  # the sources contradict each other
    for device in named.values():
        assert device.bandwidth_gbps is None or 10 <= device.bandwidth_gbps <= 8000
        assert device.source or device.unverified
        assert all(rental.source or rental.unverified for rental in device.rentals)


@ids
def test_find_by_name_and_id_in_any_case(model):
    assert find(model.name.upper()) is model
    assert find(model.huggingface.lower()) is model
    assert find(model.chat or model.name) is model


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Qwen/Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B"),
        ("Qwen2.5-0.5B-Instruct", "Qwen2.5-0.5B"),
        ("Qwen/Qwen2.5-0.5B-Instruct-GGUF", "Qwen2.5-0.5B"),
        ("modelscope/Llama-2-7b-ms", "Llama-2-7B"),
        ("Qwen3-4B-Instruct-2507", "Qwen3-4B-Instruct-2507"),
        ("DeepSeek-R1", "DeepSeek-R1"),
    ],
)
def test_find_by_any_of_its_names(name, model):
    assert find(name).name == model


def test_no_name_means_two_models():
    seen: dict[str, str] = {}
    for m in models():
        for name in {m.name, m.huggingface, m.chat or m.name}:
            assert seen.setdefault(name.lower(), m.name) == m.name


def test_an_unknown_model_gets_a_suggestion():
    use_language("en")
    try:
        with pytest.raises(LabError) as caught:
            find("Qwen2.5-7")
        assert "'Qwen2.5-7'" in caught.value.what
        assert "'Qwen2.5-7B'" in caught.value.way_out
        with pytest.raises(LabError, match="labkit models"):
            find("没有这个")
    finally:
        use_language(None)


@given(st.text(max_size=40))
def test_any_name_gives_a_model_or_a_clear_error(name):
    try:
        assert find(name).name
    except LabError as error:
        assert error.way_out


def test_entries_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        find("Yi-6B").context = 1  # type: ignore[misc]


def test_reading_costs_little_more_than_parsing():
    """Side by side, the best of three each, so that a busy machine slows both alike."""

    def seconds(work):
        started = time.process_time()
        work()
        return time.process_time() - started

    def parse():
        for path in (catalog.DATA / "models").glob("*.toml"):
            tomllib.loads(path.read_text(encoding="utf-8"))

    def read():
        models.cache_clear()
        models()

    parsing = min(seconds(parse) for _ in range(3))
    assert min(seconds(read) for _ in range(3)) < 2 * parsing


BUILT_AS = {"kimi_k2": "deepseek_v3"}
"""Model types that Transformers reads by remote code only, and the class of the same shapes."""


def _native(config):
    """The configuration in words that Transformers has a class for."""
    words = dict(config)
    model_type = words.pop("model_type")
    if model_type == "chatglm":  # GlmForCausalLM has ChatGLM's shapes
        return "glm", {
            "num_hidden_layers": words["num_layers"],
            "hidden_size": words["hidden_size"],
            "intermediate_size": words["ffn_hidden_size"],
            "num_attention_heads": words["num_attention_heads"],
            "num_key_value_heads": words["multi_query_group_num"],
            "head_dim": words["kv_channels"],
            "vocab_size": words["padded_vocab_size"],
            "attention_bias": words["add_qkv_bias"],
            "tie_word_embeddings": words["tie_word_embeddings"],
            "pad_token_id": None,
        }
    return BUILT_AS.get(model_type, model_type), words


@pytest.mark.slow
@ids
def test_parameters_equal_the_real_class_on_the_meta_device(model):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model_type, words = _native(model.config)
    with torch.device("meta"):
        built = transformers.AutoModelForCausalLM.from_config(
            transformers.AutoConfig.for_model(model_type, **words)
        )
    assert sum(p.numel() for p in built.parameters()) == model.parameters
