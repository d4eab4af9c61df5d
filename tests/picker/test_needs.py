"""The table of weights: whole, readable, and nothing in it that no code uses."""

import pytest

from labkit.catalog import find, models, scores
from labkit.core.errors import LabError
from labkit.gguf import quant_types
from labkit.picker import needs, ranking

NEEDS = ["best", "chinese", "low-cost", "long-context", "code", "math", "chat", "tools"]


def test_every_criterion_has_points_for_every_need():
    assert list(needs.list_needs()) == NEEDS
    for criterion in needs.criteria().values():
        assert list(criterion.points) == NEEDS
        assert criterion.says.en and criterion.says.zh


def test_the_table_shows_every_number():
    shown = needs.weights()
    assert len(shown.rows) == len(needs.criteria())
    for row, criterion in zip(shown.rows, needs.criteria().values(), strict=True):
        assert [float(word.replace("·", "0")) for word in row[1:]] == list(
            criterion.points.values()
        )


def test_benchmarks_and_tool_callers_are_known_to_the_catalogue():
    known = {score.benchmark for score in scores()}
    for need in needs.list_needs().values():
        assert known.issuperset(need.benchmarks)
    assert needs.tool_callers() <= {m.series for m in models()} | {m.name for m in models()}


def test_quantizations_are_llama_cpps_and_finer_ones_cost_less():
    rises = needs.perplexity_rise()
    assert set(rises) <= set(quant_types.FILE_TYPES)
    assert list(rises.values()) == sorted(rises.values())  # the picker takes them as finest first
    assert rises["Q4_K_M"] == pytest.approx(2.816, abs=1e-3)  # as the source prints: ratio 1.02816
    assert "IQ1_S" not in rises


def test_an_unknown_need_names_the_known_ones():
    with pytest.raises(LabError, match="'fun' is not known.*low-cost"):
        needs.find_need("fun")


def test_scores_are_compared_only_within_one_table_and_not_across_generations():
    standing = {s.score.benchmark: s for s in ranking.standings("Qwen3-14B", "math")}
    # In the same report, of 7.4B to 29.5B, without Qwen2.5: gemma-3-27b 81.2, Qwen3-8B 89.84,
    # Qwen3-30B-A3B (√(30.5 × 3.35) = 10.1) 91.81.
    assert standing["GSM8K"].peers == 3
    assert standing["GSM8K"].above == pytest.approx(92.49 - 89.84)
    assert ranking.standings("Qwen3.8-27B", "best")[0].above is None  # beside its predecessor only
    assert ranking.standings("gemma-4-31B", "best") == ()


def test_a_mixture_counts_between_its_active_and_all_parameters():
    for model in models():
        active, total = model.active_parameters / 1e9, model.parameters / 1e9
        size = ranking.effective_size(model)
        if "hidden_size_per_layer_input" not in model.config:
            assert active * 0.999 <= size <= total * 1.001
    assert ranking.effective_size(find("gemma-4-E4B")) == pytest.approx(4.65, abs=0.1)  # "E4B"


def test_what_counts_as_chinese_is_where_the_reading_was_done():
    assert ranking.country("Qwen3-8B") == ranking.country("DeepSeek-R1-Distill-Qwen-7B") == "CN"
    assert ranking.country("DeepSeek-R1-Distill-Llama-70B") == "US"
    assert ranking.country("WizardMath-7B-V1.1") == "FR"


def test_who_can_reason_gains_in_mathematics_and_only_who_must_loses_in_talk():
    def points(name: str, need: str, *keys: str) -> list[float]:
        return [ranking.points_of(name, need, 4096)[key] for key in keys]

    both = ("thinks", "always_thinks")
    assert points("Qwen3.5-9B", "math", *both) == points("gpt-oss-20b", "math", *both) == [8, 0]
    assert points("phi-4", "math", *both) == [0, 0]
    assert points("Qwen3.5-9B", "chat", *both) == [0, 0]
    assert points("gpt-oss-20b", "chat", *both) == [0, -6]


def test_points_cannot_be_earned_twice_by_scores():
    for model in models():
        for key in NEEDS:
            assert abs(ranking.points_of(model.name, key, 4096)["score"]) <= 10
