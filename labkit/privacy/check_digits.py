"""Check digits: whether a number can be an ID card, a bank card, an account of some country.

Usage: ``has_mod_11_2("11010519491231002x")``. Texts hold digits and small letters, no separators;
what has another form is answered with False where the form is not the caller's to know.
"""


def has_mod_11_2(number: str) -> bool:
    """ISO 7064 MOD 11-2, the check digit of Chinese ID cards."""
    total = sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(number[:17]))
    return number[17] == "10x98765432"[total % 11]


def has_luhn(number: str) -> bool:
    """ISO/IEC 7812-1, annex B; a row of one digit is none."""
    if not number.isdigit() or len(set(number)) == 1:
        return False
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(number)))
    return sum(n - 9 * (n > 9) for n in doubled) % 10 == 0


_D5 = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def has_verhoeff(number: str) -> bool:
    """Verhoeff's check, by multiplying in the dihedral group of the pentagon."""
    if not number.isdigit():
        return False
    check = 0
    for i, letter in enumerate(reversed(number)):
        digit = int(letter)
        for _ in range(i % 8):
            digit = _TURN[digit]
        check = int(_D5[check][digit])
    return check == 0


def has_cpf(number: str) -> bool:
    """The two check digits of a CPF; those of one digit only are never given out."""
    if not number.isdigit() or len(set(number)) == 1:
        return False
    for size in (9, 10):
        total = sum(int(d) * (size + 1 - i) for i, d in enumerate(number[:size]))
        if int(number[size]) != total * 10 % 11 % 10:
            return False
    return True


def has_iban(number: str) -> bool:
    """ISO 13616: remainder 1 by 97, letters counting from 10; what follows it is cut off."""
    if not number.isascii():
        return False
    return any(
        int("".join(str(int(c, 36)) for c in number[4:size] + number[:4])) % 97 == 1
        for size in range(15, min(len(number), 34) + 1)
    )


def has_hk_id(number: str) -> bool:
    """Weights 9 to 1 over letters (from 10) and digits, a missing first letter counting 36."""
    values = [36] * (9 - len(number)) + [int(c, 36) for c in number]
    return sum(v * weight for v, weight in zip(values, range(9, 0, -1), strict=True)) % 11 == 0


def has_tw_id(number: str) -> bool:
    """The letter counts as two digits, then weights 1, 9, 8 … 1, 1."""
    code = "abcdefghjklmnpqrstuvxywzio".index(number[0]) + 10
    digits = [code // 10, code % 10, *map(int, number[1:])]
    weights = (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)
    return sum(d * w for d, w in zip(digits, weights, strict=True)) % 10 == 0


def has_dni(number: str) -> bool:
    """The letter is that of the number's remainder by 23."""
    head = number[:-1].translate(str.maketrans("xyz", "012"))
    return len(head) == 8 and "trwagmyfpdxbnjzsqvhlcke"[int(head) % 23] == number[-1]
