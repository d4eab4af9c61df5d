"""The links of the course: all recorded, of good form; and the visit, against a loopback server."""

import importlib.util
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("links", ROOT / ".ci" / "links.py")
assert spec and spec.loader
links = sys.modules["links"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(links)


def test_every_link_is_recorded_and_no_other():
    found, record = set(links.find_links()), set(links.read_record(ROOT / links.RECORD))
    assert found == record, "run: python .ci/links.py"
    assert len(found) > 50


def test_every_link_has_a_good_form_and_none_is_known_to_be_dead():
    found, record = links.find_links(), links.read_record(ROOT / links.RECORD)
    assert {link: fault for link in found if (fault := links.find_fault(link))} == {}
    assert [link for link, seen in record.items() if seen.is_dead] == []
    for seen in record.values():
        day = seen.seen and re.fullmatch(r"20\d\d-\d\d-\d\d", seen.seen)
        assert bool(day) == (seen.status is not None)  # a status has a day; not visited has neither


def test_every_relative_link_of_a_readme_leads_to_a_file():
    for name in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md", "notebooks/STYLE.md"):
        page = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{name}: {target}"


def test_links_are_found_in_every_spelling(tmp_path):
    (tmp_path / "README.md").write_text(
        "[a](https://a.org/x_(y)), see https://b.org/z. `https://c.org`（https://d.org/中）\n"
        "arXiv:2401.04088 https://127.0.0.1:8000/v1 https://hub.example.com/x **https://e.org**",
        encoding="utf-8",
    )
    assert list(links.find_links(tmp_path)) == [
        "https://a.org/x_(y)",
        "https://arxiv.org/abs/2401.04088",
        "https://b.org/z",
        "https://c.org",
        "https://d.org/中",
        "https://e.org",
    ]


@pytest.mark.parametrize(
    ("link", "word"),
    [
        ("http://a.org", "https"),
        ("https://intranet/x", "host"),
        ("https://me:secret@a.org", "password"),
        ("https://a.org/?utm_source=x", "tracking"),
        ("https://a.org/?x=1&token=abc", "tracking"),
        ("https://[a", "address"),
    ],
)
def test_a_bad_form_is_named(link, word):
    assert word in links.find_fault(link)
    assert links.find_fault("https://huggingface.co/a/b?x=1#c") is None


class Site(BaseHTTPRequestHandler):
    """Answers by its path; /quiet only when all is over."""

    over = threading.Event()

    def do_GET(self):
        if self.path == "/quiet":
            self.over.wait(60)
        status = {"/moved": 301, "/away": 302, "/gone": 404, "/people": 403}.get(self.path, 200)
        if self.path == "/no-head" and self.command == "HEAD":
            status = 405
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "/here")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Site.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_a_site_answers_is_written_down(site, tmp_path):
    paths = ("/here", "/no-head", "/moved", "/away", "/people", "/gone", "/quiet")
    start = time.monotonic()
    seen = links.visit_all([site + path for path in paths], timeout=2)
    assert time.monotonic() - start < 40, "a stalled site holds nobody up"
    answers = {link.removeprefix(site): one for link, one in seen.items()}
    assert [answers[path].status for path in paths] == [200, 200, 200, 200, 403, 404, None]
    assert answers["/moved"].moved_to == f"{site}/here"
    assert answers["/away"].moved_to is None, "a temporary redirect is not a move"
    assert [path for path in paths if answers[path].is_dead] == ["/gone", "/quiet"]
    assert answers["/quiet"].fault == "ReadTimeout"
    links.write_record(seen, tmp_path / "links.json")
    assert links.read_record(tmp_path / "links.json") == seen


def test_nobody_listening_is_a_fault_and_no_error(site):
    assert links.visit("http://127.0.0.1:9/", timeout=1).fault == "ConnectError"


def test_the_record_keeps_what_is_known_and_drops_what_is_gone():
    known = links.Seen(200, "2026-11-29")
    renewed = links.renew({"https://a.org": known, "https://b.org": known}, ["https://a.org", "c"])
    assert renewed == {"https://a.org": known, "c": links.Seen()}


def test_a_fresh_record_says_that_nothing_was_visited(tmp_path, capsys):
    (tmp_path / ".ci").mkdir()
    (tmp_path / "README.md").write_text("https://a.org/x", encoding="utf-8")
    assert links.main([], tmp_path) == 0
    assert capsys.readouterr().out == "1 links, 0 wrong, 1 not visited yet.\n"
    assert links.read_record(tmp_path / links.RECORD) == {"https://a.org/x": links.Seen()}
    assert links.main(["--offline"], tmp_path) == 2
