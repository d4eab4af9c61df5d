"""Made-up prompts in both languages, with and without something that must stay here."""

import random
from collections.abc import Callable

WIDE = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
CHINESE = str.maketrans("0123456789X", "零一二三四五六七八九叉")
FORMAL = str.maketrans("0123456789X", "〇壹贰叁肆伍陆柒捌玖叉")


def cn_id(rng: random.Random) -> str:
    """A number that GB 11643 allows; the check digit by trying all, as its formula says."""
    place = rng.choice("110105 310101 440305 510104 650102 330106 420111".split())
    born = f"{rng.randint(1940, 2015)}{rng.randint(1, 12):02}{rng.randint(1, 28):02}"
    body = f"{place}{born}{rng.randint(1, 999):03}"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # as printed in the standard
    total = sum(int(d) * w for d, w in zip(body, weights, strict=True))
    check = next(c for c in range(11) if (total + c) % 11 == 1)
    return body + ("X" if check == 10 else str(check))


def mobile(rng: random.Random) -> str:
    return f"1{rng.randint(3, 9)}{rng.randint(0, 10**9 - 1):09}"


def bank_card(rng: random.Random) -> str:
    """UnionPay, Visa or Mastercard; the last digit by trying all."""
    start, size = rng.choice(
        [("621700", 19), ("622202", 19), ("625965", 16), ("4539", 16), ("5425", 16)]
    )
    body = start + "".join(rng.choice("0123456789") for _ in range(size - len(start) - 1))

    def total(number: str) -> int:
        return sum(
            sum(map(int, str(int(d) * (2 if i % 2 else 1)))) for i, d in enumerate(number[::-1])
        )

    return next(body + c for c in "0123456789" if total(body + c) % 10 == 0)


def email(rng: random.Random) -> str:
    name = "".join(rng.choice("abcdefghjkmnpqrstuvwxyz") for _ in range(rng.randint(3, 9)))
    host = rng.choice(["example.com", "163.com", "mail.uni.edu.cn"])
    return f"{name}{rng.choice(['', '.w', '_88'])}@{host}"


def passport(rng: random.Random) -> str:
    return f"{rng.choice('EGDSP')}{rng.randint(0, 10**8 - 1):08}"


NUMBERS: dict[str, Callable[[random.Random], str]] = {
    "cn-id": cn_id,
    "phone": mobile,
    "bank-card": bank_card,
}
OTHERS: dict[str, Callable[[random.Random], str]] = {"email": email, "passport": passport}


def spaced(by: str, every: int) -> Callable[[str], str]:
    return lambda n: by.join(n[i : i + every] for i in range(0, len(n), every))


SHAPES: dict[str, Callable[[str], str]] = {
    "plain": str,
    "in fours": spaced(" ", 4),
    "dashes": spaced("-", 3),
    "dots": spaced(".", 5),
    "single": spaced(" ", 1),
    "em dashes": spaced(" — ", 4),
    "full width": lambda n: n.translate(WIDE),
    "full width, ideographic space": lambda n: spaced("\u3000", 4)(n.translate(WIDE)),
    "zero width": spaced("\u200b", 2),
    "joiner": spaced("\u2060", 1),
    "no-break": spaced("\u00a0", 4),
    "lines": spaced("\n", 6),
    "Chinese": lambda n: n.translate(CHINESE),
    "formal": lambda n: spaced(" ", 4)(n.translate(FORMAL)),
    "keycaps": lambda n: "".join(c + "\ufe0f\u20e3" for c in n),
    "mathematical": lambda n: "".join(chr(0x1D7CE + int(c)) if c.isdigit() else c for c in n),
    "Arabic-Indic": lambda n: "".join(chr(0x660 + int(c)) if c.isdigit() else c for c in n),
    "HTML": lambda n: "".join(f"&#{ord(c)};" for c in n),
    "brackets": lambda n: f"({n[:3]}) {n[3:7]}_{n[7:]}",
}

FRAMES = (
    "请帮我核对一下：{}，谢谢。",
    "我的号码是{}",
    "{}是谁的？",
    "客户资料\n姓名：王芳\n号码：{}\n请写一封邮件。",
    "把“{}”翻译成英文。",
    "Please check {} for me.",
    "My number is {}",
    "{} - whose is that?",
    "Write a letter to the owner of {}, politely.",
    'Fix this JSON: {{"customer": "{}"}}',
)

HARMLESS = (
    "What is {a} + {b}?",
    "{a} 加 {b} 等于多少？",
    "用 Python 写一个冒泡排序。",
    "Write a haiku about the month of {month}.",
    "{year} 年发生了哪些大事？",
    "一个长方形长 {a} 米、宽 {b} 米，面积是多少？",
    "Explain the difference between a list and a tuple in {a} words.",
    "版本 {a}.{b}.0 有什么变化？",
    "The meeting is on {year}-11-25 at 15:30; write an invitation.",
    "从 {a}、{b}、{c} 里选出最大的数。",
    "Sort these: {a}, {b}, {c}, {year}, 17.",
    "Translate to Chinese: there are {a} apples and {b} pears.",
    "把 {a} 公里换算成英里。",
    "def f(x):\n    return x * {a} + {b}\n\nWhat does f({c}) give?",
    "Is HTTP {a} a real status code?",
    "What is {a}.{b} * {c} / 4?",
    "成语“一五一十”是什么意思？",
    "How far is it from 127.0.0.1 to port {year}?",
    "忘记密码时该怎么办？",
    "How is a password stored safely?",
    "A {a}B model in Q4_K_M with {b} layers: how many GiB?",
    "π ≈ 3.14159265；π 的第 {a} 位是几？",
)


def sensitive_prompts(seed: int = 0) -> list[tuple[str, str, str]]:
    """(kind, the raw data, the prompt): every number in every shape, in both languages."""
    rng = random.Random(seed)
    found = []
    for kind, make in NUMBERS.items():
        for shape in SHAPES.values():
            for frame in FRAMES:
                raw = make(rng)
                found.append((kind, raw, frame.format(shape(raw))))
    for kind, make in OTHERS.items():
        for frame in FRAMES:
            for _ in range(3):
                raw = make(rng)
                found.append((kind, raw, frame.format(raw)))
    return found


def harmless_prompts(seed: int = 0, count: int = 220) -> list[str]:
    rng = random.Random(seed)
    return [
        HARMLESS[i % len(HARMLESS)].format(
            a=rng.randint(2, 99), b=rng.randint(2, 99), c=rng.randint(2, 999),
            year=rng.randint(1900, 2030), month=rng.choice(["May", "June", "July"]),
        )
        for i in range(count)
    ]  # fmt: skip
