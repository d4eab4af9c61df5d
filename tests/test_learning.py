"""What tuning is for: adapters learn every task of the course. Trains a minute for each."""

import pytest

from labkit.finetuning import compare_methods
from labkit.tasks import TASKS


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_adapters_learn_every_task(task):
    """What the lessons have trained already, to the same settings, is taken from the cache."""
    compared = compare_methods(task, methods=("lora", "qlora"), measure_memory=False, reuse=True)
    for row in compared.rows:
        print(row)
        assert row.exact_match_before < 0.1
        assert row.exact_match_after >= 0.95
