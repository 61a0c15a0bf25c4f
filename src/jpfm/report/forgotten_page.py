"""The page of a record: who asked and who answers, what was taken out, and what is left to do, in both languages.

Everything on it is in `record.json` and the tables; nothing of a document's text is.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import polars as pl

from jpfm.report.affected import Reach
from jpfm.report.corpus_changes import CHANGES
from jpfm.report.render import environment
from jpfm.report.scores import Words
from jpfm.report.seal import CHECK, VERIFY, Key

TOP = 200
"""Rows that a list on the page shows; all are in the record."""
HAS = {
    "documents": Words(ja="本文を保持", en="holds their text"),
    "dropped": Words(ja="除外文書として保持", en="holds them among the dropped"),
    "hashes": Words(ja="本文から計算した署名を保持", en="holds hashes of their text"),
    "statistics": Words(ja="本文から学んだ統計を含む可能性", en="may have learnt from their text"),
    "tokens": Words(ja="トークン列として保持", en="holds them as tokens"),
    "trained": Words(ja="学習に使用", en="was trained on them"),
    "vocabulary": Words(ja="語彙のみ（学習には未使用）", en="vocabulary only; not trained on them"),
    "scored": Words(ja="評価に使用（本文の冒頭を保持）", en="scored on them; holds how they begin"),
    "decided": Words(ja="採否の判定に使用（本文はなし）", en="decided by them; holds no text"),
    "derived": Words(ja="影響を受けたものから作成", en="made from what is affected"),
    "clean": Words(ja="影響なし", en="not affected"),
}
TO_DO = {
    "documents": Words(
        ja="新しいコーパスに置き換えてから削除（別のコーパスは同じ要求で作り直す）",
        en="replace by the new corpus, then delete; another corpus: forget there too",
    ),
    "hashes": Words(ja="新しいコーパスから作り直す", en="make again from the new corpus"),
    "statistics": Words(ja="作り直すか、残してよいか判断", en="make again, or decide that it may stay"),
    "tokens": Words(ja="新しいコーパスから作り直す", en="pack again from the new corpus"),
    "trained": Words(ja="影響のない時点から学習し直す", en="train again from before the first such step"),
    "vocabulary": Words(ja="残してよいか判断", en="decide whether it may stay"),
    "scored": Words(ja="評価し直す", en="score again"),
    "decided": Words(ja="作り直すか判断", en="decide whether to build again"),
    "derived": Words(ja="作り直す", en="make again"),
    "clean": Words(ja="対応不要", en="nothing to do"),
}
TO_DO["dropped"] = TO_DO["documents"]
KINDS = {
    "corpus": Words(ja="コーパス", en="corpus"),
    "signatures": Words(ja="署名", en="signatures"),
    "classifier": Words(ja="分類器", en="classifier"),
    "tokenizer": Words(ja="トークナイザー", en="tokenizer"),
    "tokens": Words(ja="トークン列", en="tokens"),
    "checkpoint": Words(ja="チェックポイント", en="checkpoint"),
    "scores": Words(ja="評価結果", en="scores"),
    "report": Words(ja="レポート", en="report"),
}
BY = {
    "id": Words(ja="文書ID", en="id"),
    "url": Words(ja="URL", en="URL"),
    "host": Words(ja="ホスト", en="host"),
    "regex": Words(ja="正規表現", en="regular expression"),
}
CHANGED = {
    "came back": Words(ja="重複元がなくなり、採用に戻った文書", en="came back: what they duplicated is gone"),
    "dropped now": Words(ja="新たに除外された文書", en="dropped now"),
    "dropped for another reason": Words(ja="除外の理由が変わった文書", en="dropped for another reason"),
    "text changed": Words(ja="本文が変わった文書", en="kept with another text"),
}


def spans(numbers: Iterable[int]) -> Iterator[str]:
    """Whole numbers in ascending order, neighbours joined.

    >>> ", ".join(spans([3, 7, 8, 9, 12]))
    '3, 7-9, 12'
    """
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        yield f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}"


def steps_of(reach: Reach, run: int) -> list[str]:
    """The steps of a run that saw any of the documents."""
    seen = reach.exposure.steps.filter(pl.col("run") == run)["step"].unique().sort()
    return list(spans(seen.to_list()))


def page(record: Mapping[str, Any], tables: Mapping[str, pl.DataFrame], reach: Reach, key: Key | None) -> str:
    """The record as HTML.

    Args:
        tables: of the record, by name; of each the first rows are shown.
    """
    back = tables["other_documents"].filter(pl.col("change") == CHANGES[0])["document"]
    changed = tables["shards"].filter(pl.col("before").ne_missing(pl.col("after")))
    return (
        environment()
        .get_template("forgotten.html")
        .render(
            record=record,
            notices=list(_notices(record, key)),
            kept=record["documents"]["was"].get("kept", 0),
            documents=tables["documents"].head(TOP).to_dicts(),
            came_back=back.head(TOP).to_list(),
            files=changed.head(TOP).to_dicts(),
            num_files=changed.height,
            runs=[(run, steps_of(reach, run["number"])) for run in record["training"]],
            ranges=reach.exposure.ranges.head(TOP).to_dicts(),
            num_ranges=reach.exposure.ranges.height,
            key=key,
            check=CHECK,
            verify=VERIFY,
            top=TOP,
            has=HAS,
            to_do=TO_DO,
            kinds=KINDS,
            by=BY,
            changed=CHANGED,
        )
    )


def _notices(record: Mapping[str, Any], key: Key | None) -> Iterator[Words]:
    """What a person still has to see to."""
    files = record["documents"]["raw_files"]
    yield Words(
        ja=f"元のコーパス {record['corpus']['before']} と、元の入力ファイル（{files:,}個）には、文書が残っています。"
        "この処理は、それらを変更も削除もしません。",
        en=f"The old corpus {record['corpus']['before']} and the raw files ({files:,}) still hold the documents. "
        "Nothing in them was changed or deleted.",
    )
    if count := record["other_documents"][CHANGES[0]]:
        yield Words(
            ja=f"重複として除外されていた文書が{count:,}件、採用に戻りました。取り除いた文書と同じか、よく似た本文です。"
            "これらも取り除くべきか、確認してください。",
            en=f"{count:,} documents came back that had been dropped as copies: their text is what was taken out, "
            "or close to it. See whether they have to go too.",
        )
    if record["asked"]["regexes"]:
        yield Words(
            ja="要求の正規表現は、この記録と新しいコーパスのレシピに残ります。"
            "それ自体が個人情報になりうるときは、取り扱いに注意してください。",
            en="The regular expressions of the request stay in this record and in the recipe of the new corpus; "
            "they may be personal data themselves.",
        )
    if record["unfinished"]:
        yield Words(
            ja=f"影響を受けた入力から作成中、または中断したものが{len(record['unfinished'])}個あります。",
            en=f"{len(record['unfinished'])} are being made from what is affected, or were left half made.",
        )
    if record["unknown"]:
        yield Words(
            ja=f"作成元が見つからず、影響の有無を確認できないものが{len(record['unknown'])}個あります。",
            en=f"Of {len(record['unknown'])} the parents were not found: whether they are affected cannot be told.",
        )
    for field, ja, en in (("requested_by", "要求した人", "who asked"), ("reason", "理由", "why")):
        if record[field] is None:
            yield Words(ja=f"{ja}の記録がありません。", en=f"Not recorded: {en}.")
    if key is None:
        yield Words(
            ja="署名がありません。ハッシュ値は、記録が変わっていないことを示しますが、誰が承認したかは示しません。",
            en="Not signed: the hashes show that nothing was changed, not who approved it.",
        )
