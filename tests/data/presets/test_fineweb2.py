"""fineweb2-jpn against the installed datatrove filters with the published settings: verdict and reason."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from jpfm.data.document import Document, to_batch
from jpfm.data.steps.presets.fineweb2 import DIFFERENCES, Fineweb2Jpn
from jpfm.data.steps.signals import Characters
from jpfm.data.steps.word_signals import Words

pytest.importorskip("datatrove", reason="datatrove is not installed")
pytest.importorskip("sudachipy", reason="SudachiPy is not installed")
pytest.importorskip("spacy", reason="datatrove splits Japanese through spaCy")

Reasons = Callable[..., list[str | None]]
PRESET = Fineweb2Jpn(step="fineweb2-jpn")
SIGNALS = (Characters(step="characters"), Words(step="words", segmenter="sudachi"))


def _filters() -> list[Any]:
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

    language = "jpn_Jpan"
    stop_words = ["の", "に", "を", "は", "た", "て", "が", "と", "で", "年", "し", "・", "月", "れ", "さ"]
    return [
        GopherRepetitionFilter(
            language=language, dup_para_frac=0, dup_line_char_frac=0, dup_para_char_frac=0, dup_line_frac=0.328,
            top_n_grams=((2, 0.239), (3, 0.196), (4, 0.172)),
            dup_n_grams=((5, 0.243), (6, 0.225), (7, 0.207), (8, 0.19), (9, 0.175), (10, 0.159)),
        ),
        FineWebQualityFilter(
            language=language, short_line_thr=999, char_duplicates_ratio=0.1, line_punct_thr=0.096, new_line_ratio=0.13
        ),
        GopherQualityFilter(
            language=language, max_avg_word_length=6, min_avg_word_length=1, stop_words=stop_words,
            max_non_alpha_words_ratio=0.759, min_stop_words=2,
        ),
    ]  # fmt: skip


def _theirs(text: str, filters: list[Any]) -> str | None:
    from datatrove.data import Document as Theirs

    for rule in filters:
        verdict = rule.filter(Theirs(text=text, id="0"))
        if verdict is not True:
            return str(verdict[1])
    return None


def test_the_verdicts_and_reasons_are_those_of_datatrove(texts: list[str], reasons: Reasons) -> None:
    filters = _filters()
    words = "言葉を並べただけの文が続く。"
    sample = [
        *texts, f"{words}...\n" * 9, f"{words}# #\n" * 40, "\n".join(f"#{n} {words}" for n in range(30)),
        "".join(f"{chr(0x4E00 + 91 * n)}と{chr(0x5E00 + 57 * n)}の…話を" for n in range(60)) + "。",
        "".join(f"{n * 7919}+{n * 104729}=" for n in range(60)) + "。",
        "".join(f"{n}番目の地方自治体等連絡協議会。" for n in range(70)),
        "".join(chr(0x4E00 + k * 7919 % 8000) + "。" for k in range(300)),
        "".join(f"Supercalifragilistic{n}expialidocious。" for n in range(80)),
    ]  # fmt: skip
    found = reasons(sample, *SIGNALS, PRESET)
    expected = [_theirs(text, filters) for text in sample]
    wrong = [(sample[n][:60], a, b) for n, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
    assert wrong == []
    counts = Counter(found)
    assert counts[None] > 50
    assert len(counts) >= 12, counts


def test_every_rule_alone(texts: list[str]) -> None:
    """Each rule's verdict, not only the first that fails: all others of datatrove are switched off."""
    from datatrove.data import Document as Theirs
    from datatrove.pipeline.filters import GopherQualityFilter

    off: dict[str, Any] = {
        "min_doc_words": 0, "max_doc_words": 0, "min_avg_word_length": 0, "max_avg_word_length": 0,
        "max_symbol_word_ratio": 0, "max_bullet_lines_ratio": 0, "max_ellipsis_lines_ratio": 0,
        "max_non_alpha_words_ratio": 0, "min_stop_words": 0, "language": "jpn_Jpan",
        "stop_words": list(Words(step="words").stop_words),
    }  # fmt: skip
    sample = ["\n".join(f"• 項目{n}" for n in range(60)), *(text for text in texts if text.strip())][::3]
    batch = to_batch([Document(str(n), text) for n, text in enumerate(sample)], "s", "CC0-1.0")
    for step in SIGNALS:
        batch = step.run(batch).batch
    rules = {
        "min_doc_words": ("num_words", 50, False), "max_avg_word_length": ("mean_word_chars", 2.0, True),
        "max_symbol_word_ratio": ("ellipses_per_word", 0.1, True),
        "max_bullet_lines_ratio": ("bullet_line_share", 0.9, True),
        "max_ellipsis_lines_ratio": ("trailing_line_share", 0.3, True),
        "max_non_alpha_words_ratio": ("alphabetic_word_share", 0.759, False),
        "min_stop_words": ("num_stop_words", 2, False),
    }  # fmt: skip
    filters = {name: GopherQualityFilter(**(off | {name: rule[1]})) for name, rule in rules.items()}
    theirs = [  # all rules of a text in a row: datatrove remembers the words of the last few
        {name: rule.filter(Theirs(text=text, id="0")) is not True for name, rule in filters.items()} for text in sample
    ]
    for setting, (column, threshold, is_maximum) in rules.items():
        values = batch.column(column).to_pylist()
        ours = [value > threshold if is_maximum else value < threshold for value in values]
        if setting == "max_symbol_word_ratio":
            ours = [a or b > threshold for a, b in zip(ours, batch.column("hashes_per_word").to_pylist(), strict=True)]
        assert ours == [verdicts[setting] for verdicts in theirs], setting
        assert any(ours), setting


def test_fugashi_gives_other_words_and_the_same_columns(reasons: Reasons) -> None:
    text = "外国人参政権の話を聞いた。" * 3
    columns = {}
    for segmenter in ("fugashi", "sudachi"):
        step = Words.model_validate({"step": "words", "segmenter": segmenter})
        columns[segmenter] = step.run(to_batch([Document("0", text)], "s", "CC0-1.0")).batch
    assert columns["fugashi"].schema == columns["sudachi"].schema
    assert all(batch.column("num_words")[0].as_py() >= 15 for batch in columns.values())
    assert reasons([text], Characters(step="characters"), Words(step="words"), PRESET) == ["top_2_gram"]


def test_the_listed_difference_is_real(reasons: Reasons) -> None:
    (language,) = DIFFERENCES
    assert "language_score" not in Fineweb2Jpn.model_fields
    assert reasons([language.example * 9], *SIGNALS, PRESET) == [_theirs(language.example * 9, _filters())]
