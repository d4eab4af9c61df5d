"""lab.quantize: rows in the order asked for, a table, one plain sentence for what is wrong."""

import json
from pathlib import Path

import pytest

from labkit import cli, pocket
from labkit.errors import LabError
from labkit.gguf_files import inspect_gguf
from labkit.i18n import use_language
from labkit.quantization import Quantized, QuantizedFile, quantize


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_rows_say_what_is_in_the_files() -> None:
    made = quantize("pocket/llama2", ["q8_0", "Q4_0", "Q8_0"])
    assert [row.format for row in made.rows] == ["Q8_0", "Q4_0"]
    for row in made.rows:
        assert inspect_gguf(row.path).format == row.format
        assert row.file_size == row.path.stat().st_size
    # 8.5 and 4.5 bits for all but the norms, and more for the output head.
    assert 8.5 <= made.rows[0].bits_per_weight < 8.6
    assert 4.5 < made.rows[1].bits_per_weight < 5
    assert "pocket model" in made.note


def test_a_folder_and_a_gguf_file_will_do() -> None:
    (row,) = quantize(pocket.folder("yi"), "F16").rows
    (small,) = quantize(row.path, ["Q4_0"]).rows
    assert small.file_size < row.file_size


@pytest.mark.parametrize("formats", [["Q4_0", "Q4_Z"], "gptq", []])
def test_a_wrong_format_is_told_before_anything_is_made(formats: list[str], cache: Path) -> None:
    with pytest.raises(LabError, match="Q4_K_M"):
        quantize("pocket/llama2", formats)
    assert not cache.exists()


TABLE = Quantized("a<b", (QuantizedFile("Q4_0", Path("x") / "m&m.gguf", 3 * 2**20, 4.567),), "tiny")


def test_it_shows_itself_as_a_table() -> None:
    header, row, note = str(TABLE).splitlines()
    assert header.split("  ")[-1] == "a<b"
    assert row.split() == ["Q4_0", "3.00", "MiB", "4.57", "m&m.gguf"]
    assert note == "tiny"
    page = TABLE._repr_html_()
    for cell in ("a&lt;b", "3.00 MiB", "4.57", "m&amp;m.gguf", "tiny"):
        assert f">{cell}<" in page
    use_language("zh")
    assert "每权重位数" in str(TABLE)


def test_the_command_prints_a_table_or_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["quantize", "pocket/llama2", "--to", "Q5_0", "--to", "Q8_0", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["format"] for row in rows] == ["Q5_0", "Q8_0"]
    assert Path(rows[0]["path"]).stat().st_size == rows[0]["file_size"]
    assert cli.run(["quantize", "pocket/llama2", "--to", "Q5_0"]) == 0
    assert "Q5_0" in capsys.readouterr().out
    assert cli.run(["quantize", "pocket/llama2", "--to", "Q5_9"]) == 1
    assert "Did you mean 'Q5_" in capsys.readouterr().err
    assert cli.run(["quantize", "pocket/lama2", "--to", "Q5_0"]) == 1
    assert "pocket/llama2" in capsys.readouterr().err
