"""What lessons on families show: heirs, scores and run lines, all from the catalogue."""

import re

import pytest

from labkit.catalog import find, models, scores, successor
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.course.family_overview import describe, published_scores, run_lines, successors
from labkit.estimation.memory import estimate

COURSE = [model for model in models() if model.course]
FAMILIES = list(dict.fromkeys(model.family for model in COURSE))


@pytest.fixture(autouse=True)
def _language():
    yield
    use_language(None)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_model_of_the_course_has_its_heir(family):
    rows = successors(family).rows
    assert [row[0] for row in rows] == [m.name for m in COURSE if m.family == family]
    for row in rows:
        new = successor(find(row[0]))
        assert (row[2] == new.name) == (new.name != row[0])
        assert bool(row[4]) == (new.name != row[0])  # a successor differs in something


def test_what_changed_is_read_from_the_configurations():
    row = next(row for row in successors("llama").rows if row[0] == "Llama-2-7B")
    assert "attention: MHA 32/32 → GQA 32/8" in row[4]
    assert "vocabulary: 32,000 → 128,256" in row[4]
    assert "rope base: 10,000 → 500,000" in row[4]
    assert "layers" not in row[4]  # both have 32
    assert "→" in row[5] and "Llama 2 Community" in row[5]


def test_kinds_of_attention():
    kinds = {
        "Llama-2-7B": "MHA 32/32",
        "Llama-3-8B": "GQA 32/8",
        "DeepSeek-V2": "MLA",
        "Mistral-7B-v0.1": "GQA 32/8, window 4,096 in 32 of 32 layers",
        "Qwen3.5-9B": "GQA 16/4, linear in 24 of 32 layers",
    }
    assert {name: describe(find(name))["attention"] for name in kinds} == kinds


def test_scores_beside_each_other_come_from_one_source_and_protocol():
    table = published_scores("llama", ["MMLU", "GSM8K"])
    known = {
        (s.model, s.variant, s.benchmark, f"{s.score:.1f}"): (s.source, s.protocol)
        for s in scores()
    }
    by_mark: dict[str, set] = {}
    for mark, model, variant, *values in table.rows:
        for benchmark, value in zip(table.header[3:], values, strict=True):
            if value:
                origins = {
                    (s.source, s.protocol)
                    for s in scores()
                    if (s.model, s.variant, s.benchmark) == (model, variant, benchmark)
                    and f"{s.score:.1f}" == value
                }
                assert (model, variant, benchmark, value) in known
                by_mark[mark] = by_mark.get(mark, origins) & origins
    assert all(len(origins) >= 1 for origins in by_mark.values()) and len(by_mark) > 1
    for n in range(1, len(by_mark) + 1):
        assert f"[{n}] " in table.note


def test_scores_can_be_chosen_and_what_is_unknown_is_said():
    chat = published_scores("llama", ["MMLU"], "chat")
    assert {row[2] for row in chat.rows} == {"chat"} and chat.header[-1] == "MMLU"
    assert "from memory" in published_scores(["DeepSeek-Coder-6.7B"]).note
    with pytest.raises(LabError, match="No published score"):
        published_scores(["Llama-2-7B"], ["SWE-bench"])


@pytest.mark.parametrize("model", COURSE, ids=lambda model: model.name)
def test_run_lines_name_what_the_catalogue_knows_and_what_the_estimate_says(model):
    lines = {row.by: row for row in run_lines(model.name, context=2048).lines}
    gguf = estimate(model.name, quant="Q4_K_M", context=2048)
    assert lines["llama.cpp"].memory == lines["Ollama"].memory == gguf.total
    assert lines["llama.cpp"].download == gguf.file_size
    for id in re.findall(r"[\w.-]+/[\w.-]+(?=[\":])", "".join(row.line for row in lines.values())):
        id = id.removeprefix("hf.co/")
        known = [i for m in models() for i in (m.huggingface, m.chat, *m.gguf)]
        assert id in known, id


def test_chatglm3_says_that_transformers_has_no_class_and_glm_4_names_the_native_one():
    first = run_lines("ChatGLM3-6B").lines[0]
    assert first.memory is None and "no class" in first.line
    assert '"zai-org/glm-4-9b-chat-hf"' in run_lines("GLM-4-9B").lines[0].line


def test_transformers_really_has_no_class_for_chatglm():
    from transformers import AutoConfig

    with pytest.raises(ValueError, match="chatglm"):
        AutoConfig.for_model("chatglm")


def test_ollama_gets_a_file_that_is_not_split():
    line = run_lines("Qwen2.5-7B").lines[2].line
    assert "bartowski/" in line


def test_a_file_in_parts_is_no_meal_for_ollama():
    assert "llama-gguf-split" in str(run_lines("DeepSeek-V2"))
    assert "llama-gguf-split" not in str(run_lines("Llama-3-70B"))


def test_here_compares_with_the_memory_of_this_machine():
    big, small = run_lines("DeepSeek-V2").here(), run_lines("Qwen2.5-0.5B").here()
    assert len(big.rows) == 3 and "to use" in big.note
    assert small.rows[1][2] in ("fits", "does not fit")


def test_an_unknown_family_is_named():
    with pytest.raises(LabError, match="'lama'"):
        successors("lama")


def test_the_tables_speak_chinese():
    use_language("zh")
    assert "如今换成" in str(successors("yi")) and "内存占用" in str(run_lines("Yi-6B"))
