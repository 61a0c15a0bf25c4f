"""Names of persons in labelled contexts: 氏名：山田 太郎, 担当：佐藤, フリガナ, the addressee 〜様 of a letter.

What stands behind a label is cut into words by the morphological dictionary (fugashi with unidic-lite, only on those
few characters): a surname or given name is evidence, a common word (設計, 必須, 営業部) is none. After 氏名 and its
like an unknown word also counts, since most fields that are filled hold a name; after 担当 it must be a name.
"""

import re
from collections.abc import Iterator

from jpfm.text.pii import fields, latin, people
from jpfm.text.pii.window import Span, Window

_OWNERS = (
    "患者|受験者|生徒|児童|園児|会員|本人|利用者|契約者|保護者|申請者|申込者|応募者|相談者|届出人|届出者|請求者|代表者|担当者|記入者|受診者|被保険者"
    "|世帯主|購入者|注文者|受取人|差出人|依頼人|依頼主|依頼者|保証人|緊急連絡先|学生|参加者|社員|職員|従業員|ご?家族|配偶者|選手|出演者|責任者|被害者|加害者|証人"
    "|ご?予約者|宿泊者|登録者|所有者|債務者|債権者|入居者|借主|貸主|加入者|振込|送り主|乗客|搭乗者|講師|寄付者|届出|署名|受給者|受益者|相続人|被相続人"
    "|運転者|運転手|使用者|作業者|発送者|発行者|作成者|報告者|お?客|お子|お届け先|ご注文主"
)
_STRONG = (
    rf"(?:氏 {{0,4}}名|お ?名 ?[前まえ]+|御 ?名 ?前|[ご御]芳名|姓 {{0,4}}名"
    rf"|(?:{_OWNERS})(?:様|さま)?の?(?:氏 ?名|お?名前|様名|名)"
    r"|(?:口座)?名義人?|フリガナ|フリカナ|ふりがな|カナ(?:氏名|名)?|かな(?:氏名)?|よみ(?:がな)?|読み(?:仮名|がな)?"
    r"|ﾌﾘｶﾞﾅ)"
)
_WEAK = (
    rf"(?:ご?担当[者名様]{{0,2}}|責任者|幹事|担任|(?:{_OWNERS})様?"
    r"|(?P<anyone>(?<![一-龯])(?!著者|作者|訳者|編者|筆者|翻訳者|監修者|原作者)[一-龯]{1,6}[者人]名?)|立会人|面談者"
    r"|(?P<marked>運転手|乗務員|店員|部員|看護師|弁護士|税理士|司法書士|行政書士|社労士|起票|署名|受付|受領|確認|検印|点検"
    r"|立会い?|届出|依頼|発言|(?<![一-龯ぁ-んァ-ヶー])[記甲乙丙])"
    r"|指導教員|教員|教諭|教授|当番|文責|係|顧問|監督|進行|報告|発表|作成|編集|撮影|承認|起案|照査|付添い?|引率"
    r"|後任|前任|紹介|推薦"
    r"|代表|会長|理事長?|監事|部長|課長|係長|主任|室長|所長|店長|校長|園長|院長|社長|専務|常務|取締役"
    r"|面接官|宛先|宛て先|宛名|宛|名前|記録|司会|書記|レビュアー|レビューアー?|出席者?|欠席者?|参加者?|講師|委員長?"
    r"|世話人|後見人|代理人|保証人|父|母|夫|妻|長男|長女"
    r"|窓口|問い?合わ?せ先|連絡先)"
)
_MARK = r"[ *\"」』]*(?:\([^)\n]{0,12}\))?[ *\"]*"
_COLON = (
    r"(?::|=|\||[】\]>→]|\.{2,}|[…‥]+|・{2,}|-{2,}|_+|(?:は|を)?[、 ]?(?:次|以下|下記|左記)の?(?:とおり|通り)?"
    r"(?:です|である|となります|でございます)?[。:]\n?)"
    r"[ \t|*「『“\".…_・-]*(?:\n[ *]{0,8}(?:[-・●○■◆*][ ]?)?)?"
)
_LABEL = re.compile(
    rf"(?=[一-龯ごおかふよカフﾌレ])(?:(?P<strong>{_STRONG})|(?P<weak>{_WEAK})){_MARK}(?:(?P<colon>{_COLON})"
    r"|(?P<loose>(?:として|[はがをで・/の,])[ 、「『“\"]{0,2}|[「『“(]"
    r"|[ \t]{1,6}[「『“]?|\n{1,2}[ *]*(?:[-・●○■◆*][ ]?)?))"
)
_LATIN_LABEL = re.compile(
    r"(?<![A-Za-z_-])(?:(?:Full |Customer |Your |Passenger |Guest |Patient |Employee |Account )?(?:[Nn]ame|NAME)|Attn"
    r"|Attention|Contact(?: [Pp]erson)?|Assignee|Assigned [Tt]o|Applicant|Recipient|Reporter|Reviewer|Signature"
    r"|Signed(?: [Bb]y)?|(?:Prepared|Approved|Submitted) [Bb]y|Participants|Attendees|Patient)"
    r"\.?[\"*]* ?(?:[:=|] ?[\"*]*|  ?)"
)
_STOP = re.compile(r"[\n\t、。，,;；:：|｜（）()「」『』【】\[\]<>＜＞\"'!?！？…※→/／=＝&＆_＿]")
_SPOKEN = re.compile(r"ご?担当|宛名|当番|文責|[受申]\w{1,2}者|責任者|[報作記発届差依]\w{1,2}[者人]|代表者|講師|司会")
_READINGS = ("カナ", "かな", "よみ", "よみがな", "読み", "読み仮名", "読みがな")
_NOTE = re.compile(r"[^（）()\n]{0,16}[）)][、，,・/／&＆]")
_FIELD = re.compile(r"[ 　]{2,}|[ 　](?=[一-龯ァ-ヶA-Za-z]{1,8}[:：])")
_NUMBERED = re.compile(
    r"[(（]?(?:[一二三四五六七八九十百千〇]{1,4}|[0-9０-９]{1,3}|[イロハニホヘトチリヌア-オ]|第[^ 　\n]{1,8})[)）]?"
    r"(?:の[一二三四五六七八九十]+)?[ 　\t.．、]"
)
"""The number of a clause or an item."""
_AFTER_NAME = re.compile(r"(?:さん|様|殿|氏|先生|君)?[ 　]*(?:$|[\n\t、，,・/／()（）|｜]|[ 　][^ 　\n]{1,12}[:：])")
_PLAIN = ":=|】]>→ \t\n"
_BULLET = re.compile(r"\n[ 　]*[-・●○■◆*][ 　]?")
_BEHIND = re.compile(
    rf"(?:さん|様|氏)? ?\((?:{_STRONG}|{_WEAK.replace('?P<anyone>', '?:').replace('?P<marked>', '?:')})\)"
    r"|(?:さん|様|氏|先生)?[がは](?:[^\n、。]{0,6}の)?(?:ご?担当|責任者|代表者|窓口|幹事|司会|当番)"
    r"(?:です|である|でした|でございます|と?なります|を?務め|者)"
)
_SEGMENT = re.compile(r"[^\n、。,:|()「」\t→=]{2,16}$")


def names(window: Window) -> Iterator[Span]:
    r"""Names behind labels, below headings, and before labels.

    >>> from jpfm.text.pii.window import window
    >>> w = window("氏名：山田 太郎　担当：佐藤、鈴木\n担当：営業部\n担当者名：経理課　高橋\n氏名：必須")
    >>> [w.raw[s.start : s.end] for s in names(w)]
    ['山田 太郎', '佐藤', '鈴木', '高橋']
    >>> w = window("氏名……山田 太郎\n佐藤（担当）\n氏名,部署\n鈴木健一,経理")
    >>> [w.raw[s.start : s.end] for s in names(w)]
    ['山田 太郎', '佐藤', '鈴木健一']
    """
    for start, end in sorted(set(_places(window))):
        if window.whole(start, end):
            yield Span("person_name", start, end - start)


def _places(window: Window) -> Iterator[tuple[int, int]]:
    raw, flat = window.raw, window.flat
    for label in _LABEL.finditer(flat):
        strong, weak, colon, loose = label.group("strong", "weak", "colon", "loose")
        if weak and label.start() and re.match(r"[ァ-ヶーA-Za-z]", raw[label.start() - 1]):
            continue
        if (label["anyone"] or label["marked"] or strong in _READINGS) and (colon or loose)[0] not in _PLAIN:
            continue  # ある一人……, そんなばかな……
        spoken = loose and loose[0] in "はがをで・のと"
        if spoken and not (strong or _SPOKEN.match(weak)):
            continue  # 社長・岡崎, 父は松平: a biography
        strict = colon is None and not (strong and loose.isspace())
        found = list(_values(raw, label.end(), strong=strong is not None, strict=strict))
        if found and "\n" in (colon or loose) and not _fills_its_line(raw, label.end(), found[-1][1]):
            continue  # the next clause of a statute or contract: 代表者の氏名 / 二　航空機の運航
        yield from found
        if not found:
            yield from _listed(window, *label.span("strong" if strong else "weak"), strong=strong is not None)
    for label in _LATIN_LABEL.finditer(flat):
        match = latin.LATIN.match(flat, label.end())
        if match:
            yield from [match.span()] if latin.is_latin_name(match.group()) else []
        elif label.group()[0].isupper() and re.search(r"[:=|]", label.group()) and '"' not in label.group():
            yield from _values(raw, label.end(), strong=False, strict=True)
    for label in _BEHIND.finditer(flat):
        segment = _SEGMENT.search(flat, max(0, label.start() - 16), label.start())
        found = list(people.in_phrase(raw, *segment.span(), strong=False, strict=True)) if segment else []
        if found and found[-1][1] == label.start():
            yield found[-1]


def _fills_its_line(raw: str, start: int, end: int) -> bool:
    """Whether a value on the line after its label is all of it, but for an honorific, a note or a next field."""
    return not _NUMBERED.match(raw, start) and _AFTER_NAME.match(raw, end) is not None


def _listed(window: Window, start: int, end: int, *, strong: bool) -> Iterator[tuple[int, int]]:
    """Names in the column below a heading, or in a list of values whose labels stand in a list."""
    for cells in (fields.column, fields.paired):
        for first, last in cells(window, start, end):
            for name in people.in_phrase(window.raw, first, last, strong=strong, strict=not strong):
                yield name
                break


def _values(raw: str, start: int, *, strong: bool, strict: bool) -> Iterator[tuple[int, int]]:
    """Names from a position on: one, or several joined by commas, dots or the bullets of a list."""
    bulleted = raw[start - 2 : start].strip(" 　")[-1:] in ("-", "・", "●", "○", "■", "◆", "*")
    for _ in range(40):
        foreign = latin.LATIN.match(raw, start)
        if foreign and strong and not strict:
            yield foreign.span()
            return
        stop = _STOP.search(raw, start, min(len(raw), start + 40))
        end = stop.start() if stop else min(len(raw), start + 40)
        if stop and stop.group() in ":：" and "\n" in raw[max(0, start - 4) : start]:
            return  # the next field's label
        field = _FIELD.search(raw, start, end)
        if field and field.start() > start:
            end = field.start()
        found = False
        for name_start, name_end in people.in_phrase(raw, start, end, strong=strong, strict=strict):
            found = True
            yield name_start, name_end
        bullet = _BULLET.match(raw, end) if bulleted and found else None
        if bullet:
            start = bullet.end()
            continue
        if stop is None or end != stop.start() or stop.group() not in "、，,/／&＆（(" or (strict and not found):
            return
        strong = False  # only the first may be an unknown word
        start = stop.end()
        if stop.group() in "（(" and found:  # 佐藤（経理部）、小林
            note = _NOTE.match(raw, start)
            if not note:
                return
            start = note.end()
        while start < len(raw) and raw[start] in " 　":
            start += 1


_LETTER = re.compile(r"(?:(?<=\n)|^)(?P<line>[^\n。、！？!?「」]{1,24}?)[ 　]{0,2}(?:様|殿)(?=[\n \u3000、，,]|$)")


def addressees(window: Window) -> Iterator[Span]:
    """Whom a letter addresses at the head of a line: 営業課 戸狩様; not お客様, 皆様.

    >>> from jpfm.text.pii.window import window
    >>> w = window("見本商事株式会社\\n営業課 戸狩様\\n\\nお客様\\n保護者様\\n山田 花子 様")
    >>> [w.raw[s.start : s.end] for s in addressees(w)]
    ['戸狩', '山田 花子']
    """
    for match in _LETTER.finditer(window.raw):
        if match.start() == 0 and window.cut_left:
            continue
        found = list(people.in_phrase(window.raw, match.start("line"), match.end("line"), strong=False, strict=False))
        if found and found[-1][1] == match.end("line"):
            start, end = found[-1]
            yield Span("person_name", start, end - start)


OFFICES = (
    r"(?:内閣総理大臣|総理大臣|首相|[一-龯]{0,6}(?:担当)?副?大臣(?:政務官)?|(?:[一-龯]{1,4}[都道府県])?知事"
    r"|[一-龯ぁ-んァ-ヶ]{0,6}[市区町村]長"
    r"|(?:衆議院|参議院|[都道府県市区町村]+議会)?(?:議長|議員)|[一-龯]{1,6}長官|大統領|最高裁判所[一-龯]{0,3}裁判官"
    r"|[一-龯]{0,6}総裁)"
)
_OFFICE = re.compile(rf"{OFFICES}[ 　・:：（(]{{0,2}}(?=[一-龯])")


def officials(window: Window) -> Iterator[Span]:
    """Names behind a public office (内閣総理大臣 山田太郎): public figures, asked for only when they are to go too.

    >>> from jpfm.text.pii.window import window
    >>> w = window("内閣総理大臣 山田太郎が述べ、見本県知事の会見で")
    >>> [w.raw[s.start : s.end] for s in officials(w)]
    ['山田太郎']
    """
    for match in _OFFICE.finditer(window.raw):
        for start, end in _values(window.raw, match.end(), strong=False, strict=True):
            yield Span("person_name", start, end - start)
            break
