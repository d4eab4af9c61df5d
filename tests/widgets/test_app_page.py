"""The page of `labkit app` as a reader meets it: a real Voilà, a real browser, a question."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.widgets.app_page import open_page

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
WORDS = {
    "en": ("Pick a model", "Memory", "Chat", "Which sizes does Qwen2.5 come in?", "0.5B, 1.5B"),
    "zh": ("选模型", "看内存", "聊一聊", "Qwen2.5有哪些尺寸？", "0.5B、1.5B"),
}


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    assert path, "The page's test needs Chromium. On Debian: apt-get install chromium"
    with sync_playwright() as play:
        opened = play.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield opened
        opened.close()


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


@pytest.mark.timeout(500)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_page_picks_explains_and_answers_and_then_is_gone(browser, language):
    picks, memory, talk, question, answer = WORDS[language]
    ARTEFACTS.mkdir(exist_ok=True)
    use_language(language)
    with open_page() as page:
        tab = browser.new_page(viewport={"width": 1200, "height": 1000})
        away = []
        tab.on("response", lambda response: away.append(response.url))
        tab.goto(page.url, timeout=200_000)
        tab.get_by_role("tab", name=picks).wait_for(timeout=200_000)
        tab.get_by_text("Apache License 2.0").first.wait_for()
        tab.screenshot(path=ARTEFACTS / f"app-picker-{language}.png")
        tab.get_by_role("tab", name=memory).click()
        tab.get_by_text("Q4_K_M").first.wait_for()
        tab.screenshot(path=ARTEFACTS / f"app-memory-{language}.png")
        tab.get_by_role("tab", name=talk).click()
        field = tab.locator(".labkit-chat-input input").first
        field.fill(question)
        field.press("Enter")
        log = tab.locator(".labkit-chat-log").first
        log.get_by_text(answer).first.wait_for(timeout=60_000)
        tab.screenshot(path=ARTEFACTS / f"app-chat-{language}.png")
        assert not re.search("[�□]", log.inner_text())
        assert "show_front_page" not in tab.content()  # the code is not shown
        hosts = {urlsplit(url).hostname for url in away if url.startswith("http")}
        assert hosts == {"127.0.0.1"}  # Voilà's template names a CDN, the policy keeps it out
        running = family(page.pid)
        assert len(running) > 1  # a kernel
        tab.close()
    assert not page.is_running
    assert psutil.wait_procs(running, timeout=20)[1] == []


@pytest.mark.timeout(300)
def test_only_this_computer_with_the_token_gets_in_and_a_taken_port_is_left_alone():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with open_page(port=taken.getsockname()[1]) as page:
            assert page.port != taken.getsockname()[1]
            owned = {c.laddr.ip for p in family(page.pid) for c in p.net_connections("tcp")}
            assert owned == {"127.0.0.1"}
            for path in ("/?token=wrong", "/", "/api/kernels"):
                with urllib.request.urlopen(f"http://127.0.0.1:{page.port}{path}") as answer:
                    assert urlsplit(answer.url).path == "/login"
            assert len(family(page.pid)) == 1  # and nothing was run for them
            told = " ".join(" ".join(p.cmdline()) for p in family(page.pid))
            token = page.url.partition("token=")[2]
            assert token not in told and token not in page.log.read_text(encoding="utf-8")
    page.close()  # twice is no fault


@pytest.mark.timeout(300)
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_command_tells_where_it_is_and_takes_the_page_with_it(end):
    code = "import sys; from labkit.cli.start import main; sys.argv[0] = 'labkit'; main()"
    command = [sys.executable, "-c", code, "app", "--no-browser", "--json", "--port", "0"]
    environment = {k: v for k, v in os.environ.items() if k != "LABKIT_STATIC"}
    door = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert door.stdout
    text = ""
    while not text.endswith("}\n"):
        line = door.stdout.readline()
        assert line, "the command ended without a word"
        text += line
    told = json.loads(text)
    running = family(told["pid"])
    door.send_signal(end)
    door.wait(30)
    door.stdout.close()
    assert psutil.wait_procs(running, timeout=30)[1] == []


def test_a_missing_voila_is_said_with_the_way_to_it(monkeypatch):
    monkeypatch.setattr("labkit.core.extras.has", lambda module: module != "voila")
    with pytest.raises(LabError) as error:
        open_page()
    assert "[app]" in error.value.way_out


def test_a_model_that_cannot_be_loaded_is_said_in_its_tab(monkeypatch):
    from labkit.widgets.front_page import show_front_page

    monkeypatch.delenv("LABKIT_STATIC", raising=False)
    _, tabs = show_front_page("pocket/no-such").children
    assert "no-such" in tabs.children[2].value and len(tabs.children) == 3
