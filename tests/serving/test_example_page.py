"""The page and its backend: no key leaves, a browser gets its answer, nonsense is refused."""

import json
import shutil
import urllib.error
import urllib.request

import pytest

import labkit as lab
from labkit.core.i18n import use_language
from labkit.serving.example_page import serve_page, write_page

QUESTION, ANSWER = "Which sizes does Qwen2.5 come in?", "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"


@pytest.fixture(scope="module")
def model():
    with lab.serve("pocket/qwen2.5", n_threads=1) as server:
        yield server


@pytest.fixture
def page(model):
    with serve_page(model.url, model.api_key) as address:
        yield address


def post(address: str, body: object, kind: str = "application/json") -> tuple[int, dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"{address}ask", data, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_the_page_answers_and_holds_no_key(model, page):
    with urllib.request.urlopen(page) as reply:
        text = reply.read().decode()
    assert text == write_page() and model.api_key not in text and "LANGUAGE" not in text
    assert post(page, {"messages": [{"role": "user", "content": QUESTION}]}) == (
        200,
        {"answer": ANSWER},
    )


def test_what_was_said_before_goes_along(page):
    said = [
        ("user", "My name is Clara."),
        ("assistant", "Hello, Clara!"),
        ("user", "What is my name?"),
    ]
    messages = [{"role": role, "content": content} for role, content in said]
    status, answer = post(page, {"messages": messages})
    assert status == 200 and "Clara" in answer["answer"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        ({"messages": []}, "application/json", 400),
        ({"messages": "?"}, "application/json", 400),
        ([1], "application/json", 400),
        (b"{", "application/json", 400),
        ({"messages": [{"role": "user", "content": ""}]}, "application/json", 502),
        (b"messages=1", "application/x-www-form-urlencoded", 415),
        (b" " * 100_001, "application/json", 413),
    ],
)
def test_nonsense_is_refused_in_words(page, body, kind, status):
    found, answer = post(page, body, kind)
    assert found == status and answer["error"]


def test_a_model_that_is_gone_is_said_in_words():
    with lab.serve("pocket/qwen2.5", n_threads=1) as server:
        context = serve_page(server.url, server.api_key)
        address = context.__enter__()
    try:
        status, answer = post(address, {"messages": [{"role": "user", "content": "Hi"}]})
        assert status == 502 and "does not answer" in answer["error"]
    finally:
        context.__exit__(None, None, None)


@pytest.mark.timeout(200)
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_browser_shows_question_and_answer(page, lang):
    from playwright.sync_api import sync_playwright

    use_language(lang)
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    assert path, "The browser test needs Chromium. On Debian: apt-get install chromium"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        tab.goto(page)
        tab.fill("#text", QUESTION)
        tab.press("#text", "Enter")
        tab.get_by_text(ANSWER).wait_for(timeout=60_000)
        assert tab.locator("li").all_inner_texts() == [QUESTION, ANSWER]
        tab.fill("#text", "<b>1</b>")
        tab.press("#text", "Enter")
        tab.locator("li").nth(3).wait_for(timeout=60_000)
        assert tab.locator("li").nth(2).inner_text() == "<b>1</b>"
        browser.close()
