"""Which model to run: what is recommended fits, and says why."""

import dataclasses
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.catalog import find, models
from labkit.catalog.lessons import number_of
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.core.units import GiB, read_bytes
from labkit.estimation.memory import estimate
from labkit.picker import picks
from labkit.picker.available_memory import AvailableMemory, type_memory
from labkit.picker.fit import place, quants, size
from labkit.picker.needs import list_needs
from labkit.picker.picks import Option, Picks, pick
from labkit.picker.ranking import standings
from labkit.picker.rules_of_thumb import check_rules, compare_rules

NEEDS = st.sampled_from(list(list_needs()))
CONTEXTS = st.sampled_from([None, 512, 4096, 32768, 131072])
SIZES = st.one_of(st.none(), st.floats(0.5, 300))
CONTRACT = (
    "model quant engine context total n_gpu_layers fits license download tokens_per_second_low "
    "tokens_per_second_high reasons_for reasons_against command"
)


def names(picks: Picks) -> set[str]:
    return {option.model for option in picks.options if option.fits}


@settings(max_examples=40, deadline=None)
@given(NEEDS, SIZES, SIZES, CONTEXTS)
def test_what_is_recommended_fits(need, vram, ram, context):
    if vram is None and ram is None:
        vram = 8
    picks = pick(need, vram, ram, context=context)
    machine = picks.machine
    assert (picks.nothing_fits is None) == any(option.fits for option in picks.options)
    for o in picks.options:
        assert o.total == o.weights + o.kv_cache + o.runtime
        assert min(o.weights, o.kv_cache, o.runtime, o.download) > 0
        assert o.points == pytest.approx(sum(o.points_by.values()), abs=0.1)
        if not o.fits:
            assert o.total > machine.vram or machine.ram is not None
            continue
        assert o.total <= machine.total
        assert o.in_ram <= (machine.ram or 0)
        assert o.context == (context or min(list_needs()[need].context, find(o.model).context))
        if machine.ram is None:
            assert o.total <= machine.vram * machine.gpus
    ranked = [option.points for option in picks.options if option.fits]
    assert ranked == sorted(ranked, reverse=True)


@settings(max_examples=30, deadline=None)
@given(NEEDS, SIZES, SIZES, CONTEXTS, st.floats(0, 100), st.floats(0, 100))
def test_more_memory_never_removes_a_model(need, vram, ram, context, more_vram, more_ram):
    if vram is None and ram is None:
        vram = 8
    larger_vram = None if vram is None else vram + more_vram
    larger_ram = None if ram is None else ram + more_ram
    less = names(pick(need, vram, ram, context=context))
    assert less <= names(pick(need, larger_vram, larger_ram, context=context))


@settings(max_examples=20, deadline=None)
@given(NEEDS, st.floats(2, 100), st.sampled_from([2048, 8192, 65536]))
def test_a_smaller_context_never_removes_a_model(need, vram, context):
    assert names(pick(need, vram, context=context)) <= names(pick(need, vram, context=1024))


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([m.name for m in models()]), st.floats(4, 100), st.floats(8, 200))
def test_the_figures_are_those_of_estimate(name, vram, ram):
    model, machine = find(name), picks.type_memory(vram, ram)
    quant = quants(model)[-1]
    placed = place(model, quant, 2048, machine)
    e = estimate(name, quant=quant, context=2048, vram=machine.vram)
    assert size(model, quant, 2048).total == e.total
    if placed:
        assert (placed.n_gpu_layers, placed.in_ram) == (e.n_gpu_layers, e.in_ram)
        assert (placed.on_gpu or 0) <= machine.vram and e.in_ram <= machine.ram
    else:
        assert e.in_ram > machine.ram


def test_the_json_keys_are_the_contracts():
    assert {"machine", "options", "nothing_fits"} <= {f.name for f in dataclasses.fields(Picks)}
    assert [f.name for f in dataclasses.fields(Option)][:14] == CONTRACT.split()


@pytest.mark.parametrize("need", list_needs())
def test_todays_models_are_recommended_and_the_lesson_of_their_family_named(need):
    options = pick(need, vram=8).options
    assert len(options) > 5
    for option in options:
        model = find(option.model)
        assert picks.replaced_by(model) is None
        if option.lesson:
            assert f"lesson {option.lesson} explains its family" in option.reasons_for
    assert max(find(o.model).release_date for o in options[:3]) >= "2025"


def test_the_courses_own_models_on_request():
    options = pick(vram=24, course=True).options
    assert options and all(find(option.model).course for option in options)


def test_a_model_without_a_published_score_says_so():
    for option in pick(vram=24).options:
        unscored = any("no published score" in reason for reason in option.reasons_against)
        assert unscored == (not standings(option.model, "best"))


def test_commercial_use_leaves_out_what_forbids_it():
    free, paid = pick(vram=80, course=True), pick(vram=80, course=True, commercial=True)
    assert "Qwen2.5-3B" in names(free) - names(paid)
    by_name = {option.model: option for option in paid.options}
    assert any("Llama 2" in reason for reason in by_name["Llama-2-7B"].reasons_against)


def test_languages_and_chinese_leave_out_english_models():
    assert "gpt-oss-20b" in names(pick(vram=24))
    assert "gpt-oss-20b" not in names(pick("chinese", vram=24))
    assert "gpt-oss-20b" not in names(pick(vram=24, languages=["zh"]))


def test_a_place_can_be_added_up_by_hand():
    option = pick("code", vram=8).options[0]
    assert sum(option.points_by.values()) == pytest.approx(option.points, abs=0.05)


def test_code_goes_to_a_coder_where_there_is_a_recent_one():
    best = pick("code", vram=80).options[0]
    assert find(best.model).specialty == "code" and "made for code" in best.reasons_for
    old = next(o for o in pick("code", vram=8).options if o.model == "Qwen2.5-Coder-7B")
    assert old.points_by["age"] < -old.points_by["specialty"]


@pytest.mark.parametrize(
    ("vram", "gpus", "least", "quant"),
    [(8, 1, 7, "Q5_K_M"), (16, 1, 24, "Q3_K_L"), (24, 1, 24, "Q6_K"), (48, 1, 24, "Q8_0")],
)
def test_a_larger_card_gets_a_larger_model_or_finer_weights(vram, gpus, least, quant):
    first = pick(vram=vram).options[0]
    assert find(first.model).parameters >= least * 1e9 and first.quant == quant


def test_large_models_stand_high_where_there_is_room_for_them():
    cards = dataclasses.replace(type_memory(80, None), gpus=2)
    first = [find(option.model) for option in pick(machine=cards).options[:6]]
    assert sum(model.parameters > 100e9 for model in first) >= 3
    assert min(model.release_date for model in first) >= "2025"


def test_what_lies_far_below_the_first_is_counted_and_not_shown():
    picks = pick(vram=24)
    hidden = picks.options[len(picks.shown) :]
    assert picks.shown and hidden and picks.options[: len(picks.shown)] == picks.shown
    assert picks.shown[-1].points >= picks.options[0].points - 25 > hidden[0].points
    assert f"{len(hidden)} more fit" in str(picks) and hidden[0].model not in str(picks)


def test_yarn_is_a_reason_against_and_part_of_the_command():
    options = {o.model: o for o in pick("long-context", vram=24, course=True).options}
    long = options["Qwen2.5-7B"]
    assert "needs YaRN beyond 32,768 tokens" in long.reasons_against
    assert "--rope-scaling yarn --rope-scale 4 --yarn-orig-ctx 32768" in long.command
    assert not any("YaRN" in reason for reason in options["Llama-3.1-8B"].reasons_against)
    short = {o.model: o for o in pick(vram=24, course=True).options}["Qwen2.5-7B"]
    assert "yarn" not in short.command and "YaRN" not in str(short.reasons_against)


def test_a_base_model_is_named_as_one():
    options = {o.model: o for o in pick("chat", vram=80, course=True).options}
    base = options["Yi-34B-200K"]
    assert any("continues texts" in reason for reason in base.reasons_against)
    assert options["Yi-34B"].points > base.points


def test_more_bits_are_taken_where_there_is_room():
    def quant_of(vram: float) -> str:
        options = {option.model: option.quant for option in pick(vram=vram).options}
        return options["Qwen3.5-9B"]

    assert quants(find("Qwen3.5-9B")).index(quant_of(8)) > quants(find("Qwen3.5-9B")).index(
        quant_of(16)
    )


def test_mxfp4_weights_are_taken_as_they_are_published():
    options = {option.model: option for option in pick(vram=16).options}
    assert options["gpt-oss-20b"].quant == "MXFP4_MOE"


def test_layers_that_do_not_fit_lie_in_ram():
    options = {option.model: option for option in pick(vram=8, ram=64, course=True).options}
    option = options["Qwen2.5-32B"]
    assert 0 < option.n_gpu_layers < 65 and option.in_ram > 0
    assert f"-ngl {option.n_gpu_layers}" in option.command
    assert any("layers on the GPU" in reason for reason in option.reasons_against)


def test_speed_is_a_range_for_known_hardware_and_unknown_for_the_rest():
    known = pick(vram=24, gpu="NVIDIA GeForce RTX 4090").options
    for option in known:
        assert 0 < option.tokens_per_second_low < option.tokens_per_second_high
        assert not any("speed unknown" in reason for reason in option.reasons_against)
    for option in pick(vram=24).options + pick(vram=24, gpu="A card of my own").options:
        assert option.tokens_per_second_low is option.tokens_per_second_high is None
        assert any("speed unknown" in reason for reason in option.reasons_against)
    assert pick(ram=16, ram_type="DDR5-5600 dual channel").options[0].tokens_per_second_low


def test_on_several_gpus_the_fullest_of_them_decides():
    two = AvailableMemory("two cards", 12 * GiB, None, 2)
    options = pick(machine=two).options
    assert options[0].total > 12 * GiB  # more than one card holds
    for option in options:
        e = estimate(
            option.model, quant=option.quant, context=option.context, vram=two.vram, gpus=2
        )
        assert e.fits and option.n_gpu_layers == e.n_layers


# --- nothing fits


def test_nothing_fits_says_what_is_missing_and_what_would_fit():
    picks = pick("chinese", vram=2, context=131072)
    assert picks.options and not any(option.fits for option in picks.options)
    words = picks.nothing_fits or ""
    smallest = picks.options[0]
    assert smallest.model in words and "are missing" in words
    for way in ("a context of", "free RAM beside the card", "though it reads only 32,768 tokens"):
        assert way in words


def test_what_is_proposed_instead_does_fit():
    picks = pick("chinese", vram=2, context=131072)
    ways = (picks.nothing_fits or "").split("What would fit: ")[1]
    context = int(ways.removeprefix("a context of ").split()[0].replace(",", ""))
    assert names(pick("chinese", vram=2, context=context))
    assert not names(pick("chinese", vram=2, context=2 * context))


def test_as_much_free_ram_as_is_named_is_enough():
    picks = pick("long-context", vram=2)
    words = (picks.nothing_fits or "").split(" of free RAM")[0].split("or ")[-1]
    ram = round(read_bytes(words.replace(" ", "")) * 1.01)  # shown to a hundredth
    assert names(pick("long-context", machine=dataclasses.replace(picks.machine, ram=ram)))
    assert not names(pick("long-context", machine=dataclasses.replace(picks.machine, ram=ram // 2)))


def test_a_cache_in_q8_0_is_proposed_where_it_helps():
    for context in range(60_000, 120_000, 2_000):
        picks = pick("chinese", vram=2, context=context)
        if "q8_0" in (picks.nothing_fits or ""):
            return
    pytest.fail("no context at which only the smaller cache fits")


def test_less_than_any_model_takes():
    words = pick(ram=2.05).nothing_fits or ""
    assert "Even the smallest of the catalogue, SmolLM2-135M" in words


def test_what_no_model_can_do_is_said():
    picks = pick(vram=80, context=10**8)
    assert picks.options == () and "No model of the catalogue" in (picks.nothing_fits or "")


@pytest.mark.parametrize("context", [0, -1, 10**10, 8192.0, True])
def test_an_absurd_context_is_named(context):
    with pytest.raises(LabError, match="no number of tokens"):
        pick(vram=8, context=context)


# --- the rules of thumb of the course


@cache
def fits(name: str, vram: float, ram: float | None = None, finest: str = "Q4_K_M") -> bool:
    model, machine = find(name), picks.type_memory(vram, ram)
    wanted = quants(model)[: quants(model).index(finest) + 1]
    return any(place(model, quant, 4096, machine) for quant in wanted)


@pytest.mark.parametrize(
    "vram, fitting, too_large",
    [
        (4, ["Qwen2.5-1.5B", "Qwen2.5-3B", "Llama-3.2-3B"], ["Llama-2-7B", "Yi-6B"]),
        (8, ["Llama-2-7B", "Qwen2.5-7B", "Mistral-7B-v0.1"], ["Llama-2-13B", "Qwen2.5-14B"]),
        (16, ["Llama-2-13B", "Qwen2.5-14B"], ["Yi-34B", "Qwen2.5-32B"]),
        (24, ["Yi-34B", "Qwen2.5-32B"], ["Llama-2-70B", "Qwen2.5-72B"]),
    ],
)
def test_the_rules_of_thumb_come_out_as_results(vram, fitting, too_large):
    assert all(fits(name, vram) for name in fitting)
    assert not any(fits(name, vram) for name in too_large)


def test_70b_on_24_gb_only_with_offload_or_in_2_bits():
    assert fits("Llama-2-70B", 24, ram=64)
    placed = place(find("Llama-2-70B"), "Q4_K_M", 4096, picks.type_memory(24, 64))
    assert placed and 0 < (placed.n_gpu_layers or 0) < placed.n_layers
    assert not fits("Llama-2-70B", 24, finest="Q3_K_S")
    assert fits("Llama-2-70B", 24, finest="IQ2_S")


def test_rule_and_arithmetic_stand_side_by_side():
    checks = {check.vram: check for check in check_rules()}
    assert [checks[vram].holds for vram in (4, 16, 24)] == [True] * 3
    assert not checks[8].holds and checks[8].largest == "GLM-4-9B"  # more than the rule promises
    assert checks[24].next_up == "Llama-2-70B" and (checks[24].next_quant or "").startswith("IQ2")
    table = compare_rules()
    assert len(table.rows) == 4 and "IQ2" in str(table) and "not quite" in table._repr_html_()


# --- for a reader


def test_reasons_stand_below_their_row_over_its_whole_width():
    picks = pick(vram=8)
    table = picks.table(2)
    assert len(table.rows) == len(table.below) == 2
    first, second = picks.options[:2]
    lines = str(table).splitlines()
    assert lines[1].startswith(first.model) and lines[2].startswith("    + ")
    assert lines[3].startswith("    − no published score")
    assert lines[4].startswith(second.model)
    html = table._repr_html_()
    assert html.count('colspan="7"') == 2 and "<br>− no published score" in html


def test_it_shows_itself_in_both_languages():
    picks = pick("chinese", vram=8)
    assert "GPU 7.10 GiB to use" in str(picks) and "not legal advice" in picks._repr_html_()
    use_language("zh")
    chinese = pick("chinese", vram=8)
    assert "可用" in str(chinese)
    assert f"第 {number_of('qwen')} 课讲解它的家族" in chinese._repr_html_()
    shown = str(chinese)
    assert "commercial use" not in shown and "newest" not in shown
