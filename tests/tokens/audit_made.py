"""Tokenizers and a corpus made by hand, whose cuts and documents are known: what the audit's tests compare with."""

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from jpfm.core import config
from jpfm.core.artifact import Artifact
from jpfm.data.build import build
from jpfm.data.recipe import Recipe

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
GOLD = """# sent_id = 1
# text = 令和七年に始めた。
1\t令和\t_\tPROPN\t_\t_\t0\troot\t_\tSpaceAfter=No
2\t七\t_\tNUM\t_\t_\t1\tx\t_\tSpaceAfter=No
3\t年\t_\tNOUN\t_\t_\t1\tx\t_\tSpaceAfter=No
4\tに\t_\tADP\t_\t_\t1\tx\t_\tSpaceAfter=No
5\t始め\t_\tVERB\t_\t_\t1\tx\t_\tSpaceAfter=No
6\tた\t_\tAUX\t_\t_\t1\tx\t_\tSpaceAfter=No
7\t。\t_\tPUNCT\t_\t_\t1\tx\t_\t_

# sent_id = 2
# text = 東京 駅へ
1-2\t東京\t_\t_\t_\t_\t_\t_\t_\t_
1\t東\t_\tNOUN\t_\t_\t0\troot\t_\t_
2\t京\t_\tNOUN\t_\t_\t1\tx\t_\t_
2.1\t見えない\t_\tNOUN\t_\t_\t1\tx\t_\t_
3\t駅\t_\tNOUN\t_\t_\t1\tx\t_\tSpaceAfter=No
4\tへ\t_\tADP\t_\t_\t1\tx\t_\t_
"""


def uneven_corpus(folder: Path) -> Artifact:
    """A corpus that holds out documents of `notes`; `law` has one document, in train, and `empty` keeps none."""
    (folder / "raw").mkdir(parents=True)
    texts = {
        "notes": [f"{number}番目の覚え書きには、晴れた日の散歩のことが書いてある。" for number in range(40)],
        "law": ["第一条　この規則は、図書室の本の貸し出しについて定める。"],
        "empty": ["短い"],
    }
    for name, lines in texts.items():
        written = "".join(json.dumps({"text": line}, ensure_ascii=False) + "\n" for line in lines)
        (folder / "raw" / f"{name}.jsonl").write_text(written, encoding="utf-8")
    sources = [
        {"format": "jsonl", "name": name, "paths": [f"{name}.jsonl"], "text_field": "text",
         "rights": {"licence": "CC0-1.0", "attribution": "jpfm"}}
        for name in texts
    ]  # fmt: skip
    recipe = {
        "stage": "data", "name": "uneven", "root": str(folder / "raw"), "sources": sources,
        "steps": [
            {"step": "characters"}, {"step": "length", "minimum_chars": 10},
            {"step": "split", "held_out_share": 0.2},
        ],
    }  # fmt: skip
    (folder / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    built = build(config.load(folder / "recipe.yaml", Recipe).config, folder / "corpus")
    assert built is not None
    kept = {name: (entry["kept"], bool(entry["held_out"])) for name, entry in built.manifest.stats["sources"].items()}
    assert kept == {"notes": (40, True), "law": (1, False), "empty": (0, False)}
    return built


def saved(tokenizer: Tokenizer, folder: Path) -> Path:
    folder.mkdir(parents=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def unigram(folder: Path, pieces: dict[str, float]) -> Path:
    """Unigram with byte fallback and ▁ for a space, as jpfm exports it."""
    vocabulary = [("<unk>", 0.0), *pieces.items(), *((byte, -50.0) for byte in BYTES)]
    made = Tokenizer(models.Unigram(vocabulary, unk_id=0, byte_fallback=True))
    made.normalizer = normalizers.Replace(" ", "▁")
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return saved(made, folder)


def byte_level(folder: Path, joined: list[bytes]) -> Path:
    """Byte-level BPE that joins the bytes of each given stretch from the left, and nothing else."""
    letters = {byte: letter for letter, byte in _alphabet().items()}
    vocabulary = {letters[byte]: number for number, byte in enumerate(sorted(letters))}
    merges: list[tuple[str, str]] = []
    for stretch in joined:
        spelled = "".join(letters[byte] for byte in stretch)
        for end in range(1, len(spelled)):
            pair = (spelled[:end], spelled[end])
            if pair not in merges:
                merges.append(pair)
                vocabulary.setdefault(spelled[: end + 1], len(vocabulary))
    made = Tokenizer(models.BPE(vocabulary, merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    return saved(made, folder)


def _alphabet() -> dict[str, int]:
    """Letter to byte, asked of the library itself: an oracle for our own table."""
    pre = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found: dict[str, int] = {}
    for code in range(0x800):
        spelled = "".join(part for part, _ in pre.pre_tokenize_str(chr(code)))
        found.update(zip(spelled, chr(code).encode(), strict=True))
    for code in (
        0x800,
        0x1000,
        0xFFFF,
        0x10000,
        0x40000,
        0x80000,
        0xC0000,
        0x100000,
        *range(0x1000, 0xD001, 0x1000),
        0xE000,
    ):
        spelled = "".join(part for part, _ in pre.pre_tokenize_str(chr(code)))
        found.update(zip(spelled, chr(code).encode(), strict=True))
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):  # bytes that no text holds
        if letter not in found:
            found[letter] = next(byte for byte in range(256) if byte not in found.values())
    return found


def word_piece(folder: Path, pieces: list[str]) -> Path:
    made = Tokenizer(models.WordPiece({"[UNK]": 0} | {p: n for n, p in enumerate(pieces, 1)}, unk_token="[UNK]"))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece()
    return saved(made, folder)
