"""What every test stands on: English messages, GPU tests only where a GPU is, no silent skip."""

import os
from collections.abc import Generator, Iterator

import pytest

os.environ["LABKIT_LANG"] = "en"  # messages are compared; child processes inherit it


@pytest.fixture(autouse=True)
def _language() -> Iterator[None]:
    """A language chosen in one test does not leak into the next."""
    yield
    from labkit.core.i18n import use_language

    use_language(None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        from labkit.machine.hardware import hardware

        if not hardware().gpus:  # asked first: importing torch to learn this takes seconds
            pytest.skip("this machine has no GPU")
        import torch

        if not torch.accelerator.is_available():
            pytest.skip("torch can use none of this machine's GPUs")


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """In CI a skipped test is a failed test: what it needs is missing, and nobody would notice."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = (
            f"CI may skip only tests marked gpu, and this was skipped:\n{report.longrepr}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if not item.get_closest_marker("gpu"):
        _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refuse_skip(report)  # a whole file, by pytest.importorskip
    return report
