"""Lesson 00 as a learner meets it: a real JupyterLab, a real browser, a typed question."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
QUESTIONS = {
    "en": ("Which sizes does Qwen2.5 come in?", "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"),
    "zh": ("Qwen2.5有哪些尺寸？", "0.5B、1.5B、3B、7B、14B、32B、72B"),
}


@pytest.fixture(scope="module")
def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "The browser test needs Chromium. On Debian: apt-get install chromium"
    return path


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory):
    """A JupyterLab on loopback over a copy of the notebooks; yields its address."""
    home = tmp_path_factory.mktemp("jupyter")
    shutil.copytree(ROOT / "notebooks", home / "notebooks")
    settings = home / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    # Every cell stays in the page, so that it can be read whether it is in view or not.
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    places = {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "LABKIT_PROGRESS": str(home / "progress.json"),
    }
    environment = {k: v for k, v in os.environ.items() if k not in ("LABKIT_STATIC", "LABKIT_LANG")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--ServerApp.ip=127.0.0.1"]
    command += ["--ServerApp.port=0", "--allow-root", "--IdentityProvider.token=test"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={home / 'notebooks'}"]
    log = (home / "log").open("w+")
    server = subprocess.Popen(command, env=environment | places, stdout=log, stderr=log)
    try:
        yield _wait_for_server(home, server)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def _wait_for_server(home: Path, server: subprocess.Popen) -> str:
    for _ in range(240):
        assert server.poll() is None, (home / "log").read_text()
        for found in (home / "runtime").glob("jpserver-*.json"):
            url = json.loads(found.read_text())["url"]
            with urllib.request.urlopen(f"{url}api/status?token=test", timeout=30) as answer:
                assert answer.status == 200
            return url
        time.sleep(0.5)
    raise AssertionError((home / "log").read_text())


@pytest.fixture(scope="module")
def browser(chromium):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_lesson_00_runs_and_answers_in_a_browser(jupyter, browser, language):
    ARTEFACTS.mkdir(exist_ok=True)
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    page.goto(f"{jupyter}lab/tree/{language}/00_start-here.ipynb?token=test&reset")
    page.wait_for_function(
        "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
        "?.connectionStatus === 'connected'",
        timeout=120_000,
    )
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(
        """() => {
            const cells = window.jupyterapp.shell.currentWidget.content.widgets;
            const code = cells.filter(cell => cell.model.type === 'code');
            return code.length > 10 && code.every(cell => cell.model.executionCount &&
                cell.model.executionState !== 'running');
        }""",
        timeout=240_000,
    )
    errors = page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets
            .filter(cell => cell.model.type === 'code')
            .flatMap(cell => cell.model.outputs.toJSON())
            .filter(output => output.output_type === 'error').map(output => output.evalue)"""
    )
    assert errors == []
    question, answer = QUESTIONS[language]
    field = page.locator(".labkit-chat-input input").first
    field.scroll_into_view_if_needed()
    field.fill(question)
    field.press("Enter")
    log = page.locator(".labkit-chat-log").first
    log.get_by_text(answer).first.wait_for(timeout=60_000)
    page.screenshot(path=ARTEFACTS / f"lesson-00-{language}.png")
    said = log.inner_text()
    assert said.index(question) < said.index(answer)
    assert not re.search("[�□]", said)
    page.close()
