"""The pocket models: found by name, and the nine that the recipe makes."""

from pathlib import Path

import pytest

from labkit import pocket
from labkit.core.errors import LabError
from labkit.pocket.recipe.families import FAMILIES


def test_the_names_are_those_of_the_recipe() -> None:
    assert set(pocket.NAMES) == set(FAMILIES)


@pytest.mark.parametrize("name", pocket.NAMES)
def test_each_is_there_with_all_its_files(name: str) -> None:
    folder = pocket.folder(f"pocket/{name}")
    assert folder == pocket.folder(name)
    for file in ("model.safetensors", "tokenizer.json", "generation_config.json"):
        assert (folder / file).is_file()
    assert (folder / "chat_template.jinja").is_file() == FAMILIES[name].chats


def test_a_wrong_name_gets_the_nearest() -> None:
    with pytest.raises(LabError, match=r"'pocket/lama3'.*Did you mean 'pocket/llama3'"):
        pocket.folder("pocket/lama3")


def test_models_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_POCKET", str(tmp_path))
    with pytest.raises(LabError, match="'yi' is not in"):
        pocket.folder("yi")
