"""Is this a person's name in Latin letters? One word must be a Japanese surname or a common name abroad."""

import functools
import re

from jpfm.text.pii.surnames import READINGS

_ABROAD_TEXT = (
    "james john robert michael william david mary jennifer linda maria anna emma peter paul mark thomas daniel"
    " george sarah laura lisa nancy karen kevin brian steven eric susan alice carlos jose juan luis ana silva"
    " santos smith johnson brown jones garcia miller davis wilson lee kim park choi wang li zhang liu chen yang"
    " huang zhao nguyen tran le pham singh kumar sharma patel ali ahmed mohamed muhammad khan ivan igor olga hans"
    " klaus pierre jean marie"
)
_ABROAD = frozenset(_ABROAD_TEXT.split())
LATIN = re.compile(
    r"(?:(?:Mr|Ms|Mrs|Dr)\.? )?[A-Z][A-Za-z'’-]*(?:,? (?:[A-Z]\.|[A-Z][A-Za-z'’-]+|d[aeio]s?|van|von|bin"
    r"|al)){1,3}(?![A-Za-z0-9_])"
)
_ROMAJI = re.compile(r"(?:(?:[kgsztdnhbpmr]y?|sh|ch|ts|f|j|w|y)?[aiueoāīūēō]h?|n(?![aiueo]))+", re.IGNORECASE)


@functools.cache
def _romaji() -> frozenset[str]:
    return frozenset(_latin(reading) for reading in READINGS)


_KANA = (
    "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん"
    "がぎぐげござじずぜぞだぢづでどばびぶべぼぱぴぷぺぽ"
)
_SOUNDS = (
    "a i u e o ka ki ku ke ko sa shi su se so ta chi tsu te to na ni nu ne no ha hi fu he ho ma mi mu me mo ya yu yo "
    "ra ri ru re ro wa o n ga gi gu ge go za ji zu ze zo da ji zu de do ba bi bu be bo pa pi pu pe po"
)
_SYLLABLES = dict(zip(_KANA, _SOUNDS.split(), strict=True))


def _latin(reading: str) -> str:
    """Hepburn without marks for long vowels: さとう is sato."""
    text = "".join(_SYLLABLES.get(char, char) for char in reading)
    text = re.sub(r"i([ゃゅょ])", lambda m: "y" + "auo"["ゃゅょ".index(m[1])], text)
    text = re.sub(r"(sh|ch|j)y", r"\1", text)
    text = re.sub(r"っ(.)", r"\1\1", text)
    return re.sub(r"oo|ou", "o", text).replace("uu", "u")


def latin_name(raw: str, start: int, end: int) -> tuple[int, int] | None:
    """A name in Latin letters at a position, or None."""
    match = LATIN.match(raw, start)
    return match.span() if match and match.end() <= end + 24 and is_latin_name(match.group()) else None


def is_latin_name(text: str) -> bool:
    """Latin words of which one is a Japanese surname or a common name abroad, or that bear a title (Mr, Ms).

    >>> is_latin_name("Taro Yamada"), is_latin_name("SATO Hanako"), is_latin_name("Visual Studio")
    (True, True, False)
    """
    parts = [part for part in re.split(r"[ ,.]+", text) if part]
    if parts[0] in ("Mr", "Ms", "Mrs", "Dr"):
        return True
    plain = [re.sub(r"oo|ou|oh(?![aiueo])", "o", part.lower()) for part in parts]
    if any(part in _romaji() for part in plain):
        return all(_ROMAJI.fullmatch(part) or len(part) == 1 for part in parts)
    return any(part in _ABROAD for part in plain)
