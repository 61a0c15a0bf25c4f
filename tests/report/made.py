"""Artifacts for the report tests: sources, corpus, tokens, checkpoint and scores as the real stages write them.

chain = make_chain(folder)
scores = make_scores(folder / "scores", chain.checkpoint, [task("jcommonsenseqa", 0.41, 0.36, 0.46)])
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact, Draft, Finished
from jpfm.core.rights import Rights

ITEMS = pa.schema(
    [
        ("item_id", pa.string()),
        ("item_sha256", pa.string()),
        ("prompt_sha256", pa.string()),
        ("prompt", pa.string()),
        ("choices", pa.list_(pa.string())),
        ("choice_scores", pa.list_(pa.float64())),
        ("gold", pa.string()),
        ("answer", pa.string()),
        ("correct", pa.bool_()),
        ("error_class", pa.string()),
        ("level", pa.string()),
        ("value", pa.float64()),
    ]
)

CORPUS_STATS: dict[str, Any] = {
    "total": {
        "read": 18_600, "kept": 15_110, "held_out": 150, "chars": 48_210_334,
        "dropped": {
            "length:too short": 1_204, "japanese_share:too little Japanese": 733, "repetition:repeated lines": 96,
            "exact_dedup:duplicate": 811, "near_dedup:near duplicate": 602, "decontamination:benchmark text": 14,
        },
        "quarantined": {"decode": 27, "archive": 3},
        "edits": {"normalize:width": 80_112, "personal_data:phone": 212, "personal_data:email": 95},
        "encodings": {"utf-8": 12_000, "cp932": 3_110},
    },
    "sources": {
        "aozora": {
            "read": 12_000, "kept": 10_400, "held_out": 104, "chars": 40_110_020,
            "dropped": {"length:too short": 700, "exact_dedup:duplicate": 511, "near_dedup:near duplicate": 340,
                        "decontamination:benchmark text": 14, "repetition:repeated lines": 8},
            "quarantined": {"decode": 27}, "edits": {"normalize:width": 60_000}, "encodings": {"cp932": 3_110},
        },
        "digital-agency": {
            "read": 5_000, "kept": 3_710, "held_out": 36, "chars": 6_100_314,
            "dropped": {"length:too short": 404, "japanese_share:too little Japanese": 433,
                        "exact_dedup:duplicate": 250, "near_dedup:near duplicate": 203},
            "quarantined": {}, "edits": {"normalize:width": 15_112, "personal_data:phone": 212},
            "encodings": {"utf-8": 5_000},
        },
        "work-rules": {
            "read": 1_600, "kept": 1_000, "held_out": 10, "chars": 2_000_000,
            "dropped": {"length:too short": 100, "japanese_share:too little Japanese": 300,
                        "repetition:repeated lines": 88, "exact_dedup:duplicate": 50, "near_dedup:near duplicate": 59},
            "quarantined": {"archive": 3}, "edits": {"normalize:width": 5_000, "personal_data:email": 95},
            "encodings": {"utf-8": 1_600},
        },
    },
}  # fmt: skip
STEPS = ("normalize", "length", "japanese_share", "repetition", "exact_dedup", "near_dedup", "decontamination")
RIGHTS = {
    "aozora": Rights(licence="public-domain-JP", attribution="青空文庫", url="https://www.aozora.gr.jp"),
    "digital-agency": Rights(licence="政府標準利用規約2.0", attribution="出典：デジタル庁ウェブサイト"),
    "work-rules": Rights(licence="CC0-1.0", attribution="Tuqulore Inc."),
}


class Chain(NamedTuple):
    """A checkpoint and what it was made from."""

    corpus: Artifact
    checkpoint: Artifact


def _put(
    out: Path, kind: Any, parents: Sequence[Artifact], files: Mapping[str, str], stats: Mapping[str, Any],
    config: Mapping[str, Any], rights: Rights | None = None,
) -> Artifact:  # fmt: skip
    def work(draft: Draft) -> Finished:
        for name, text in files.items():
            (draft.path / name).parent.mkdir(parents=True, exist_ok=True)
            artifacts.write_text(draft.path / name, text)
        return Finished(stats, rights)

    return artifacts.produce(out, kind=kind, version=1, config=config, parents=parents, work=work)


def make_chain(folder: Path, *, steps: int = 1200, seed: int = 0) -> Chain:
    """Sources to checkpoint below one folder, with a training log."""
    sources = [
        _put(folder / f"source-{name}", "source", [], {"raw.txt": name}, {}, {"name": name}, rights)
        for name, rights in RIGHTS.items()
    ]
    corpus = _put(
        folder / "corpus", "corpus", sources, {"documents/0.txt": "本文"}, CORPUS_STATS,
        {"name": "japanese-open", "steps": [{"step": step} for step in STEPS]},
    )  # fmt: skip
    tokenizer = _put(folder / "tokenizer", "tokenizer", [corpus], {"tokenizer.json": "{}"}, {}, {"name": "unigram"})
    tokens = _put(folder / "tokens", "tokens", [corpus, tokenizer], {"train.bin": "0"}, {}, {"name": "packed"})
    lines = []
    for step in range(1, steps + 1):
        noise = math.sin(step * 12.9898 + seed) * 43758.5453 % 1 - 0.5
        loss = 3.1 + seed * 0.2 + 6.4 * math.exp(-step / 110) + 1.2 * math.exp(-step / 700) + 0.25 * noise
        lines.append(json.dumps({"step": step, "loss": loss, "tokens": step * 65_536, "lr": 1e-3, "grad_norm": 1.0}))
    checkpoint = _put(
        folder / "checkpoint", "checkpoint", [tokens, tokenizer],
        {"model.safetensors": str(seed), "logs/metrics.jsonl": "\n".join(lines) + "\n"},
        {"steps": steps, "tokens": steps * 65_536, "parameters": 8_388_608}, {"name": f"run-{seed}"},
    )  # fmt: skip
    return Chain(corpus, checkpoint)


def task(name: str, value: float | None, low: float | None, high: float | None, **changes: Any) -> dict[str, Any]:
    """One entry of scores.json."""
    num_items = changes.pop("num_items", 200)
    num_unscored = changes.get("num_unscored", 0)
    return {
        "task": name,
        "group": "knowledge",
        "title": {"ja": "常識問題", "en": "Commonsense questions"},
        "definition": {
            "ja": "五つの選択肢から、質問に最もふさわしい答えを一つ選ぶ。選択肢ごとの対数尤度を比べる。",
            "en": "Choose the best of five answers by comparing the log-likelihood of each.",
        },
        "metric": "accuracy",
        "higher_is_better": True,
        "value": value,
        "low": low,
        "high": high,
        "interval": "Wilson 95 %",
        "num_items": num_items,
        "num_scored": num_items - num_unscored,
        "num_unscored": 0,
        "num_format_failures": 0,
        "baselines": {"random": 0.2, "majority": 0.214},
        "by": {},
        "errors": {},
        "items_sha256": "a" * 64,
        "prompt_sha256": "b" * 64,
        "scorer": "choice_loglikelihood",
        "num_fewshot": 4,
        "source": "yahoojapan/JGLUE v1.3",
        "licence": "CC-BY-SA-4.0",
    } | changes


def item(number: int, **changes: Any) -> dict[str, Any]:
    """One row of items/TASK.parquet; two in five are right."""
    right = number % 5 < 2
    return {
        "item_id": f"item-{number:04d}",
        "item_sha256": f"{number:064x}",
        "prompt_sha256": f"{number:064x}",
        "prompt": f"質問：次のうち、電子機器で使用される最も主要な電子回路基板の事をなんと言う？（{number}）\n"
        "選択肢：掲示板、パソコン、マザーボード、ハードディスク、まな板\n答え：",
        "choices": ["掲示板", "パソコン", "マザーボード", "ハードディスク", "まな板"],
        "choice_scores": [-9.2, -7.1, -2.25, -4.0, -11.5],
        "gold": "マザーボード",
        "answer": "マザーボード" if right else "ハードディスク",
        "correct": right,
        "error_class": None if right else "near_meaning",
        "level": str(number % 3 + 1),
        "value": float(right),
    } | changes


def make_scores(
    out: Path,
    checkpoint: Artifact | None,
    tasks: Sequence[Any],
    *,
    model: Mapping[str, Any] | None = None,
    items: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> Artifact:
    """A scores artifact; each task gets forty items unless `items` says otherwise (an empty list: no file)."""
    facts = {
        "id": checkpoint.id if checkpoint is not None else "outside/model",
        "name": "jpfm-8M",
        "size": "8M",
        "parameters": 8_388_608,
        "tokens_seen": 1200 * 65_536 if checkpoint is not None else None,
        "step": 1200 if checkpoint is not None else None,
        "vocab_size": 32_000,
        "final_loss": 3.412 if checkpoint is not None else None,
    } | dict(model or {})

    def work(draft: Draft) -> Finished:
        body = {"model": facts, "tasks": list(tasks)}
        artifacts.write_text(draft.path / "scores.json", artifacts.canonical_json(body))
        (draft.path / "items").mkdir(exist_ok=True)
        for entry in tasks:
            name = entry.get("task") if isinstance(entry, dict) else None
            rows = (items or {}).get(str(name), [item(number) for number in range(40)])
            if name and rows:
                pq.write_table(pa.Table.from_pylist(list(rows), ITEMS), draft.path / "items" / f"{name}.parquet")
        return Finished({"tasks": len(tasks)})

    parents = [checkpoint] if checkpoint is not None else []
    return artifacts.produce(out, kind="scores", version=1, config={"name": out.name}, parents=parents, work=work)


def showcase(folder: Path) -> list[Artifact]:
    """Three models, nine tasks, everything a page can meet: for the browser and for eyes."""
    first = make_chain(folder / "one")
    second = make_chain(folder / "two", steps=1800, seed=1)
    long = "日本語" * 700
    hostile = [
        item(1, answer="<script>alert(1)</script>\u202e逆順\u202c", prompt="</pre><img src=x onerror=alert(1)>"),
        item(2, answer="あ" * 1_000_000, correct=False, error_class="era"),
        item(3, answer=None, correct=None, value=None, error_class=None),
        item(4, answer="👩‍👩‍👧‍👦🏳️‍🌈 \x00\x1b[31m", prompt=long),
    ]

    def tasks(shift: float, *, variant: bool = False) -> list[dict[str, Any]]:
        def near(name: str, value: float, **changes: Any) -> dict[str, Any]:
            middle = min(1.0, max(0.0, value + shift))
            spread = 0.05 if 0 < middle < 1 else 0.018
            return task(name, middle, max(0.0, middle - spread), min(1.0, middle + spread), **changes)

        parts = {
            "level": {
                "1": {"value": 0.52, "low": 0.42, "high": 0.62, "num_items": 80},
                "2": {"value": 0.31, "low": 0.21, "high": 0.41, "num_items": 70},
                "10": {"value": None, "low": None, "high": None, "num_items": 50},
            }
        }
        return [
            near("jcommonsenseqa", 0.41, by=parts, errors={"near_meaning": 71, "other": 47}),
            near("jmmlu", 0.26, title={"ja": "専門知識（日本語版MMLU）", "en": "Professional knowledge (MMLU)"},
                 baselines={"random": 0.25, "majority": 0.262}, num_unscored=3),
            near("jnli", 0.62, group="language", title={"ja": "自然言語推論", "en": "Natural language inference"},
                 baselines={"random": 0.333, "majority": 0.553}),
            near("ner", 0.0 if shift <= 0 else 0.12, group="language", num_format_failures=44,
                 title={"ja": "固有表現抽出", "en": "Named entities"}, metric="char_f1", baselines={},
                 errors={"format": 44}),
            near("copy", 1.0 - min(shift, 0), group="language", title={"ja": "書き写し", "en": "Copying"},
                 metric="exact_match", baselines={"random": 0.0}),
            near("arithmetic", 0.08, group="reasoning", title={"ja": "文章題", "en": "Word problems"},
                 metric="exact_match", baselines={"random": 0.0, "majority": 0.12}),
            near("business_dates", 0.35, group="business", errors={"era": 61, "off_by_one_day": 22},
                 title={"ja": "元号と西暦の換算・営業日の計算", "en": "Era conversion and business days"},
                 items_sha256=("c" if variant else "a") * 64),
            near("honorifics", 0.55, group="business", title={"ja": "敬語の使い分け", "en": "Honorific language"},
                 baselines={"random": 0.5, "majority": 0.51}),
            near("refusal", 0.71, group="safety", title={"ja": "有害な依頼への対応", "en": "Harmful requests"}),
            task("bits", 4.1 - shift * 4, 4.02 - shift * 4, 4.19 - shift * 4, group="modelling",
                 metric="bits_per_character", higher_is_better=False, baselines={"unigram": 7.9},
                 title={"ja": "未見文書の圧縮率", "en": "Held-out text"}),
        ]  # fmt: skip

    bits = [item(number, correct=None, answer=None, gold=None, choices=None, choice_scores=None, error_class=None,
                 level=None, value=4.0 + number / 100) for number in range(20)]  # fmt: skip
    return [
        make_scores(folder / "one" / "scores", first.checkpoint, tasks(0.0),
                    items={"jcommonsenseqa": hostile, "bits": bits}),
        make_scores(folder / "two" / "scores", second.checkpoint, tasks(0.09, variant=True), items={"bits": bits},
                    model={"name": "jpfm-50M 日本語", "size": "50M", "step": 1800, "tokens_seen": 1800 * 65_536}),
        make_scores(folder / "outside", None, tasks(-0.05)[:8], items={"jmmlu": []},
                    model={"name": "外部モデル/very-long-repository-name-instruct-v0.2", "size": None}),
    ]  # fmt: skip
