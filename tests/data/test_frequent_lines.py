"""Frequent lines and paragraphs: what goes, what stays, and that every cut is known."""

from pathlib import Path

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
from jpfm.data.steps.frequent_lines import BOILERPLATE, FrequentLines

PROSE = "朝の市場は八時に始まる。魚を並べる人の声が高く、氷の匂いがした。わたしは籠を持って端から歩いた。"
FOOTER = "無断転載はご遠慮ください。以上です。"


def _batch(texts: list[str], source: str = "s", first: int = 0) -> pa.RecordBatch:
    return to_batch([Document(f"{source}/{n}", text) for n, text in enumerate(texts, first)], source, "CC0-1.0")


def _texts(changed: Changed) -> list[str]:
    return [str(text) for text in changed.batch.column("text").to_pylist()]


def _step(**settings: object) -> FrequentLines:
    return FrequentLines.model_validate({"step": "frequent_lines"} | settings)


def test_lines_of_many_documents_go_and_every_cut_is_known(tmp_path: Path) -> None:
    footer = "このメールは送信専用のアドレスからお送りしています。"
    texts = [f"件名 {n}\n{PROSE[: 20 + n]}\n\n{footer}\n短い行" for n in range(5)] + [footer, "何もない文書"]
    batch = _batch(texts)
    (result, other) = run_step(_step(minimum_documents=5), tmp_path, batch, _batch([footer], "t"))
    assert _texts(result)[0] == f"件名 0\n{PROSE[:20]}\n\n短い行"
    assert _texts(result)[5:] == ["", "何もない文書"]
    assert _texts(other) == [footer]  # another source has its own count
    edits = result.edits.to_pylist()
    assert len(edits) == 6
    assert result.edits.schema == EDITS
    for edit in edits:
        text = texts[int(edit["id"][2:])]
        assert text[edit["start"] : edit["start"] + edit["length"]] == footer
        assert (edit["step"], edit["kind"], edit["source"]) == ("frequent_lines", "frequent_line", "s")


def test_a_frequent_line_must_also_be_a_share_of_the_source(tmp_path: Path) -> None:
    batch = _batch([FOOTER + "\n一"] * 3 + [f"別の文書 {n}" for n in range(7)])
    other = _batch([f"多くの文書 {n}" for n in range(90)], "t")  # another source does not thin this one out
    for share, edits in ((0.3, 3), (0.31, 0)):
        step = _step(minimum_documents=2, minimum_share=share)
        assert run_step(step, tmp_path, batch.slice(0, 2), other, batch.slice(2))[0].edits.num_rows == min(edits, 2)
        assert run_step(step, tmp_path, batch)[0].edits.num_rows == edits


def test_frequent_lines_of_code_stay(tmp_path: Path) -> None:
    include = "#include <iostream>"
    page = f"説明文\n```cpp\n{include}\nint main() {{}}\n```\n{include}\n{FOOTER}"
    batch = _batch([f"{n}\n{page}" for n in range(4)])
    (result,) = run_step(_step(minimum_documents=3), tmp_path, batch)
    assert _texts(result)[0] == f"0\n説明文\n```cpp\n{include}\nint main() {{}}\n```"
    (result,) = run_step(_step(minimum_documents=3, code=True), tmp_path, batch)
    assert include not in _texts(result)[0]


def test_a_fence_that_nothing_closes_exempts_nothing(tmp_path: Path) -> None:
    batch = _batch([f"{n}\n~~~~~~~~\n{FOOTER}\n" for n in range(3)])
    (result,) = run_step(_step(minimum_documents=3), tmp_path, batch)
    assert _texts(result) == [f"{n}\n~~~~~~~~" for n in range(3)]


def test_paragraphs_go_as_a_whole(tmp_path: Path) -> None:
    notice = "お問い合わせは総務課までお願いします。\n受付は平日の九時から十七時までです。"
    half = notice.split("\n", maxsplit=1)[0]
    texts = [f"第{n}号\n\n{notice}\n\n{PROSE[n:]}" for n in range(4)] + [f"{half}\n続きがある段落です。"] * 4
    (result,) = run_step(_step(minimum_documents=4, unit="paragraph"), tmp_path, _batch(texts))
    assert _texts(result) == [f"第{n}号\n\n{PROSE[n:]}" for n in range(4)] + [""] * 4
    assert {edit["kind"] for edit in result.edits.to_pylist()} == {"frequent_paragraph"}
    assert texts[0][result.edits[4][0].as_py() :].startswith(notice)
    (result,) = run_step(_step(minimum_documents=5, unit="paragraph"), tmp_path, _batch(texts))
    assert _texts(result) == texts  # the first line alone stands in eight documents


def test_blank_lines_elsewhere_stay_as_they_are(tmp_path: Path) -> None:
    poem = "一行目\n\n\n\n二行目"
    batch = _batch([f"{poem}\n\n{FOOTER}\n\n{FOOTER}\n\n終わり{n}\n" for n in range(3)])
    (result,) = run_step(_step(minimum_documents=3), tmp_path, batch)
    assert _texts(result) == [f"{poem}\n\n終わり{n}\n" for n in range(3)]


def test_the_kept_table_says_what_was_removed_and_how_often(tmp_path: Path) -> None:
    one, two = _batch([f"{FOOTER}\n{n}" for n in range(2)]), _batch([f"{FOOTER}\n{FOOTER}"], first=2)
    decided = Decided(_step(minimum_documents=3), tmp_path, [one], [_batch([PROSE], first=9)], [two])
    decided.step.keep(decided.decision, tmp_path, {})
    assert pq.read_table(tmp_path / BOILERPLATE).to_pylist() == [{"source": "s", "line": FOOTER, "documents": 3}]
    assert decided.asked == ["shard-00000"]  # the line stands there first; no other shard is read again
    assert decided.step.figures(decided.decision) == {"frequent_lines": 1}


@given(
    st.lists(
        st.lists(st.sampled_from([FOOTER, PROSE, "短い", "", "```", "繰り返しの一行です。"]), max_size=6), max_size=8
    ),
    st.integers(1, 3),
)
def test_shards_batches_and_workers_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[str]], size: int
) -> None:
    folder = tmp_path_factory.mktemp("lines")
    batch, step = _batch(["\n".join(lines) for lines in documents]), _step(minimum_documents=3, minimum_chars=8)
    (whole,) = run_step(step, folder, batch)
    parts = [batch.slice(start, size) for start in range(0, batch.num_rows, size)] or [batch]
    apart = run_step(step, folder, *parts)
    assert [text for part in apart for text in _texts(part)] == _texts(whole)
    decided = Decided(step, folder, parts, [batch.slice(0, 0)])
    assert [text for part in parts for text in _texts(decided.apply(0, part))] == _texts(whole)
    assert pa.concat_tables([part.edits for part in apart]).equals(whole.edits)


def test_a_decision_after_documents_are_gone_reads_no_text_again(tmp_path: Path) -> None:
    batches = [_batch([f"{FOOTER}\n{PROSE}\n{n}"] * 2, first=2 * n) for n in range(3)]
    step = _step(minimum_documents=4)
    old, new = Decided(step, tmp_path, *([b] for b in batches)), Decided(step, tmp_path, *([b] for b in batches[1:]))
    asked: list[str] = []
    before = Before(old.decision, tuple(shard.sketch for shard in old.shards[1:]))
    again = tmp_path / "again"
    again.mkdir()
    step.decide(Sketched(tuple(new.shards), tmp_path, Engine(), asked.extend, before), again)
    assert asked == []
    assert step.load(again, "").equals(step.load(new.decision, ""))
    assert not step.differs(old.decision, again, new.shards[0])
    fewer = Decided(step, tmp_path, [batches[0]], [_batch(["別の文書"])])  # too few documents are left
    assert step.differs(old.decision, fewer.decision, fewer.shards[0])
    assert not step.differs(old.decision, fewer.decision, fewer.shards[1])


def test_documents_that_are_not_those_sketched_are_refused(tmp_path: Path) -> None:
    decided = Decided(_step(minimum_documents=2), tmp_path, [_batch([FOOTER, FOOTER])])
    pq.write_table(pa.Table.from_batches([_batch([PROSE, PROSE])]), decided.shards[0].documents)
    with pytest.raises(ArtifactError, match="not those that were sketched"):
        decided.step.decide(Sketched(tuple(decided.shards), tmp_path), tmp_path)
