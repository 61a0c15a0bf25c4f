"""Repeated passages: against a brute-force oracle, and what a reader finds where one was cut."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.corpus_steps import Decided, run_step

from jpfm.core.errors import ArtifactError
from jpfm.core.shards import Engine
from jpfm.data.document import EDITS, Document, to_batch
from jpfm.data.steps.base import Before, Changed, Sketched
from jpfm.data.steps.repeated_substrings import REPEATED, RepeatedSubstrings
from jpfm.text.dedup_key import KeyRules, keys

TERMS = (
    "本サービスの利用により生じた損害について、当社は一切の責任を負いません。"
    "利用者は自らの責任において本サービスを利用するものとします。"
    "当社は利用者に通知することなく内容を変更することがあります。"
)
PROSE = "朝の市場は八時に始まる。魚を並べる人の声が高く、氷の匂いがした。わたしは籠を持って端から歩いた。"
TAILS = ("はじめの文書である。", "つぎの文書である。", "おわりの文書となる。")
OTHER = "山道を登りきると小屋があり、煙突から細い煙が立っていた。戸を叩いても返事はなく、犬だけが顔を出した。"


def _batch(texts: list[str], first: int = 0) -> pa.RecordBatch:
    return to_batch([Document(f"s/{n}", text) for n, text in enumerate(texts, first)], "s", "CC0-1.0")


def _texts(changed: Changed) -> list[str]:
    return [str(text) for text in changed.batch.column("text").to_pylist()]


def _step(**settings: object) -> RepeatedSubstrings:
    return RepeatedSubstrings.model_validate({"step": "repeated_substrings", "size": 40, "window": 10} | settings)


def test_a_passage_stays_where_it_stands_first(tmp_path: Path) -> None:
    texts = [
        f"{PROSE}{TERMS}{OTHER}",
        f"{OTHER[:20]}ところで。{TERMS}以上が規約だ。",
        f"規約の全文。\n\n{TERMS}\n\n{PROSE[:24]}",
    ]
    results = run_step(_step(), tmp_path, *(_batch([text], n) for n, text in enumerate(texts)))
    after = [text for result in results for text in _texts(result)]
    assert after == [texts[0], f"{OTHER[:20]}ところで。以上が規約だ。", f"規約の全文。\n\n{PROSE[:24]}"]
    edits = pa.concat_tables([result.edits for result in results])
    assert edits.schema == EDITS
    for edit in edits.to_pylist():
        text = texts[int(edit["id"][2:])]
        assert text[edit["start"] : edit["start"] + edit["length"]] == TERMS
        assert (edit["step"], edit["kind"]) == ("repeated_substrings", "repeated_substring")


def test_every_copy_can_go_and_enough_documents_must_have_it(tmp_path: Path) -> None:
    batch = _batch([f"{n}番目。{TERMS}{TAILS[n]}" for n in range(3)])
    (result,) = run_step(_step(keep_first=False), tmp_path, batch)
    first, *others = _texts(result)
    assert others == [f"{n}番目。{TAILS[n]}" for n in (1, 2)]
    assert first.endswith(TAILS[0])
    assert TERMS.split("。")[1] not in first  # of the first document's own copy the ends may stay
    (result,) = run_step(_step(minimum_documents=4), tmp_path, batch)
    assert result.edits.num_rows == 0
    (result,) = run_step(_step(), tmp_path, _batch([TERMS + PROSE + TERMS, OTHER]))
    assert result.edits.num_rows == 0  # twice in one document is for `repeats`


def test_width_spaces_and_punctuation_make_no_difference_but_numbers_do(tmp_path: Path) -> None:
    one = f"第1条（責任）{TERMS}電話ABC。"
    two = one.replace("。", "．\n").replace("ABC", "ＡＢＣ").replace("、", "，").replace("（責任）", " 責任 ")
    (result,) = run_step(_step(), tmp_path, _batch([one, two + "次の行"]))
    assert _texts(result) == [one, "次の行"]
    budget = "令和{}年度の一般会計予算の総額は歳入歳出それぞれ定めるところによるものとする。"
    (result,) = run_step(_step(size=30), tmp_path, _batch([budget.format(5), budget.format(6)]))
    assert result.edits.num_rows == 0  # no sentence is repeated as a whole


def test_parts_of_sentences_stay_unless_asked_for(tmp_path: Path) -> None:
    long = TERMS.replace("。", "")
    batch = _batch([f"甲は{long}と言った。", f"乙も{long}と答えた。"])
    (result,) = run_step(_step(), tmp_path, batch)
    assert result.edits.num_rows == 0
    (result,) = run_step(_step(whole_sentences=False), tmp_path, batch)
    assert _texts(result)[1] == "乙も答えた。"  # と is part of the passage


def test_list_marks_and_quotes_go_with_their_line(tmp_path: Path) -> None:
    terms = "".join(f"- 「{line}。」\n" for line in TERMS.split("。")[:3])
    (result,) = run_step(_step(), tmp_path, _batch([f"前書き\n\n{terms}\n後書き", f"はじめに\n\n{terms}\n> おわりに"]))
    assert _texts(result)[1] == "はじめに\n\n> おわりに"


def test_fenced_code_stays(tmp_path: Path) -> None:
    code = '```cpp\n#include <iostream>\nint main() { std::cout << "こんにちは世界" << std::endl; return 0; }\n```'
    batch = _batch([f"{n}\n{code}\n{TERMS}" for n in range(2)])
    (result,) = run_step(_step(), tmp_path, batch)
    assert _texts(result)[1] == f"1\n{code}"
    (result,) = run_step(_step(code=True), tmp_path, batch)
    assert _texts(result)[1] in ("", "1")


def test_what_lies_after_code_is_found_at_its_place(tmp_path: Path) -> None:
    """Places in the key are of a stretch of prose, not of the document."""
    texts = [f"{TERMS}", f"説明𠮷。\n```\nx = 1\n```\n続き。{TERMS}終わりです。\n~~~\ny\n~~~\n{PROSE}"]
    (result,) = run_step(_step(), tmp_path, _batch(texts))
    assert _texts(result)[1] == texts[1].replace(TERMS, "")
    (edit,) = result.edits.to_pylist()
    assert texts[1][edit["start"] : edit["start"] + edit["length"]] == TERMS


# --- against brute force --------------------------------------------------------------------------------------------

SIZE, WINDOW = 10, 4


def _key(text: str) -> str:
    return "".join(map(chr, keys(pa.array([text]), KeyRules()).points))


def _copied(documents: list[str], number: int, size: int, earlier: range) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """For each character of a key whether it lies in a substring of this size that one of the others has."""
    text = documents[number]
    out = np.zeros(len(text), dtype=np.bool_)
    for start in range(len(text) - size + 1):
        if any(text[start : start + size] in documents[other] for other in earlier):
            out[start : start + size] = True
    return out


PIECES = st.sampled_from(
    [TERMS[:9], TERMS[3:20], TERMS[10:40], PROSE[:13], OTHER[:30], "ああああああああああああ", "い", "う。"]
)


@given(st.lists(st.lists(PIECES, max_size=5).map("".join), min_size=1, max_size=6), st.integers(1, 3))
def test_every_long_repeat_is_cut_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], per_shard: int
) -> None:
    step = _step(size=SIZE, window=WINDOW, whole_sentences=False)
    parts = [_batch(documents[k : k + per_shard], k) for k in range(0, len(documents), per_shard)]
    results = run_step(step, tmp_path_factory.mktemp("repeats"), *parts)
    edits = [edit for result in results for edit in result.edits.to_pylist()]
    found = [_key(text) for text in documents]
    for number, text in enumerate(documents):
        cut = np.zeros(len(text), dtype=np.bool_)
        for edit in edits:
            if edit["id"] == f"s/{number}":
                cut[edit["start"] : edit["start"] + edit["length"]] = True
        places = keys(pa.array([text]), KeyRules(), places=True).places
        cut_key = cut[places]
        may, must = (_copied(found, number, size, range(number)) for size in (SIZE, SIZE + WINDOW - 1))
        assert not (cut_key & ~may).any(), "cut, though no earlier document has it"
        missed = must & ~cut_key
        # of a copy that is cut, ends that only a later document shares may be missed: fewer than WINDOW characters
        runs = "".join("x" if miss else " " for miss in missed).split()
        assert all(len(run) < WINDOW for run in runs), "missed"
        for start in range(len(found[number]) - SIZE - WINDOW + 2):  # and every long copy is found
            if must[start : start + SIZE + WINDOW - 1].all():
                assert cut_key[start : start + SIZE + WINDOW - 1].any()


@given(st.lists(st.lists(PIECES, max_size=5).map("".join), max_size=6), st.booleans())
def test_shards_and_batches_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], keep_first: bool
) -> None:
    folder = tmp_path_factory.mktemp("repeats")
    step, batch = _step(size=SIZE, window=WINDOW, keep_first=keep_first), _batch(documents)
    (whole,) = run_step(step, folder, batch)
    parts = [batch.slice(start, 2) for start in range(0, batch.num_rows, 2)] or [batch]
    assert [text for part in run_step(step, folder, *parts) for text in _texts(part)] == _texts(whole)
    decided = Decided(step, folder, parts, [batch.slice(0, 0)])
    assert [text for part in parts for text in _texts(decided.apply(0, part))] == _texts(whole)
    assert {"shard-00000"} >= set(decided.asked)


# --- decisions ------------------------------------------------------------------------------------------------------


def test_the_kept_table_shows_the_passages(tmp_path: Path) -> None:
    decided = Decided(_step(), tmp_path, [_batch([PROSE, f"前。{TERMS}"])], [_batch([TERMS, OTHER], 2)])
    decided.step.keep(decided.decision, tmp_path, {})
    (row,) = pq.read_table(tmp_path / REPEATED).to_pylist()
    assert (row["source"], row["id"], row["documents"]) == ("s", "s/1", 2)
    assert TERMS.rstrip("。") in row["text"]
    assert decided.asked == ["shard-00000"]
    assert decided.step.figures(decided.decision)["passages"] == 1
    nothing = Decided(_step(), tmp_path, [_batch([PROSE])])
    nothing.step.keep(nothing.decision, tmp_path / "none", {})  # writes nothing
    assert nothing.asked == []


def test_a_passage_with_the_hash_of_another_stays(tmp_path: Path) -> None:
    batch = _batch([TERMS, f"前。{TERMS}"])
    decided = Decided(_step(), tmp_path, [batch])
    found = decided.step.load(decided.decision, "")
    assert decided.step.apply(batch, found).edits.num_rows == 1
    other = found._replace(points=found.points[::-1].copy())  # as if another text had the same hashes
    assert decided.step.apply(batch, other).edits.num_rows == 0


def test_a_decision_after_documents_are_gone_is_that_of_a_build_without_them(tmp_path: Path) -> None:
    pages = [[f"{TERMS}{PROSE}"], [f"前。{TERMS}", OTHER], [f"{OTHER}{PROSE}{TERMS}"], [f"後。{PROSE}"]]
    step = _step(size=30)
    shards = [[_batch(texts, 10 * n)] for n, texts in enumerate(pages)]
    old = Decided(step, tmp_path, *shards)
    fewer = [[shards[0][0].slice(0, 0)], *shards[1:]]
    new = Decided(step, tmp_path, *fewer)
    again = tmp_path / "again"
    again.mkdir()
    asked: list[str] = []
    unchanged = (new.shards[0], *(old.shards[1:]))
    before = Before(old.decision, tuple(shard.sketch for shard in old.shards))
    step.decide(Sketched(unchanged, tmp_path, Engine(), asked.extend, before), again)
    for name in ("passages.arrow", "points", "grams.arrow"):
        assert (again / name).read_bytes() == (new.decision / name).read_bytes()
    assert asked == ["shard-00001", "shard-00002"]  # what stood first in the shard that is gone stands first there now
    assert [step.differs(old.decision, again, shard) for shard in unchanged[1:]] == [True, True, True]
    same = tmp_path / "same"
    same.mkdir()
    asked.clear()
    step.decide(Sketched(tuple(old.shards), tmp_path, Engine(), asked.extend, before), same)
    assert asked == []
    assert (same / "grams.arrow").read_bytes() == (old.decision / "grams.arrow").read_bytes()
    assert not any(step.differs(old.decision, same, shard) for shard in old.shards)


def test_documents_that_are_not_those_sketched_are_refused(tmp_path: Path) -> None:
    decided = Decided(_step(), tmp_path, [_batch([TERMS, TERMS])])
    pq.write_table(pa.Table.from_batches([_batch([PROSE, PROSE])]), decided.shards[0].documents)
    with pytest.raises(ArtifactError, match="not those that were sketched"):
        decided.step.decide(Sketched(tuple(decided.shards), tmp_path), tmp_path)


@pytest.mark.parametrize("texts", [[], [""], ["", "短い"], ["。" * 300, "ー" * 300, "ー" * 300]])
def test_empty_and_monotonous_texts(tmp_path: Path, texts: list[str]) -> None:
    (result,) = run_step(_step(), tmp_path, _batch(texts))
    assert result.batch.num_rows == len(texts)
    assert _texts(result)[:2] == texts[:2]
