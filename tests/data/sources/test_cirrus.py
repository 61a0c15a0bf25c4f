"""CirrusSearch dumps: old and new layouts, rendered text or wikitext, one bad line at a time."""

import gzip
import io
import json
from collections.abc import Callable
from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jpfm.core.errors import DataError
from jpfm.data.document import Document, Quarantined, to_batch
from jpfm.data.sources.archive import Member

Read = Callable[..., list[Document | Quarantined]]

SUZURI: dict[str, Any] = {
    "title": "硯", "namespace": 0, "wiki": "jawiki", "language": "ja", "version": 123,
    "timestamp": "2024-05-01T01:02:03Z",
    "text": "硯（）は、\u00a0墨を磨る  道具（すずり、）である。 \n 産地は（、）多い。", "category": ["文房具"],
    "template": ["Template:Lang"], "opening_text": "硯は", "auxiliary_text": ["表"], "wikibase_item": "Q1",
    "source_text": "'''硯'''は[[墨]]を磨る。\n== 脚注 ==\n<references />\n== 産地 ==\n雄勝。",
}  # fmt: skip


def _lines(*records: Any) -> bytes:
    return "\n".join(
        record if isinstance(record, str) else json.dumps(record, ensure_ascii=False) for record in records
    ).encode()


def test_the_old_layout_names_the_page_in_the_line_before(read_file: Read) -> None:
    index = {"index": {"_type": "page", "_id": "42"}}
    talk = SUZURI | {"namespace": 1, "title": "硯"}
    data = gzip.compress(_lines(index, SUZURI, {"index": {"_type": "page", "_id": "43"}}, talk) + b"\n")
    (found,) = read_file("cirrus", "jawiki-cirrussearch-content.json.gz", data)
    assert isinstance(found, Document)
    assert found.text == "硯は、 墨を磨る 道具（すずり）である。\n産地は多い。"
    assert (found.title, found.lang, found.date) == ("硯", "ja", "2024-05-01T01:02:03Z")
    assert found.url == "https://ja.wikipedia.org/wiki/%E7%A1%AF"
    assert found.meta == {"page_id": "42", "revision_id": "123", "site": "jawiki"}


def test_the_new_layout_names_it_in_the_record(read_file: Read) -> None:
    record = SUZURI | {"page_id": 42, "wiki": "jawiktionary"}
    both = read_file(
        "cirrus", "a.json", _lines({"index": {"_index": "x", "_id": "7"}}, record, record), meta_fields=("category",)
    )
    assert [doc.meta["page_id"] for doc in both if isinstance(doc, Document)] == ["7", "42"]
    assert isinstance(both[0], Document)
    assert both[0].meta["category"] == ["文房具"]
    assert both[0].url.startswith("https://ja.wiktionary.org/wiki/")


def test_wikitext_can_be_read_instead(read_file: Read) -> None:
    (found,) = read_file("cirrus", "a.json", _lines(SUZURI), text_from="source_text")
    assert isinstance(found, Document)
    assert found.text == "硯は墨を磨る。\n\n産地\n\n雄勝。"
    (whole,) = read_file("cirrus", "a.json", _lines(SUZURI), text_from="source_text", drop_sections=("産地",))
    assert isinstance(whole, Document)
    assert whole.text == "硯は墨を磨る。"


def test_a_setting_without_effect_is_refused(make_source: Callable[..., Any]) -> None:
    with pytest.raises(pydantic.ValidationError, match="text_from: source_text"):
        make_source("cirrus", drop_sections=("脚注",))


def test_one_bad_line_costs_one_page(read_file: Read) -> None:
    lone = json.dumps(SUZURI | {"text": "x"}).replace('"x"', '"\\ud800"')
    data = _lines("{", "[1]", SUZURI | {"text": None}, lone, "", "[" * 5000, {"index": {"_id": 1}}, SUZURI)
    found = read_file("cirrus", "a.json", data)
    assert [(bad.error, bad.id) for bad in found if isinstance(bad, Quarantined)] == [
        ("format", "s/a.json#1"), ("format", "s/a.json#2"), ("format", "s/a.json#3"), ("decode", "s/a.json#4"),
        ("format", "s/a.json#6"),
    ]  # fmt: skip
    assert isinstance(found[-1], Document)
    assert found[-1].meta["page_id"] == "1"


ODD = st.one_of(st.none(), st.integers(), st.text(max_size=4), st.lists(st.integers(), max_size=2), st.just({"a": 1}))


@given(st.dictionaries(st.sampled_from([*SUZURI, "index", "page_id"]), ODD), st.binary(max_size=40))
def test_any_record_is_told_apart(make_source: Callable[..., Any], record: dict[str, Any], noise: bytes) -> None:
    source = make_source("cirrus", meta_fields=("category",))
    data = json.dumps(record).encode() + b"\n" + noise + b"\n" + _lines(SUZURI)
    try:
        found = list(source.read(Member("a.json", io.BytesIO(data)), "s/a.json"))
    except DataError:
        return
    to_batch([doc for doc in found if isinstance(doc, Document)], "s", "CC0-1.0", source.columns)
