"""How long `labkit chat` takes from nothing to the last token, beside a bare script.

Usage: ``python tests/benchmarks/bench_chat.py [RUNS]``. Prints a table and one line of JSON, in
seconds.

Both run the same F16 GGUF of pocket/qwen2.5 with llama.cpp, ask the same question and stream the
answer, each in a fresh process, by turns, so that a busy machine slows both alike. The very first
run, whose GGUF is still to be made, is told apart.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

from labkit.gguf.files import gguf_for
from labkit.pocket import folder

QUESTION = "Qwen2.5有哪些尺寸？"
BARE = """
import sys
from llama_cpp import Llama

llm = Llama(sys.argv[1], n_ctx=0, verbose=False)
messages = [{"role": "user", "content": sys.argv[2]}]
for chunk in llm.create_chat_completion(messages, temperature=0, stream=True):
    print(chunk["choices"][0]["delta"].get("content") or "", end="", flush=True)
print()
"""
LABKIT = [str(Path(sys.executable).with_name("labkit")), "chat", "pocket/qwen2.5", QUESTION]


def seconds(command: list[str], **variables: str) -> tuple[float, str]:
    """How long a fresh process takes, and what it says."""
    start = perf_counter()
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | variables
    )
    return perf_counter() - start, done.stdout.strip()


def measure(runs: int) -> dict[str, float | int | str]:
    """Medians of both, and of their ratios turn by turn; the answers must be the same."""
    bare = [sys.executable, "-c", BARE, str(gguf_for(folder("qwen2.5"))), QUESTION]
    with tempfile.TemporaryDirectory() as empty:
        first, _ = seconds(LABKIT, LABKIT_CACHE=empty)
    turns = []
    for _ in range(runs):
        (ours, answer), (theirs, same) = seconds(LABKIT), seconds(bare)
        if answer != same:
            raise SystemExit(f"the answers differ: {answer!r} and {same!r}")
        turns.append((ours, theirs))
    return {
        "question": QUESTION,
        "answer": answer,
        "runs": runs,
        "first_run": round(first, 3),
        "labkit_chat": round(median(ours for ours, _ in turns), 3),
        "bare_script": round(median(theirs for _, theirs in turns), 3),
        "ratio": round(median(ours / theirs for ours, theirs in turns), 3),
    }


def main() -> None:
    result = measure(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
    for label, key in (
        ("bare llama-cpp-python script, s", "bare_script"),
        ("labkit chat, GGUF cached, s", "labkit_chat"),
        ("ratio (at most 1.5)", "ratio"),
        ("labkit chat, very first run, s", "first_run"),
    ):
        print(f"{label:36}{result[key]:>8}")
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
