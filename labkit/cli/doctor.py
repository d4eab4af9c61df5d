"""``labkit doctor``: this computer, what is installed, what works, what to do."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.i18n import t
from .console import Json, both, print_facts, print_json, print_table, say

if TYPE_CHECKING:
    from ..course.doctor import Diagnosis

HELP = both(
    "Check this computer: what is installed, what works, what to do.",
    "检查本机：装了什么，能做什么，还缺什么。",
)


def command(
    audience: Annotated[
        Literal["class"] | None,
        typer.Option(
            "--for",
            help=both(
                "Check only what a class needs; exit status 1 if something is missing.",
                "只检查上课需要的东西；有缺失时退出状态为 1。",
            ),
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.doctor import diagnose
    from ..machine.hardware import hardware

    diagnosis = diagnose(hardware())
    if audience:
        return _show_preflight(diagnosis, as_json)
    print_json(diagnosis) if as_json else _show(diagnosis)


def _show(diagnosis: "Diagnosis") -> None:
    from ..core.tables import Table

    say(t("This computer", "本机"))
    print_facts((f"  {label}", words) for label, words in diagnosis.hardware.rows())
    absent = {True: "?", False: t("missing", "未安装")}
    packages = [
        (package.name, package.version or absent[package.installed], package.extra or "")
        for package in diagnosis.packages
    ]
    header = (t("Package", "软件包"), t("Version", "版本"), t("Extra", "附加组件"))
    print()
    print_table(Table(header, packages))
    print()
    runs = {True: t("runs", "可以运行"), False: t("cannot run", "无法运行")}
    lessons = [
        (
            f"{verdict.lesson.id} {verdict.lesson.title}",
            runs[verdict.runs],
            "\n".join(verdict.reasons),
        )
        for verdict in diagnosis.lessons
    ]
    header = (t("Lesson", "课"), t("Here", "在本机"), t("Why", "原因"))
    print_table(Table(header, lessons))
    print()
    say(*diagnosis.advice)


def _show_preflight(diagnosis: "Diagnosis", as_json: bool) -> None:
    from ..course.preflight import check_class

    found = check_class(diagnosis)
    if as_json:
        print_json(found)
    else:
        for point in found.points:
            say(f"{'✔' if point.fine else '✘'} {point.name}: {point.words}")
    if not found.ready:
        raise typer.Exit(1)
