"""The fields of a ``config.json``, each checked as it is read."""

from collections.abc import Mapping
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_whole


class Words:
    """A configuration, read word by word; remembers what was missing.

    Usage: ``words = Words(config); words.whole("hidden_size"); words.missing  # []``

    A field that holds null counts as absent. A field of the wrong type or out of all proportion
    raises LabError at once, with its name and value; a missing one is put on the list, so that one
    error can name all of them.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self.missing: list[str] = []

    def whole(
        self, *names: str, default: int | None = None, least: int = 1, most: int = 2**20
    ) -> int:
        """The first of the names that is given, a whole number between least and most."""
        for name in names:
            value = self.config.get(name)
            if value is not None:
                return self.checked(name, value, least, most)
        if default is None:
            self.missing.append(names[0])
            return least
        return default

    @staticmethod
    def checked(name: str, value: object, least: int, most: int) -> int:
        if not is_whole(value, least, most):
            raise LabError(
                t(
                    f"The field '{name}' is {value!r:.60}, not a whole number "
                    f"from {least} to {most}.",
                    f"字段 '{name}' 的值是 {value!r:.60}，应为 {least} 到 {most} 之间的整数。",
                ),
                t("Correct it in the config.json.", "请在 config.json 中改正。"),
            )
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.config.get(name) if name else None
        if value is None:
            return default
        if not isinstance(value, bool):
            raise LabError(
                t(
                    f"The field '{name}' is {value!r:.60}, not true or false.",
                    f"字段 '{name}' 的值是 {value!r:.60}，应为 true 或 false。",
                ),
                t("Correct it in the config.json.", "请在 config.json 中改正。"),
            )
        return value

    def each(self, name: str, count: int) -> list[Any] | None:
        """A list with one entry a layer, or None where the field holds no list."""
        value = self.config.get(name)
        if not isinstance(value, list | tuple) or not value:
            return None
        if len(value) < count:
            raise LabError(
                t(
                    f"The field '{name}' has {len(value)} entries for {count} layers.",
                    f"字段 '{name}' 有 {len(value)} 项，而模型有 {count} 层。",
                ),
                t("Correct it in the config.json.", "请在 config.json 中改正。"),
            )
        return list(value[:count])
