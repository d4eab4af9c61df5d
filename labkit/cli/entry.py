"""``labkit …`` in a terminal: parse, call, print. Exit 0 done, 1 could not, 2 wrong usage.

A command is a short function below: it imports what it needs inside, hands its arguments to the
Python function of the same name and shows the result; with ``--json`` it prints one object.
"""

import itertools
import os
import sys
import traceback
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from ..core.errors import LabError
from ..core.i18n import Language, t, use_language
from . import choosing, deploying, quantizing, sharing, teaching, tuning
from .console import Json, ModelName, both, make_table, print_json, say

if TYPE_CHECKING:
    from ..course.doctor import Diagnosis

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=both(
        "Open language models on your own computer: talk to them, measure them, tune them.",
        "在自己的电脑上使用开源大语言模型：对话、测量、微调。",
    ),
)


def _show_version(wanted: bool) -> None:
    if wanted:
        import labkit

        print(f"labkit {labkit.__version__}")
        raise typer.Exit()


@app.callback()
def options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help=both("Show the traceback of an error.", "出错时显示完整的回溯信息。"),
        ),
    ] = False,
    lang: Annotated[
        Literal["en", "zh"] | None,
        typer.Option("--lang", help=both("Language of messages.", "消息使用的语言。")),
    ] = None,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help=both("Show the version and exit.", "显示版本号后退出。"),
        ),
    ] = False,
) -> None:
    """main() has already acted on debug and lang; here they are checked and documented."""


@app.command(
    help=both(
        "This computer: what is installed, what works, what to do.",
        "检查本机：装了什么，能做什么，还缺什么。",
    )
)
def doctor(
    audience: Annotated[
        Literal["class"] | None,
        typer.Option("--for", help=both("Only what a class needs.", "只检查上课要用的。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.doctor import diagnose
    from ..machine.hardware import hardware

    diagnosis = diagnose(hardware())
    if audience:
        return _show_preflight(diagnosis, as_json)
    if as_json:
        return print_json(diagnosis)
    from rich.console import Console

    console = Console()
    console.print(make_table((t("This computer", "本机"), ""), diagnosis.hardware.rows()))
    absent = {True: "?", False: t("missing", "未安装")}
    packages = [
        (package.name, package.version or absent[package.installed], package.extra or "")
        for package in diagnosis.packages
    ]
    console.print(
        make_table((t("Package", "软件包"), t("Version", "版本"), t("Extra", "附加组件")), packages)
    )
    runs = {True: t("runs", "可以运行"), False: t("cannot run", "无法运行")}
    lessons = [
        (v.lesson.id, str(v.lesson.title), runs[v.runs], "\n".join(v.reasons))
        for v in diagnosis.lessons
    ]
    console.print(
        make_table((t("Lesson", "课"), "", t("Here", "在本机"), t("Why", "原因")), lessons)
    )
    for sentence in diagnosis.advice:
        console.print(sentence, markup=False, highlight=False)


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


@app.command(help=both("Talk to a model.", "与模型对话。"))
def chat(
    model: ModelName = "pocket/qwen2.5",
    prompt: Annotated[
        str | None,
        typer.Argument(
            help=both(
                "One question; - reads it from stdin; none begins a conversation.",
                "单个问题；- 表示从标准输入读取；不填则进入对话。",
            )
        ),
    ] = None,
    engine: Annotated[
        Literal["llama.cpp", "transformers"] | None,
        typer.Option(help=both("What runs it.", "用什么引擎运行。")),
    ] = None,
    system: Annotated[
        str | None, typer.Option(help=both("A system prompt.", "系统提示词。"))
    ] = None,
    temperature: Annotated[
        float, typer.Option(help=both("0: always the likeliest token.", "0：总是取最可能的词元。"))
    ] = 0.0,
    top_p: Annotated[
        float, typer.Option(help=both("Probability to draw from.", "采样所用的累积概率。"))
    ] = 1.0,
    top_k: Annotated[
        int, typer.Option(help=both("Tokens to draw from; 0: all.", "采样候选数；0 表示全部。"))
    ] = 0,
    seed: Annotated[int, typer.Option(help=both("Of the draw.", "随机种子。"))] = 0,
    max_new_tokens: Annotated[
        int | None, typer.Option(help=both("Longest answer, in tokens.", "回答最多多少个词元。"))
    ] = None,
    as_json: Json = False,
) -> None:
    from ..conversation.session import chat as begin
    from .terminal import print_answer, talk

    if as_json and prompt is None:
        raise typer.BadParameter(t("--json needs a prompt.", "--json 需要给出问题。"))
    opened = begin(
        model,
        engine,
        system=system,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        max_new_tokens=max_new_tokens,
    )
    if opened.note:
        print(opened.note, file=sys.stderr)
    if prompt is None:
        return talk(opened)
    prompt = sys.stdin.read().strip() if prompt == "-" else prompt
    if as_json:
        opened(prompt)
        print_json(opened.reply)
    else:
        print_answer(opened, prompt)
    if opened.reply and opened.reply.finish_reason == "interrupted":
        raise KeyboardInterrupt


app.add_typer(choosing.app)
app.add_typer(quantizing.app)
app.add_typer(tuning.app)
app.add_typer(deploying.app)
app.add_typer(sharing.app)
app.add_typer(teaching.app)


# --- from the command line to the commands ----------------------------------------------------


def main() -> None:
    """What ``labkit`` runs: no traceback for what the user did, unless ``--debug``."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit status.

    Usage: ``run(["doctor", "--json"])  # 0``
    """
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    front, rest = _globals_first(arguments)
    lang = dict(zip(front, front[1:], strict=False)).get("--lang")
    if lang in ("en", "zh"):
        use_language(cast(Language, lang))
    try:
        try:
            _refuse_broken_text(arguments)
            command = typer.main.get_command(app)
            _speak(command)
            command(front + rest, prog_name="labkit")
        finally:
            sys.stdout.flush()  # here, where a reader that has gone can still be handled
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:  # as in `labkit models | head -1`: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (LabError, OSError, UnicodeDecodeError) as error:
        if "--debug" in front:
            traceback.print_exc()
        for sentence in _sentences(error):
            print(sentence, file=sys.stderr)
        return 1
    if status == 130:
        print(t("Interrupted.", "已中断。"), file=sys.stderr)
    elif status == 2 and arguments:  # typer has said the same in English
        print(t("", "用法有误，请看：labkit --help"), end=t("", "\n"), file=sys.stderr)
    return status


def _globals_first(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options for every command, which typer wants in front, and the rest.

    People write them at the end; behind ``--`` everything is text.
    """
    front: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "--lang":
            front += [word, *itertools.islice(words, 1)]
        elif word == "--debug" or word.startswith("--lang="):
            front += word.split("=", 1)
        else:
            rest.append(word)
    return front, rest


def _refuse_broken_text(arguments: list[str]) -> None:
    """Python smuggles bytes that are not UTF-8 in as lone surrogates; no model can read them."""
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode("utf-8", "replace").decode()
            raise LabError(
                t(
                    f"The argument '{shown}' is not valid UTF-8.",
                    f"参数 '{shown}' 不是有效的 UTF-8。",
                ),
                t("Type it again in a UTF-8 terminal.", "请在 UTF-8 终端里重新输入。"),
            ) from None


def _speak(command: Any) -> None:
    """Leave the reader's language in the help texts that :func:`~labkit.cli.console.both` made."""
    for part in (command, *command.params):
        if part.help and "\x1f" in part.help:
            part.help = t(*part.help.split("\x1f"))
    for subcommand in getattr(command, "commands", {}).values():
        _speak(subcommand)


def _sentences(error: LabError | OSError | UnicodeDecodeError) -> list[str]:
    """What went wrong and the way out, for what a user, a file or a disk can cause."""
    if isinstance(error, LabError):
        return [sentence for sentence in (error.what, error.way_out) if sentence]
    if isinstance(error, UnicodeDecodeError):
        at = error.start
        what = t(f"The input is not UTF-8 at byte {at}.", f"输入在第 {at} 字节处不是 UTF-8。")
        return [what, t("Save it as UTF-8 and try again.", "请另存为 UTF-8 后重试。")]
    reason = error.strerror or str(error)
    what = f"{error.filename}: {reason}" if error.filename else reason
    return [what, t("--debug shows where it happened.", "加上 --debug 可以看到出错的位置。")]
