"""``labkit …`` in a terminal: parse, call, print. Exit 0 done, 1 could not, 2 wrong usage.

A command is a file of this folder: its name, HELP, and ``command``, a short function that imports
what it needs inside, hands its arguments to the Python function of the same name and shows the
result; with ``--json`` it prints one object. Where a command has commands of its own, ``app`` takes
the place of ``command``. Only the file of the command asked for is imported.
"""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, Literal, cast

import typer

from ..core.errors import LabError
from ..core.i18n import Language, t, use_language
from .console import both

COMMANDS = (
    "doctor", "models", "estimate", "pick", "costs", "chat", "quantize", "finetune", "serve",
    "bench-serve", "app", "export", "mirror", "bundle", "lessons", "progress",
)  # fmt: skip
"""In the order in which the help lists them; a file each."""


def main() -> None:
    """Run the arguments of this process. Usage: ``labkit doctor``"""
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
            wanted = rest[:1] if rest and rest[0] in COMMANDS else COMMANDS
            command = typer.main.get_command(make_app(wanted))
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
        _ignore_interrupts()
        print(t("Interrupted.", "已中断。"), file=sys.stderr)
    elif status == 2 and arguments:  # typer has said the same in English
        print(t("", "用法有误，请看：labkit --help"), end=t("", "\n"), file=sys.stderr)
    return status


def make_app(names: Sequence[str] = COMMANDS) -> typer.Typer:
    """The command line with some of the commands.

    Usage: ``typer.testing.CliRunner().invoke(make_app(), ["doctor"])``
    """
    app = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=both(
            "Open language models on your own computer: talk to them, measure them, tune them.",
            "在自己的电脑上使用开源大语言模型：对话、测量、微调。",
        ),
    )
    app.callback()(_options)
    for name in names:
        module: Any = import_module(f".{name.replace('-', '_')}", __package__)
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name, help=module.HELP)
        else:
            app.command(name, help=module.HELP)(module.command)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        import labkit

        print(f"labkit {labkit.__version__}")
        raise typer.Exit()


def _options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug", help=both("Show the traceback of an error.", "出错时显示完整的回溯信息。")
        ),
    ] = False,
    lang: Annotated[
        Literal["en", "zh"] | None,
        typer.Option("--lang", help=both("Language of what is printed.", "输出使用的语言。")),
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
    """run() has already acted on debug and lang; here they are checked and documented."""


def _ignore_interrupts() -> None:
    """A second Ctrl-C has nothing left to end."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:  # not in the main thread, where a test may be
        return


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
