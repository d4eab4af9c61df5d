"""How far our estimates are from published figures: ``python tests/bench_memory.py``.

Prints a table and, as the last line, one JSON object. The errors of other tools on the GGUF rows
are those their published formulas give on 67 published files.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from published import Row, errors, gguf_rows, training_rows, transformers_rows  # noqa: E402

OTHERS = {"a popular picker": 4.1, "another calculator": 2.2, "a third": 18.0}
"""Mean error of other tools on GGUF sizes, percent."""


def summarize(rows: list[Row]) -> dict[str, float]:
    found = errors(rows)
    return {
        "rows": len(found),
        "mean_percent": round(100 * sum(found) / len(found), 3),
        "worst_percent": round(100 * max(found), 2),
        "left_out": sum(bool(row.left_out) for row in rows),
    }


def main() -> None:
    groups = {
        "GGUF sizes": gguf_rows(),
        "Transformers, running": transformers_rows(),
        "Training": training_rows(),
    }
    result = {name: summarize(rows) for name, rows in groups.items()}
    print("| what | rows | mean error | worst | left out |")
    print("|---|---|---|---|---|")
    for name, one in result.items():
        mean, worst = f"{one['mean_percent']} %", f"{one['worst_percent']} %"
        print(f"| {name} | {one['rows']} | {mean} | {worst} | {one['left_out']} |")
    for name, percent in OTHERS.items():
        print(f"| GGUF sizes by {name} | 67 | {percent} % | | |")
    print()
    for name, rows in groups.items():
        for row in rows:
            if row.left_out:
                print(f"left out of {name}: {row.model}, {row.what}: {row.left_out}")
    print(json.dumps({"memory": result, "other_tools_gguf_percent": OTHERS}))


if __name__ == "__main__":
    main()
