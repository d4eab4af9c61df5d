"""Run every lesson in both languages and compare each output, the languages side by side.

Usage: ``python .ci/lessons.py [OPTIONS OF PYTEST]``, as `make test` does, after the tests, whose
solved lessons have made the models that both need. Exits with 1 where an output differs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LANGUAGES = ("en", "zh")
# Two processes that each want every core wait for one another most of the time.
THREADS = str(max(1, (os.cpu_count() or 1) // len(LANGUAGES)))

with tempfile.TemporaryDirectory() as folder:
    logs = {language: Path(folder, language) for language in LANGUAGES}
    running = {
        language: subprocess.Popen(
            [ROOT / ".ci" / "offline", sys.executable, "-m", "pytest", "--nbval", *sys.argv[1:],
             f"notebooks/{language}", "-p", "no:cacheprovider"],
            cwd=ROOT, stdout=log.open("w"), stderr=subprocess.STDOUT,
            env=os.environ
            | {"LABKIT_STATIC": "1", "LABKIT_LANG": language, "OMP_NUM_THREADS": THREADS},
        )
        for language, log in logs.items()
    }  # fmt: skip
    codes = {language: process.wait() for language, process in running.items()}
    for language, log in logs.items():
        print(f"notebooks/{language}:\n{log.read_text(encoding='utf-8')}", flush=True)
sys.exit(any(codes.values()))
