"""Where personal data may stand: one Numba pass over the UTF-8 bytes, so that text without any costs only the pass.

    hits = scan(column, wanted={EMAIL, PHONE})     # (n, 3) int64: row, byte offset in the column's data, kind

A hit is a place worth a closer look, never a verdict: runs of digits that add up to a phone, card or account number,
    an
`@` between letters, a label such as 氏名 with its colon,
    a block number behind a city. What is cheap to exclude by shape
is excluded here (`tokens.py`, `shapes.py`), because each hit costs some ten microseconds of Python in `find.py`.
"""

from collections.abc import Set
from typing import Any, NamedTuple

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from jpfm.text.kernels import buffers
from jpfm.text.pii import shapes, tokens

# what a hit may turn out to be
PHONE, EXTENSION, EMAIL, POSTAL, BLOCK, LONG, BANK, PASSPORT, RESIDENCE, IP, URL, NAME, LETTER, BIRTH, OFFICE = range(
    15
)
NUM_KINDS = 15
# words that only prepare: a number soon after them counts
_BANK_WORD, _CITY, _EXTENSION_WORD, _BORN, _NAME_SPACE, _NAME_COLON = range(20, 26)
# actions on a character; from _WORDS on, the group of keywords that begin with it
_DIGIT, _AT, _COLON, _NEWLINE, _ZERO, _OPEN = range(1, 7)
_WORDS = 16

_KEYWORDS: dict[int, str] = {
    POSTAL: "〒 郵便番号",
    BLOCK: "丁目 番地 番",
    BIRTH: "生年月日 誕生日 生　年 生_年 生年 出生日 出生年 年月日生 Birth birth BIRTH DOB D.O.B",
    _BORN: "生 うま 出生",
    BANK: "口座 口座番号 口座No 口座Ｎｏ 口座_No",
    LETTER: "様 殿",
    NAME: "氏名 氏　名 氏　　名 氏_名 氏__名 お名前 お名まえ 名前 姓名 姓　名 名義 担当 宛名 当番 文責 "
    "フリガナ ふりがな ﾌﾘｶﾞﾅ フリカナ",
    _NAME_SPACE: "者 名 主 宛先 宛て先 幹事 記録 司会 書記 出席 欠席 講師 担任 窓口 レビュアー 教員 教諭 署名 届出 "
    "出人 取人 頼人 証人 理人 請人",
    _NAME_COLON: "人 宛 カナ かな 読み よみ 委員 先 係 教授 顧問 監督 進行 報告 発表 作成 編集 撮影 承認 起案 照査 "
    "付添 付添い 引率 後任 前任 紹介 推薦 代表 会長 理事 理事長 監事 部長 課長 係長 主任 室長 所長 店長 校長 園長 "
    "院長 社長 専務 常務 取締役 レビューア 起票 受付 受領 確認 検印 点検 立会 発言 依頼 甲 乙 丙 記 "
    "運転手 員 看護師 護士 理士 書士 医師 "
    "Name name NAME Attn Contact Assignee Applicant Recipient Reporter Reviewer Signature Participants Attendees "
    "Patient",
    OFFICE: "大臣 首相 知事 市長 区長 町長 村長 議員 議長 長官 大統領 総裁 裁判官",
    _BANK_WORD: "口座 口_座 口　座 Account account ACCOUNT A/C Acct 普通 当座 貯蓄 記号 普） 普) ゆうちょ",
    _CITY: "市 区 町 村 郡 區",
    _EXTENSION_WORD: "内線",
}  # fmt: skip


class _Tables(NamedTuple):
    first: npt.NDArray[np.uint16]
    groups: npt.NDArray[np.int32]
    starts: npt.NDArray[np.int32]
    letters: npt.NDArray[np.uint8]
    kinds: npt.NDArray[np.int32]


def _tables() -> _Tables:
    first = np.zeros(65536, dtype=np.uint16)
    for chars, action in (("0123456789０１２３４５６７８９", _DIGIT), ("@＠★☆●◎■◆", _AT), (":：", _COLON), ("\n",
        _NEWLINE),
                          ("〇", _ZERO), ("[({<（［＜【｛", _OPEN)):  # fmt: skip
        for char in chars:
            first[ord(char)] = action
    entries = []
    for kind, line in _KEYWORDS.items():
        entries += [(word.replace("_", " "), kind) for word in line.split(" ")]  # a label may hold a space itself
    entries.sort()
    groups, starts, letters = [0], [0], b""
    for position, (word, _) in enumerate(entries):
        letters += word.encode()
        starts.append(len(letters))
        if position + 1 == len(entries) or entries[position + 1][0][0] != word[0]:
            first[ord(word[0])] = _WORDS + len(groups) - 1
            groups.append(position + 1)
    as_int = [np.array(values, dtype=np.int32) for values in (groups, starts, [kind for _, kind in entries])]
    return _Tables(first, as_int[0], as_int[1], np.frombuffer(letters, dtype=np.uint8), as_int[2])


_TABLES = _tables()
_jit: Any = numba.njit(cache=True, nogil=True)


@_jit
def _word_kind(data, position, after, begin, line, end, kind, city):  # type: ignore[no-untyped-def]
    """The kind of hit that a keyword is here, or -1."""
    if kind == BLOCK:
        return BLOCK if position - city < 130 and shapes.follows_number(data, position, begin) else -1
    if kind == _BORN:
        return BIRTH if shapes.follows_date(data, position, begin) else -1
    if kind == BANK:
        return BANK if shapes.ends_cell(data, after, end) or shapes.is_near_number(data, position, begin) else -1
    if kind == LETTER:
        return LETTER if position - line <= 75 and shapes.ends_address_line(data, after, end) else -1
    if kind == NAME or kind >= _NAME_SPACE:
        return NAME if shapes.is_label(data, after, end, kind == NAME, kind == _NAME_SPACE) else -1
    return kind


@_jit
def _scan(offsets, data, first, groups, starts, letters, kinds, wanted, out):  # type: ignore[no-untyped-def]
    token = np.zeros((tokens.MAX_GROUPS, 4), dtype=np.int64)
    found = np.zeros(16, dtype=np.int64)
    count = 0
    for row in range(offsets.shape[0] - 1):
        begin, end = offsets[row], offsets[row + 1]
        position, line = begin, begin
        bank = city = extension = begin - 100_000
        while position < end:
            point, following = tokens.point_at(data, position)
            action = first[point] if point < 65536 else 0
            if action == 0:
                position = following
                continue
            many = 0
            if action == _DIGIT or (action == _ZERO and tokens.is_spelled_phone(data, position, end)):
                groups_of, following = tokens.read_token(data, position, end, token, action == _ZERO)
                many = tokens.judge_token(
                    data, position, following, begin, end, token, groups_of,
                    position - bank < 160, position - city < 130, position - extension < 30, found,
                )  # fmt: skip
            elif action == _NEWLINE:
                line = following
            elif action == _AT:
                found[0] = EMAIL
                many = int(shapes.joins_mail(data, position, following, begin, end))
            elif action == _OPEN:
                found[0] = EMAIL
                many = int(shapes.spells_at(data, following, end))
            elif action == _COLON:
                found[0] = URL if shapes.is_secret_url(data, position, end) else IP
                many = int(found[0] == URL or shapes.is_ipv6(data, position, begin, end))
            elif action >= _WORDS:
                for word in range(groups[action - _WORDS], groups[action - _WORDS + 1]):
                    after = shapes.match(data, position, end, letters, starts[word], starts[word + 1])
                    if after < 0:
                        continue
                    kind = kinds[word]
                    if kind == _CITY:
                        city = after
                    elif kind == _BANK_WORD:
                        bank = after
                    elif kind == _EXTENSION_WORD:
                        extension = after
                    else:
                        found[many] = _word_kind(data, position, after, begin, line, end, kind, city)
                        many += int(found[many] >= 0)
            for index in range(many):
                if wanted[found[index]]:
                    if count < out.shape[0]:
                        out[count, 0], out[count, 1], out[count, 2] = row, position, found[index]
                    count += 1
            position = following
    return count


def scan(column: pa.Array, wanted: Set[int]) -> npt.NDArray[np.int64]:
    """Places that may hold personal data, in text order.

    Args:
        column: string array without nulls.
        wanted: the kinds of hit to report, such as {PHONE, EMAIL}.
    Returns:
        Shape (n, 3): row, byte offset in the column's data buffer, kind.
    """
    view = buffers(column)
    asked = np.zeros(NUM_KINDS, dtype=np.bool_)
    asked[list(wanted)] = True
    out = np.empty((1024 + view.data.size // 256, 3), dtype=np.int64)
    count = _scan(view.offsets, view.data, *_TABLES, asked, out)
    if count > out.shape[0]:
        out = np.empty((count, 3), dtype=np.int64)
        _scan(view.offsets, view.data, *_TABLES, asked, out)
    return out[:count]
