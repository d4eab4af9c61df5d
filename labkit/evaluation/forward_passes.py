"""How often llama.cpp runs a model for an answer: prompts out of the cache, tokens guessed ahead.

Usage: ``counter = PassCounter("pocket/llama3"); counter.answer("Copy: cat dog bird").passes``

A *pass* is one run through all layers, for one token or for many at once; where the weights' way
from memory is what takes the time, an answer takes about as long as it has passes. Counted, not
timed. Not covered: drafts by a second model, several conversations at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..conversation.chat_templates import encode_chat
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..engines import load
from ..engines.llama_cpp import LlamaModel

if TYPE_CHECKING:
    from numpy import ndarray


@dataclass(frozen=True)
class Step:
    """One pass after the first: guessed ahead, and what the model would have said itself.

    accepted: how many of the guesses it took over, counted from the front.
    """

    draft: tuple[int, ...]
    said: tuple[int, ...]
    accepted: int


@dataclass(frozen=True)
class CountedAnswer:
    """text: what was said. prompt: its tokens. read: those of them that went through the model.

    tokens: said, end of turn included. passes: runs through the model, the prompt's among them.
    steps: of the passes after the prompt's, with what was guessed.
    """

    text: str
    prompt: int
    read: int
    tokens: int
    passes: int
    steps: tuple[Step, ...]


class PassCounter:
    """A model in llama.cpp that keeps its cache between questions and counts its passes.

    Usage: ``PassCounter("pocket/llama3", lookup=8).answer("Copy: cat dog bird")``

    lookup: how many tokens to guess ahead, by looking for the last two (or the last one) earlier
    in the text (prompt lookup, by llama-cpp-python); 0: none. Always the likeliest token. Raises
    LabError for a model that cannot be loaded, or a prompt longer than its context.
    """

    def __init__(self, model: str, lookup: int = 0) -> None:
        opened = load(model, engine="llama.cpp")
        assert isinstance(opened, LlamaModel)
        self.model = opened
        cpp = need("llama_cpp")
        self.widths: list[int] = []
        self.drafts: list[tuple[int, ...]] = []
        self._llama = _counting(cpp, self.widths)(
            opened.model.model_path,
            n_ctx=opened.context_length,
            verbose=False,
            draft_model=_drafting(self.drafts, lookup) if lookup else None,
        )

    def answer(self, question: str, system: str = "") -> CountedAnswer:
        """Ask one question of its own; what the cache knows of the prompt is not read again."""
        messages = [{"role": "system", "content": system}] if system else []
        ids = encode_chat(self.model, [*messages, {"role": "user", "content": question}], None)
        return self.run(ids)

    def run(self, ids: Sequence[int]) -> CountedAnswer:
        """The same for token ids."""
        if len(ids) >= self.model.context_length:
            raise LabError(
                t(
                    f"The prompt has {len(ids)} tokens, the context {self.model.context_length}.",
                    f"提示词有 {len(ids)} 个词元，上下文只有 {self.model.context_length}。",
                ),
                t("Shorten it.", "请缩短提示词。"),
            )
        self.widths.clear()
        self.drafts.clear()
        said: list[int] = []
        room = self.model.context_length - len(ids)
        for token in self._llama.generate(list(ids), temp=0.0, top_k=1):
            said.append(token)
            if token in self.model.stop_ids or len(said) == room:
                break
        kept = said[:-1] if said[-1] in self.model.stop_ids else said
        read = self.widths[0]
        return CountedAnswer(
            text="".join(self.model.decode(kept)),
            prompt=len(ids),
            read=read,
            tokens=len(said),
            passes=len(self.widths),
            steps=tuple(_steps(said, self.drafts)),
        )

    def forget(self) -> None:
        """Empty the cache."""
        self._llama.reset()


def _steps(said: list[int], drafts: list[tuple[int, ...]]) -> list[Step]:
    """Which guesses came true. The prompt's own pass gives one token."""
    steps, at = [], 1
    for draft in drafts:
        own = tuple(said[at : at + len(draft) + 1])
        if not own:  # a guess for after the end, which was never run
            break
        same = [a == b for a, b in zip(draft, own, strict=False)]
        accepted = same.index(False) if False in same else len(same)
        steps.append(Step(draft, own[: accepted + 1], accepted))
        at += accepted + 1
    return steps


def _counting(cpp: Any, widths: list[int]) -> Any:
    """llama-cpp-python's class; every pass writes down how many tokens went through."""

    class Counting(cpp.Llama):  # type: ignore[misc]
        def eval(self, tokens: Sequence[int]) -> None:
            widths.append(len(tokens))
            super().eval(tokens)

    return Counting


def _drafting(drafts: list[tuple[int, ...]], count: int) -> Any:
    """Prompt lookup that keeps what it guessed."""
    lookup = need("llama_cpp.llama_speculative").LlamaPromptLookupDecoding(2, count)

    def draft(input_ids: "ndarray[Any, Any]", /, **options: Any) -> "ndarray[Any, Any]":
        guessed: ndarray[Any, Any] = lookup(input_ids, **options)
        drafts.append(tuple(map(int, guessed)))
        return guessed

    return draft
