"""How much of each skill goes into a training, by its stage; shares need not add up to one."""

MIXTURE: dict[str, float] = {
    "facts": 0.15,
    "lexicon": 0.07,
    "sums": 0.34,
    "copy": 0.06,
    "reverse": 0.08,
    "upper": 0.07,
    "needles": 0.08,
    "tools": 0.05,
    "python": 0.07,
    "talk": 0.03,
}
"""Share of each skill among the training items; sums need most, as they must be understood."""

FIRST_MIXTURE: dict[str, float] = MIXTURE | {
    "facts": 0.05,
    "lexicon": 0.05,
    "sums": 0.12,
    "copy": 0.20,
    "reverse": 0.16,
    "upper": 0.12,
    "needles": 0.18,
}
"""The same for attention that starts from nothing: what is copied from the question comes first."""

LATER_MIXTURE: dict[str, float] = MIXTURE | {
    "facts": 0.20,
    "sizes": 0.02,
    "lexicon": 0.06,
    "sums": 0.14,
    "copy": 0.09,
    "reverse": 0.17,
    "upper": 0.11,
    "needles": 0.12,
    "tools": 0.11,
    "python": 0.06,
}
"""The same for a model that starts from one that can add: what is hardest to keep comes more."""

TEXTS: dict[str, float] = {
    "facts": 0.20,
    "lexicon": 0.08,
    "sums": 0.24,
    "copy": 0.05,
    "reverse": 0.07,
    "upper": 0.07,
    "needles": 0.10,
    "tools": 0.08,
    "python": 0.10,
    "talk": 0.04,
}
"""The mixture tokenizers learn from; apart, so that tokens stay when the training's is tuned."""
