"""The core: errors, the language of messages, bytes, optional parts."""

import json
import locale

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.core.extras import EXTRAS, has, need
from labkit.core.i18n import language, t, use_language
from labkit.core.units import GiB, MiB, bits_per_weight, read_bytes, show_bytes


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    for variable in ("LABKIT_LANG", "LC_ALL", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    use_language(None)
    yield
    use_language(None)


# --- errors


def test_an_error_keeps_both_sentences_and_reads_as_one():
    error = LabError("Model 'x' is not known.", "Try 'y'.")
    assert (error.what, error.way_out) == ("Model 'x' is not known.", "Try 'y'.")
    assert str(error) == "Model 'x' is not known. Try 'y'."
    assert str(LabError("Only this.")) == "Only this."


# --- i18n


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_GB.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "en_US.UTF-8", "LC_ALL": "zh_TW.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LABKIT_LANG": "en"}, "en"),
        ({"LANG": "en_US.UTF-8", "LABKIT_LANG": "zh"}, "zh"),
    ],
)
def test_the_language_follows_the_surroundings(monkeypatch, variables, expected):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language() == expected
    assert t("yes", "是") == {"en": "yes", "zh": "是"}[expected]


@pytest.mark.parametrize(
    "name, expected",
    [("Chinese (Simplified)_China", "zh"), ("English_Germany", "en"), (None, "en")],
)
def test_without_variables_the_system_is_asked(monkeypatch, name, expected):
    monkeypatch.setattr(locale, "getlocale", lambda: (name, "cp936"))
    assert language() == expected


def test_a_chosen_language_wins_and_can_be_given_up(monkeypatch):
    monkeypatch.setenv("LABKIT_LANG", "en")
    use_language("zh")
    assert language() == "zh"
    use_language(None)
    assert language() == "en"
    with pytest.raises(ValueError, match="'fr'"):
        use_language("fr")
    assert language() == "en"


# --- units


@given(st.integers(0, 2**53))
def test_a_bare_number_is_bytes(count):
    assert read_bytes(str(count)) == count
    assert read_bytes(f" {count} B ") == count


@given(st.integers(0, 10**6))
def test_binary_and_decimal_units_differ(count):
    assert read_bytes(f"{count} GiB") == count * GiB
    assert read_bytes(f"{count}gb") == count * 10**9
    assert read_bytes(f"{count}M") == count * MiB


@given(st.integers(0, 2**50))
def test_what_is_shown_reads_back_to_within_its_last_digit(count):
    assert read_bytes(show_bytes(count)) == pytest.approx(count, rel=0.006)


@given(st.integers(1, 2**50))
def test_a_negative_size_is_shown_but_not_read(count):
    assert show_bytes(-count) == f"-{show_bytes(count)}"
    with pytest.raises(ValueError):
        read_bytes(show_bytes(-count))


@pytest.mark.parametrize("text", ["", "GB", "8 TBs", "-1", "1e9", "8 G B", "1..5 GB", "nan"])
def test_what_is_not_a_size_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="is not a size"):
        read_bytes(text)


def test_sizes_as_the_docstrings_promise():
    assert show_bytes(5_033_164_800) == "4.69 GiB"
    assert show_bytes(200 * GiB) == "200 GiB"
    assert show_bytes(0) == "0 B"
    assert read_bytes("8 GiB") == 8589934592
    assert read_bytes("8GB") == 8 * 10**9
    assert read_bytes("８GB") == 8 * 10**9  # full-width, as Chinese keyboards write it
    assert round(bits_per_weight(3_825_807_360, 6_738_415_616), 2) == 4.54


@given(st.integers(1, 10**12), st.sampled_from([1, 2, 4]))
def test_bits_per_weight_of_plain_formats(weights, bytes_each):
    assert bits_per_weight(weights * bytes_each, weights) == 8 * bytes_each


def test_no_weights_have_no_average():
    with pytest.raises(ValueError, match="0 weights"):
        bits_per_weight(1, 0)


# --- extras


def test_an_installed_module_is_given_and_asking_imports_nothing():
    import sys

    assert need("json") is json
    assert has("this") and "this" not in sys.modules  # `this` prints a poem when imported


def test_a_missing_module_names_its_extra(monkeypatch):
    monkeypatch.setitem(EXTRAS, "no_such_module", "serve")
    with pytest.raises(LabError, match="'no_such_module.part'") as caught:
        need("no_such_module.part")
    assert caught.value.way_out == 'Run: pip install "open-llm-family-lab[serve]"'
    with pytest.raises(LabError) as caught:
        need("another_missing_module")
    assert "[all]" in caught.value.way_out


def test_a_module_that_is_there_but_broken_shows_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "broken_on_import.py").write_text("raise RuntimeError('inside')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(RuntimeError, match="inside"):
        need("broken_on_import")
