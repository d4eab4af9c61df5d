"""Every link of the course: found, checked for its form, and, where there is a network, visited.

Usage: ``python .ci/links.py`` brings the record up to date without a network; ``--online`` (or
``make links``) visits every link and writes down what it answered and when.

The record is .ci/links.json: address to what was last seen. A status of null means: not visited
yet. Looked through are the sources of the lessons, the data files, and the Markdown files; papers
named as ``arXiv:2401.04088`` count as links. Not covered: ids of models, which labkit.hub.resolver
checks when they are fetched, and whether a page still says what it is quoted for.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parents[1]
RECORD = ".ci/links.json"
PLACES = (
    "*.md",
    "notebooks/*.md",
    "notebooks/source/*.py",
    "labkit/data/**/*.md",
    "labkit/data/**/*.toml",
    "labkit/pocket/**/*.md",
)
LINK = re.compile(r"https?://[^\s\"'`<>\\{}|，。；：、！？（）「」《》“”]+")
PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
HERE = re.compile(r"localhost|127\.0\.0\.1|.*\.example|(.*\.)?example\.(com|org|net)")
"""Hosts that stand for the reader's own machine, or for any."""

MOVED_FOR_GOOD = {301, 308}
AGENT = "open-llm-family-lab link check"


@dataclass(frozen=True)
class Seen:
    """What a link answered. status: HTTP's, None: not visited yet, or no answer came (see fault).

    moved_to: where it now stands, if it moved for good. seen: the day, UTC.
    """

    status: int | None = None
    seen: str | None = None
    moved_to: str | None = None
    fault: str | None = None

    @property
    def is_dead(self) -> bool:
        """Whether it is gone; a site that refuses programs (401, 403, 429) may answer people."""
        gone = self.status is not None and self.status >= 400
        return bool(self.fault) or (gone and self.status not in (401, 403, 429))


def find_links(root: Path = ROOT) -> dict[str, list[str]]:
    """Every link, and the files it stands in. Usage: ``find_links()["https://…"]``"""
    found: dict[str, list[str]] = {}
    for path in sorted({path for place in PLACES for path in root.glob(place)}):
        text = path.read_text(encoding="utf-8")
        papers = [f"https://arxiv.org/abs/{number}" for number in PAPER.findall(text)]
        for link in [*map(_bare, LINK.findall(text)), *papers]:
            name = path.relative_to(root).as_posix()
            if not HERE.fullmatch(urlsplit(link).hostname or "") and name not in found.get(
                link, []
            ):
                found.setdefault(link, []).append(name)
    return dict(sorted(found.items()))


def _bare(link: str) -> str:
    """Without what belongs to the sentence or to Markdown: a dot, a bracket that was not opened."""
    while link[-1] in ".,;:!?*_" or (link[-1] in ")]" and link.count(link[-1]) > _opened(link)):
        link = link[:-1]
    return link


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or ""
    except ValueError:  # no address at all: find_fault says so
        return ""


def _opened(link: str) -> int:
    return link.count({")": "(", "]": "["}[link[-1]])


def find_fault(link: str) -> str | None:
    """What is wrong with the form of a link, in words; None where nothing is."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return "is not an address"
    if parts.scheme != "https":
        return "is not https"
    if not re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", parts.hostname or ""):
        return f"has no public host ('{parts.hostname}')"
    if parts.username or parts.password:
        return "carries a name or a password"
    if re.search(r"(^|&)(utm_\w+|token|api_key|access_token)=", parts.query):
        return "carries tracking or a secret"
    return None


def visit(link: str, timeout: float = 20) -> Seen:
    """Ask for one link; its body is not read. Usage: ``visit("https://…").status  # 200``

    timeout: seconds without an answer, for each step of a redirect. Never raises for what a
    network can do: it stands in ``fault``.
    """
    import httpx

    today = datetime.now(UTC).date().isoformat()
    try:
        with httpx.Client(
            timeout=timeout, follow_redirects=True, headers={"User-Agent": AGENT}
        ) as client:
            answer = client.head(link)
            if answer.status_code >= 400:  # many servers answer HEAD wrongly
                with client.stream("GET", link) as answer:
                    pass
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Seen(None, today, None, type(error).__name__)
    steps = [step.status_code for step in answer.history]
    moved = steps and set(steps) <= MOVED_FOR_GOOD and answer.status_code < 400
    return Seen(answer.status_code, today, str(answer.url) if moved else None)


def visit_all(links: Iterable[str], timeout: float = 20) -> dict[str, Seen]:
    """The same for many, eight at a time."""
    links = list(links)
    with ThreadPoolExecutor(8) as pool:
        return dict(zip(links, pool.map(lambda link: visit(link, timeout), links), strict=True))


def read_record(path: Path) -> dict[str, Seen]:
    """Address to what was last seen there."""
    return {link: Seen(**seen) for link, seen in json.loads(path.read_text("utf-8")).items()}


def write_record(record: Mapping[str, Seen], path: Path) -> None:
    """In the order of the addresses, a line each."""
    lines = (f"{json.dumps(link)}: {json.dumps(asdict(record[link]))}" for link in sorted(record))
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def renew(record: Mapping[str, Seen], links: Iterable[str]) -> dict[str, Seen]:
    """The record for these links: what is known stays, what is new is not visited yet."""
    return {link: record.get(link, Seen()) for link in links}


def main(arguments: list[str], root: Path = ROOT) -> int:
    if unknown := set(arguments) - {"--online"}:
        print(f"Unknown: {' '.join(unknown)}. Usage: python .ci/links.py [--online]")
        return 2
    links, path = find_links(root), root / RECORD
    record = renew(read_record(path) if path.exists() else {}, links)
    if arguments:
        record |= visit_all(links)
    write_record(record, path)
    wrong = {link: fault for link in links if (fault := find_fault(link))}
    wrong |= {
        link: seen.fault or f"answered {seen.status}"
        for link, seen in record.items()
        if seen.is_dead
    }
    for link, fault in wrong.items():
        print(f"{link} {fault}, in {', '.join(links[link])}")
    for link, seen in record.items():
        if seen.moved_to:
            print(f"{link} has moved to {seen.moved_to}, in {', '.join(links[link])}")
    waiting = sum(seen.seen is None for seen in record.values())
    print(f"{len(links)} links, {len(wrong)} wrong, {waiting} not visited yet.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
