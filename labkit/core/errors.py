"""The one error of this package: what went wrong, and what to do next."""


class LabError(Exception):
    """A mistake or a missing thing that the user can do something about.

    Usage: ``raise LabError("Model 'qwen3' is not known.", "Did you mean 'pocket/qwen2.5'?")``

    what: one sentence that names the value at fault.
    way_out: one sentence that says what to do next; may be empty.

    The command line and the widgets print both and no traceback. Programming errors are not
    wrapped: they stay what they are.
    """

    def __init__(self, what: str, way_out: str = "") -> None:
        super().__init__(f"{what} {way_out}".strip())
        self.what = what
        self.way_out = way_out
