"""Where ``labkit`` begins: nothing is imported yet that Ctrl-C could interrupt aloud."""

import sys


def main() -> None:
    """What the ``labkit`` script calls: run its arguments, leave with the exit status."""
    try:
        from .entry import run

        status = run(sys.argv[1:])
    except KeyboardInterrupt:  # while Python was still importing, or just before the end
        status = 130
    sys.exit(status)


if __name__ == "__main__":
    main()
