"""Print constraints.txt: the versions, in this environment, of everything `[all]` brings.

Usage: ``python .ci/constraints.py > constraints.txt`` (or ``make constraints``). Local versions
(``+cpu``) and the CUDA libraries of Linux are left out, so that the set holds on every system.
"""

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ONLY_WITH_CUDA = ("cuda-", "nvidia-", "triton")


def closure(root: str) -> dict[str, str]:
    """Name to version of all that a requirement brings on this system, itself left out."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(root)]
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith(ONLY_WITH_CUDA):
            continue
        found = distribution(name)
        versions[name] = found.version.partition("+")[0]
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            for text in found.requires or []:
                needed = Requirement(text)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    waiting.append(needed)
    del versions[canonicalize_name(Requirement(root).name)]
    return versions


print("# One tested set, for Linux, macOS and Windows. Made by: make constraints")
for name, version in sorted(closure("open-llm-family-lab[all]").items()):
    print(f"{name}=={version}")
