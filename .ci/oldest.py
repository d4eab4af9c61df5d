"""The oldest versions that pyproject.toml allows, as constraints: ``python .ci/oldest.py``."""

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def main() -> None:
    for wish in [*PROJECT["dependencies"], *sum(PROJECT["optional-dependencies"].values(), [])]:
        if found := re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", wish):
            print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
