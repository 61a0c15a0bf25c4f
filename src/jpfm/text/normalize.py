"""One written form for one character, without changing what a text says.

    column = normalize(batch.column("text"))                              # the defaults
    column = normalize(column, NormalizeRules(ruby=True, nfc=False))      # every rule is a switch
    column, edits = normalize(column, spans=True)                         # and what was changed, where, by which rule

NFC and an explicit table (`text.width`). Not NFKC: that turns ㎡ into m2, ① into 1, ㈱ into (株), … into ... and merges
name variants. Idempotent with any switches. One Numba pass (`text.rewrite`); code in Markdown text is left alone.
"""

import functools
from typing import Annotated, Any, Literal, overload

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

from jpfm.core.config import Settings
from jpfm.core.errors import DataError
from jpfm.text import rewrite as kernel
from jpfm.text.fences import STATE
from jpfm.text.kernels import TextBuffers, buffers
from jpfm.text.width import RULES, Tables, tables


class NormalizeRules(Settings):
    """What `normalize` changes. Rules that could change what a text says are off.

    Characters to characters:

    >>> def only(text, **switches): return normalize_text(text, NormalizeRules.none(**switches))
    >>> only("ＡＢｃ１２３（株）！", fullwidth_alnum=True)
    'ABc123（株）！'
    >>> only("（株）！？％～－", fullwidth_punctuation=True)
    '(株)!?%~-'
    >>> only("ｶﾞｿﾘﾝ･ﾊﾟｰﾂ｡ｱﾞ", halfwidth_kana=True)
    'ガソリン・パーツ。ア゛'
    >>> only("か゛くせい、ハ゜ン、あ゛", stray_voicing_marks=True)
    'がくせい、パン、あ゛'
    >>> only("９時～５時〜", wave_dash=True)
    '９時〜５時〜'
    >>> only("03－1234、−5℃、1914–1918年", minus_sign=True)
    '03−1234、−5℃、1914–1918年'
    >>> only("e‐mail、e‑mail、1914–1918年", hyphens=True)
    'e-mail、e-mail、1914–1918年'
    >>> only("それは――いや", dashes=True)
    'それは——いや'
    >>> only("∥脚注∥", double_bar=True)
    '‖脚注‖'
    >>> only("￠￡￢￥", cp932_signs=True)
    '¢£¬￥'
    >>> only("東京\\u00a0都\\u2009内　外", spaces=True)
    '東京 都 内　外'
    >>> only("　段落　字間", ideographic_space=True)
    ' 段落 字間'
    >>> only("▁東京", sentencepiece_mark=True)
    '_東京'
    >>> only("か\\u3099, 神", nfc=True)
    'が, 神'
    >>> only("神", nfc=True, keep_compatibility_ideographs=False)
    '神'

    Characters that nobody sees:

    >>> only("東\\u200b京\\ufeff👨\\u200d👧葛\\U000e0100城", zero_width=True) == "東京👨\\u200d👧葛\\U000e0100城"
    True
    >>> only("東\\u202e京\\u2069", bidi_controls=True)
    '東京'
    >>> only("東\\x00京\\x0b\\x9f\\t都", controls=True)
    '東京\\t都'

    Leftovers:

    >>> only("吾輩《わがはい》は｜Ｃａｔ《キャット》、《春》", ruby=True)
    '吾輩はＣａｔ、《春》'
    >>> only("頓珍漢（とんちんかん）な(株)", reading_parentheses=True)
    '頓珍漢な(株)'
    >>> only("えーーーーー！！！！！", repeated_marks=True, repeated_marks_limit=3)
    'えーーー！！！'

    Lines:

    >>> only("一\\r\\n二\\u2028三\\r", line_ends=True)
    '一\\n二\\n三\\n'
    >>> only("行末 　\\t\\n　次", trailing_spaces=True)
    '行末\\n　次'
    >>> only("\\n\\n一\\n\\n\\n\\n二\\n\\n三\\n", blank_lines=True)
    '一\\n\\n二\\n\\n三'

    Exempt:

    >>> only("Ａ\\n```\\nＢ\\n```\\nＣ", fullwidth_alnum=True, keep_fenced_code=True)
    'A\\n```\\nＢ\\n```\\nC'
    >>> only("Ａ\\n\\n    Ｂ\\n　　Ｃ", fullwidth_alnum=True, keep_indented_code=True)
    'A\\n\\n    Ｂ\\n　　C'
    """

    fullwidth_alnum: bool = True
    """Ａ-Ｚａ-ｚ０-９ to ASCII."""
    fullwidth_punctuation: bool = False
    """！ to ～ (U+FF01-FF5E without letters and digits) to ASCII. Off: （）！？ are how Japanese is written."""
    halfwidth_kana: bool = True
    """ｱ to ア, ｶﾞ to ガ, ｡｢｣､･ｰ to 。「」、・ー; a ﾞ without a kana that takes it to ゛."""
    stray_voicing_marks: bool = True
    """か゛ and カﾞ to が and ガ, where one character for it exists."""
    wave_dash: bool = True
    """～ (U+FF5E, how CP932 is read) to 〜 (U+301C, how JIS is read)."""
    minus_sign: bool = True
    """－ (U+FF0D) to − (U+2212): one sign, read by two tables. The ASCII - and dashes stay."""
    hyphens: bool = False
    """‐ (U+2010), ‑ (U+2011) and ﹣ (U+FE63) to the ASCII hyphen. Ranges with – (U+2013) stay."""
    dashes: bool = False
    """― (U+2015, CP932) to — (U+2014, JIS). The en dash of ranges and ─ of boxes stay."""
    double_bar: bool = False
    """∥ (U+2225, CP932) to ‖ (U+2016, JIS). Off: in text that was never CP932, ∥ says that lines are parallel."""
    cp932_signs: bool = True
    """￠￡￢ to ¢£¬: one sign, read by two tables. ￥ stays."""
    spaces: bool = True
    """No-break, en, em, figure, thin, hair and narrow spaces to an ASCII space. The ideographic space stays."""
    ideographic_space: bool = False
    """The ideographic space to an ASCII space. Off: it indents Japanese paragraphs."""
    sentencepiece_mark: bool = True
    """▁ (U+2581), with which SentencePiece writes a space, to _."""
    nfc: bool = True
    """Canonical composition: か + U+3099 to が, e + U+0301 to é, Å (U+212B) to Å."""
    keep_compatibility_ideographs: bool = True
    """NFC leaves U+F900-FAFF and U+2F800-2FA1F alone: 神 and 神 tell two families apart."""
    zero_width: bool = True
    """Zero-width spaces, soft hyphen, word joiner, U+FEFF are removed; U+200D too where no emoji stands before it.
    Variation selectors stay."""
    bidi_controls: bool = True
    """Marks, embeddings, overrides and isolates of writing direction are removed."""
    controls: bool = True
    """C0 and C1 control characters are removed, also in code; tab and line ends stay."""
    ruby: bool = False
    """Aozora ruby: 《かな》 after kanji, or after letters from ｜ on, is removed, with the ｜. Off: 代表作《ひまわり》
    names a picture; the Aozora source knows its own ruby."""
    reading_parentheses: bool = False
    """（かな） and (かな) after kanji are removed. Off: 東京（とうきょう） is normal prose, and says how."""
    repeated_marks: bool = False
    """A run of one of ！？!?。、．，…‥ー〜・☆★♪♡♥ keeps `repeated_marks_limit` of them. ASCII rules and dots stay."""
    repeated_marks_limit: Annotated[int, pydantic.Field(ge=1, le=1000)] = 8
    line_ends: bool = True
    """CR LF, CR, NEL, U+2028 and U+2029 to LF, also in code. Off: only LF ends a line."""
    trailing_spaces: bool = True
    """Spaces, tabs and ideographic spaces at the end of a line are removed."""
    blank_lines: bool = True
    """Of two or more blank lines one stays; none at the start and no line end at the end of a document."""
    keep_fenced_code: bool = True
    """Lines between closed fences (``` or ~~~, `text.fences`) are exempt from all rules but controls and line ends."""
    keep_indented_code: bool = False
    """So are lines after a blank line that begin with four spaces or a tab. Off: much Japanese text is set that way."""

    @classmethod
    def none(cls, **switches: bool | int) -> "NormalizeRules":
        """Every rule and exemption off but for the given ones, except `keep_compatibility_ideographs`."""
        off = {name: False for name, value in cls().model_dump().items() if isinstance(value, bool)}
        return cls.model_validate(off | {"keep_compatibility_ideographs": True} | switches)


DEFAULT = NormalizeRules()


@functools.lru_cache(maxsize=64)
def _tables(rules: NormalizeRules) -> Tables:
    return tables(
        frozenset(name for name in RULES if name and getattr(rules, name)),
        keep_ideographs=rules.keep_compatibility_ideographs,
        fenced_code=rules.keep_fenced_code,
        indented_code=rules.keep_indented_code,
        repeat_limit=rules.repeated_marks_limit,
    )


@overload
def normalize(column: pa.Array, rules: NormalizeRules = ..., *, spans: Literal[False] = ...) -> pa.Array: ...
@overload
def normalize(column: pa.Array, rules: NormalizeRules = ..., *, spans: Literal[True]) -> tuple[pa.Array, pa.Table]: ...
def normalize(
    column: pa.Array, rules: NormalizeRules = DEFAULT, *, spans: bool = False
) -> pa.Array | tuple[pa.Array, pa.Table]:
    """Normalise a column of text.

    >>> normalize(pa.array(["ｶﾞｿﾘﾝ１００㎡　㈱Ａ社～か\\u3099"]))[0].as_py()
    'ガソリン100㎡　㈱A社〜が'
    >>> normalize(pa.array(["２０㎡"]), spans=True)[1].to_pylist()
    [{'row': 0, 'rule': 'fullwidth_alnum', 'start': 0, 'length': 2, 'before': '２０', 'after': '20'}]

    Args:
        column: string array without nulls.
        spans: also return what changed.
    Returns:
        A string array of the same length; normalising it again changes nothing. With `spans` also a table of edits in
        the order of the text: row, rule, start and length in characters of the row as it was, before, after. Edits do
        not overlap; making them in the input gives the output.
    Raises:
        TypeError: not a string column, or nulls.
        DataError: the result has 2 GiB or more.
    """
    view = buffers(column)
    size = int(view.offsets[-1] - view.offsets[0])
    out: npt.NDArray[np.uint8] = np.empty(size + 64, dtype=np.uint8)
    origin = np.empty(len(out) if spans else 1, dtype=np.int32)
    edits = np.empty((max(64, len(column)), len(kernel.EDIT_FIELDS)), dtype=np.int64)
    out_offsets = np.zeros(len(column) + 1, dtype=np.int64)
    state = np.empty(STATE, dtype=np.int64)
    row, count, status = 0, 0, kernel.MORE_OUT
    while status != kernel.DONE:
        row, count, status = kernel.rewrite(
            view.offsets, view.data, _tables(rules), spans, out, origin, edits, out_offsets, state, row, count
        )
        if status == kernel.MORE_OUT:
            out, origin = _twice(out), _twice(origin)
        elif status == kernel.MORE_EDITS:
            edits = _twice(edits)
    text = _strings(out, out_offsets)
    return (text, _edits(edits[:count], view, out)) if spans else text


def normalize_text(text: str, rules: NormalizeRules = DEFAULT) -> str:
    """Normalise one text; for columns use `normalize`.

    >>> normalize_text("ﾃﾞｰﾀは１０％")
    'データは10％'
    """
    return str(normalize(pa.array([text], pa.string()), rules)[0].as_py())


def _twice(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate((array, np.empty_like(array)))


def _strings(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> pa.Array:
    if offsets[-1] >= 2**31:
        raise DataError(
            f"normalised text of {len(offsets) - 1} rows: {offsets[-1]} bytes, a string column holds less than 2 GiB",
            hint="normalise smaller batches",
        )
    sizes = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.string(), len(offsets) - 1, [None, sizes, pa.py_buffer(data[: offsets[-1]])])


@numba.njit(cache=True, nogil=True)
def _gather(data, starts, ends, out):  # type: ignore[no-untyped-def]
    at = 0
    for index in range(starts.shape[0]):
        for position in range(starts[index], ends[index]):
            out[at] = data[position]
            at += 1


def _slices(data: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> pa.Array:
    offsets = np.concatenate(([0], np.cumsum(ends - starts)))
    out = np.empty(offsets[-1], dtype=np.uint8)
    _gather(data, starts, ends, out)
    return _strings(out, offsets)


def _edits(edits: npt.NDArray[np.int64], view: TextBuffers, out: npt.NDArray[np.uint8]) -> pa.Table:
    names = pa.DictionaryArray.from_arrays(pa.array(edits[:, kernel.RULE].astype(np.int8)), pa.array(RULES))
    return pa.table(
        {
            "row": edits[:, kernel.ROW],
            "rule": names.cast(pa.string()),
            "start": edits[:, kernel.START],
            "length": edits[:, kernel.LENGTH],
            "before": _slices(view.data, edits[:, kernel.IN_START], edits[:, kernel.IN_END]),
            "after": _slices(out, edits[:, kernel.OUT_START], edits[:, kernel.OUT_END]),
        }
    )
