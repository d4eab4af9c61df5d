"""Numbers and words that must stay on this computer, found in whatever shape they were typed.

Usage: ``find_sensitive("我的手机是 138-1234-5678")  # ("phone",)``

Full-width and other scripts' digits, Chinese numerals, spelt-out English digits, zero-width
characters, separators inside a number, HTML, URL and JSON escapes are seen through first. When in
doubt it says yes: a false alarm costs an answer by the local model, a miss cannot be undone.

Ours and not a detector such as Presidio's, which needs a spaCy model of hundreds of megabytes to
find names; another one can be added as a function (:class:`labkit.privacy.router.Rules`). Not
covered: names and addresses (put yours among the words), pictures, base64 and other encodings,
numbers with letters, long gaps or list commas in between, with digits glued to both ends or read
backwards, short local numbers that nothing announces, what only a reader would understand.
"""

import html
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from datetime import date
from typing import Any
from urllib.parse import unquote

from ..catalog import Text
from ..core.errors import LabError
from ..core.i18n import t
from .check_digits import (
    has_cpf,
    has_dni,
    has_hk_id,
    has_iban,
    has_luhn,
    has_mod_11_2,
    has_tw_id,
    has_verhoeff,
)

KINDS = {
    "cn-id": Text("a Chinese ID card number", "身份证号"),
    "phone": Text("a phone number", "电话号码"),
    "bank-card": Text("a bank card number", "银行卡号"),
    "iban": Text("an IBAN", "国际银行账号"),
    "email": Text("an e-mail address", "电子邮箱"),
    "passport": Text("a passport or travel permit number", "护照或通行证号"),
    "hk-id": Text("a Hong Kong ID number", "香港身份证号"),
    "tw-id": Text("a Taiwan ID number", "台湾身份证号"),
    "us-ssn": Text("a US social security number", "美国社会安全号"),
    "uk-nino": Text("a UK national insurance number", "英国国民保险号"),
    "in-aadhaar": Text("an Indian Aadhaar number", "印度 Aadhaar 号"),
    "kr-rrn": Text("a Korean resident number", "韩国居民登记号"),
    "br-cpf": Text("a Brazilian CPF number", "巴西 CPF 号"),
    "es-dni": Text("a Spanish DNI number", "西班牙 DNI 号"),
    "plate": Text("a Chinese number plate", "车牌号"),
    "account": Text("an account of a messenger or wallet", "社交或支付账号"),
    "secret": Text("a password or key", "密码或密钥"),
    "word": Text("one of your own words", "自定义敏感词"),
    "unreadable": Text("what cannot be read, such as a picture", "无法读取的内容（如图片）"),
}  # fmt: skip
"""What can be found, by key, and what it is called."""

Detector = Callable[[str], Iterable[str]]
"""From a text to the kinds found in it, as :data:`KINDS` or its own."""


def find_sensitive(
    content: Any, words: Iterable[str] = (), detectors: Iterable[Detector] = ()
) -> tuple[str, ...]:
    """The kinds of sensitive data in it, as keys of :data:`KINDS`; the data itself is not kept.

    Usage: ``find_sensitive(messages, words=["Project Phoenix"])``

    content: a text, or messages, tool calls and tools as JSON has them; keys and numbers are read
    as well, and pieces are also read as one text, for a number may be spread over them. words:
    found with other spacing, case and width too. Raises LabError for a word of fewer than two
    letters; an error of a detector is not caught: then nothing is known and nothing may leave.
    """
    pieces = list(_texts(content))
    found = {"unreadable"} if None in pieces else set()
    text = "\n".join(piece for piece in pieces if piece is not None)
    spoken = "\n".join(_said_by_user(content))
    for view in {v for whole in (text, spoken) for v in (whole, _unescaped(whole))}:
        plain = simplify(view)
        found |= {kind for kind, pattern in _PATTERNS.items() if _matches(kind, pattern, plain)}
        found |= set(_numbers(plain))
        if _has_word(plain, words):
            found.add("word")
        for detector in detectors:
            found |= set(detector(view))
    return (*(kind for kind in KINDS if kind in found), *sorted(found - KINDS.keys()))


def describe_kinds(kinds: Iterable[str]) -> str:
    """The kinds for a reader. Usage: ``describe_kinds(("phone",))  # "a phone number"``"""
    return t(", ", "、").join(str(KINDS.get(kind, kind)) for kind in kinds)


# --- what there is to read ---------------------------------------------------------------------


def _texts(content: Any) -> Iterator[str | None]:
    """Every text, key and number in it; None for each thing that cannot be read."""
    if isinstance(content, str):
        yield content
    elif content is None or isinstance(content, bool):
        return
    elif isinstance(content, int | float):
        yield str(content)
    elif isinstance(content, dict):
        if any(content.get("type") == kind for kind in _MEDIA):
            yield None
        for key, value in content.items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from _texts(value)
    else:
        yield None


_MEDIA = {
    "image_url", "image", "input_image", "input_audio", "audio", "video", "file", "input_file",
}  # fmt: skip


def _said_by_user(content: Any) -> Iterator[str]:
    """The user's own words, nothing between them: a number may be spread over turns or parts."""
    for message in content if isinstance(content, list | tuple) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            said = message.get("content")
            for part in said if isinstance(said, list | tuple) else [said]:
                part = part.get("text") if isinstance(part, dict) else part
                if isinstance(part, str):
                    yield part


def _unescaped(text: str) -> str:
    r"""The text without the escapes of HTML, URLs and JSON: ``&#49;``, ``%31``, ``\u0031``."""
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return unquote(html.unescape(text.replace("\\n", "\n").replace("\\t", "\t")))


_BLANK = "\u115f\u1160\u3164\uffa0"
"""Letters, as Unicode has it, that nobody sees: the fillers of Hangul."""


def simplify(text: str) -> str:
    """A text as one would read it aloud: one width, one case, plain digits, nothing invisible.

    Usage: ``simplify("１３8\\u200b①")  # "1381"``
    """
    text = unicodedata.normalize("NFKC", text)
    if text.isascii():
        return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "", text).casefold()
    kept = []
    for letter in unicodedata.normalize("NFD", text):
        category = unicodedata.category(letter)
        if category in ("Cf", "Mn", "Me", "Cs") or letter in _BLANK:
            continue
        if category == "Cc" and letter not in "\n\t\r":
            continue
        value = unicodedata.numeric(letter, -1) if category in ("Nd", "Nl", "No") else -1
        kept.append(str(int(value)) if value in range(10) else letter)
    return unicodedata.normalize("NFC", "".join(kept)).casefold()


# --- numbers -----------------------------------------------------------------------------------

_CHINESE = str.maketrans(
    "〇零○一二三四五六七八九幺壹贰叁肆伍陆柒捌玖貳參陸两叉×хχ",
    "00012345678911234567892362xxxx",
)
_ENGLISH = {
    "zero": "0", "oh": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9",
}  # fmt: skip
_SPELT = re.compile(rf"(?<![a-z])(?:{'|'.join(_ENGLISH)})(?![a-z])")
_LOOKALIKES = re.compile(
    r"(?<=[0-9])[oil|]+(?=[0-9])|(?<![a-z0-9])[oil](?=[0-9]{5})"
    r"|(?<=[0-9]{5})[oil]+(?![a-z0-9])"
)
_GAP = r"[\W_]{0,5}"
_STRETCH = re.compile(rf"[0-9](?:{_GAP}[0-9])*(?:{_GAP}x(?![a-z]))?")
_LIST = re.compile(r"[,，、;；]\s+")


def _numbers(plain: str) -> Iterator[str]:
    """The kinds of numbers in a simplified text."""
    spelt = _SPELT.sub(lambda m: _ENGLISH[m[0]], plain.translate(_CHINESE))
    alike = _LOOKALIKES.sub(lambda m: re.sub("[il|]", "1", m[0].replace("o", "0")), plain)
    for text in {plain, spelt, alike}:
        for part in _LIST.split(text):  # "15, 28, 34" is a list and no number
            for stretch in _STRETCH.findall(part):
                groups = re.findall(r"[0-9]+|x", stretch)
                yield from _in_groups(groups)
                yield from _inside("".join(groups))


def _in_groups(groups: list[str]) -> Iterator[str]:
    """Kinds that neighbouring groups of digits make together, from edge to edge."""
    for start in range(len(groups)):
        number = ""
        for end in range(start, min(start + 19, len(groups))):
            number += groups[end]
            if len(number) > 19:
                break
            if len(number) >= 9:
                yield from _whole(number, groups[start : end + 1])
    for group in groups:  # digits glued to one end
        if len(group) < 14 and _GLUED.search(group):
            yield "phone"


_MOBILE = re.compile(r"(?:00)?(?:86)?1[3-9]\d{9}")
_GLUED = re.compile(r"^1[3-9]\d{9}|1[3-9]\d{9}$")
_LANDLINE = re.compile(r"0(?:10|2\d|[3-9]\d\d)[2-8]\d{6,7}")


def _whole(number: str, groups: list[str]) -> Iterator[str]:
    """Kinds that a number of 9 to 19 digits is, made of these groups."""
    size = len(number)
    if size in (15, 18) and _is_born(number):
        yield "cn-id"
    if number[0] in "018" and _MOBILE.fullmatch(number):
        yield "phone"
    if size >= 13 and number[0] in "23456" and has_luhn(number):
        yield "bank-card"
    if size == 11 and has_cpf(number):
        yield "br-cpf"
    if len(groups) > 4:
        return
    shape = tuple(map(len, groups))
    if shape[0] in (3, 4, size) and _LANDLINE.fullmatch(number):
        yield "phone"
    if shape in ((3, 3, 4), (1, 3, 3, 4)) and number[-10] in "23456789":
        yield "phone"
    if shape == (3, 2, 4) and number[:3] not in ("000", "666") and number[0] != "9":
        yield "us-ssn"
    if shape in ((12,), (4, 4, 4)) and number[0] in "23456789" and has_verhoeff(number):
        yield "in-aadhaar"
    if shape in ((6, 7), (13,)) and number[6] in "12345678":
        if _is_day(2000, number[2:4], number[4:6]):
            yield "kr-rrn"


_CARDS = re.compile(
    r"(?=(62\d{17}|62\d{14}|4\d{15}|5[1-5]\d{14}|2[2-7]\d{14}|3[47]\d{13}|6011\d{12}|35\d{14}))"
)


def _inside(number: str) -> Iterator[str]:
    """Kinds whose check digits tell them apart even in the middle of other digits."""
    for match in re.finditer(r"(?=(\d{17}[\dx]))", number):
        if _is_born(match[1]) and has_mod_11_2(match[1]):
            yield "cn-id"
    if any(has_luhn(match[1]) for match in _CARDS.finditer(number)):
        yield "bank-card"


_PROVINCES = set(
    "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65"
    " 71 81 82 83 91".split()
)


def _is_born(number: str) -> bool:
    """Whether province and birthday of a Chinese ID number can be (GB 11643)."""
    if number[:2] not in _PROVINCES or not number[2:-1].isdigit():
        return False
    day = number[6:14] if len(number) == 18 else "19" + number[6:12]
    return "1880" <= day[:4] <= str(date.today().year) and _is_day(int(day[:4]), day[4:6], day[6:])


def _is_day(year: int, month: str, day: str) -> bool:
    try:
        date(year, int(month), int(day))
    except ValueError:
        return False
    return True


# --- letters and digits ------------------------------------------------------------------------


def _digits(count: int) -> str:
    return rf"[0-9](?:{_GAP}[0-9]){{{count - 1}}}"


_AT = r"[ \t]{0,3}(?:@|[(\[{<#]\s*at\s*[)\]}>#]|艾特)[ \t]{0,3}"
_DOT = r"[ \t]{0,3}(?:[.。点]|[(\[{<#]\s*dot\s*[)\]}>#])[ \t]{0,3}"
_PATTERNS = {
    kind: re.compile(pattern)
    for kind, pattern in {
        "phone": rf"(?<![0-9a-z)])(?<![0-9)] )\+{_GAP}{_digits(8)}"
        rf"|(?:手机|电话|phone|mobile|(?<![a-z])tel(?![a-z]))[^0-9\n]{{0,12}}{_digits(7)}",
        "cn-id": rf"身份证[^0-9\n]{{0,12}}{_digits(12)}",
        "bank-card": rf"(?:卡号|银行卡|card)[^0-9\n]{{0,12}}{_digits(13)}",
        "account": r"(?:微信|qq|wechat|支付宝|alipay)[\s:是为账号id]*"
        r"(?=[a-z_-]*[0-9])[a-z0-9_-]{5,20}",
        "email": rf"(?<![\w.+-])[\w.+-]+(?:{_AT}[\w-]+(?:{_DOT}[\w-]+)*{_DOT}[^\W\d_]{{2,}}"
        r"| at [\w-]+(?: dot [\w-]+)+)",
        "iban": rf"(?<![a-z0-9])[a-z]{{2}}[0-9]{{2}}(?:{_GAP}[a-z0-9]){{11,30}}",
        "passport": rf"(?<![a-z0-9])(?:[cdeghmpsw]{_GAP}{_digits(8)}|e[a-z]{_GAP}{_digits(7)})"
        rf"(?:{_GAP}[0-9]){{0,2}}(?![0-9])"
        rf"|(?:passport|护照|通行证)[^0-9\n]{{0,20}}{_digits(6)}",
        "hk-id": r"(?<![a-z0-9])[a-z]{1,2}[\W_]?[0-9](?:[\W_]?[0-9]){5}"
        r"[\W_]{0,2}[0-9a](?![a-z0-9])",
        "tw-id": rf"(?<![a-z0-9])[a-z]{_GAP}[1289](?:{_GAP}[0-9]){{8}}(?![0-9])",
        "uk-nino": rf"(?<![a-z0-9])[abceghj-prstw-z][abceghj-nprstw-z]{_GAP}{_digits(6)}"
        rf"{_GAP}[abcd](?![a-z0-9])",
        "us-ssn": rf"(?:ssn|social security|社会安全号|社安号)[^0-9\n]{{0,20}}{_digits(9)}",
        "es-dni": rf"(?<![a-z0-9])[xyz]?{_GAP}{_digits(7)}(?:{_GAP}[0-9])?{_GAP}[a-z](?![a-z0-9])",
        "plate": r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][\W_]?"
        r"[a-hj-np-z][\W_]{0,3}(?=[a-z]*[0-9])[a-hj-np-z0-9]{5,6}(?![a-z0-9])",
        "secret": r"-----begin [a-z ]*private key|(?<![a-z0-9])(?:sk|pk|rk)-[a-z0-9_-]{16,}"
        r"|(?<![a-z0-9])akia[0-9a-z]{16}|(?<![a-z0-9])gh[pousr]_[a-z0-9]{20,}"
        r"|(?<![a-z])(?:hf|glpat|xox[abp])[_-][a-z0-9-]{16,}"
        r"|(?:password|passwd|api[_ -]?key|secret key|密码|口令|密钥)\s*"
        r"(?:[:=]\s*[!-~]{4,}|(?:is\b|是|为)\s*(?=[!-~]*[0-9!#$%&*@^_])[!-~]{4,})",
    }.items()
}


def _matches(kind: str, pattern: re.Pattern[str], plain: str) -> bool:
    check = _CHECKS.get(kind)
    if check is None:
        return bool(pattern.search(plain))
    return any(check(re.sub(r"[\W_]", "", match[0])) for match in pattern.finditer(plain))


_CHECKS: dict[str, Callable[[str], bool]] = {
    "iban": has_iban,
    "hk-id": has_hk_id,
    "tw-id": has_tw_id,
    "es-dni": has_dni,
}


# --- words -------------------------------------------------------------------------------------


def _has_word(plain: str, words: Iterable[str]) -> bool:
    """Whether one of the words is there; a short Latin one only as a word of its own."""
    squeezed = re.sub(r"[\W_]+", "", plain)
    for word in words:
        wanted = re.sub(r"[\W_]+", "", simplify(word))
        if len(wanted) < 2:
            raise LabError(
                t(f"The word '{word}' is too short.", f"敏感词 '{word}' 太短。"),
                t("Take one of at least two letters.", "请使用至少两个字符的词。"),
            )
        if wanted.isascii() and len(wanted) < 5:
            if re.search(rf"(?<![a-z0-9]){_GAP.join(wanted)}(?![a-z0-9])", plain):
                return True
        elif wanted in squeezed:
            return True
    return False
