"""Extending a model: old rows stay, new rows cost little, the result trains, scores and is refused where it must be."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from tests.tokens.extension_bases import BaseFamily, make
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from jpfm.cli import cli, extend_command
from jpfm.core import lineage
from jpfm.core.artifact import Artifact, open_artifact, sha256, verify
from jpfm.core.errors import ArtifactError, DataError, UsageError
from jpfm.data.build import read_documents
from jpfm.eval.backend import CheckpointModel
from jpfm.model.extend import ExtendConfig, extend
from jpfm.model.extend_base import find_base
from jpfm.model.extend_perplexity import bits_per_character
from jpfm.model.extend_rows import aligned_rows, fill, grow, mean_rows, new_values
from jpfm.tokens.encoder import Encoder
from jpfm.tokens.extension.base import BaseTokenizer
from jpfm.tokens.extension.extend import Extension, VocabularySettings, extend_tokenizer

VOCABULARY = {"pieces": 200, "minimum_count": 4}


def lines_of(corpus: Artifact) -> list[str]:
    return [
        line for batch in read_documents(corpus, ["text"], split="train")
        for text in batch.column("text").to_pylist() for line in text.split("\n") if line
    ]  # fmt: skip


def tiny(rows: int, *, tied: bool, dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=rows, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=96, max_position_embeddings=96, tie_word_embeddings=tied, pad_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).to(dtype)


def train(model: Any, tokenizer: Any, lines: list[str], steps: int) -> None:
    """Next-token training on a stream of the lines, with warm-up and decay."""
    stream = [number for line in lines for number in [*tokenizer(line)["input_ids"], tokenizer.eos_token_id]]
    rows = torch.tensor(stream[: len(stream) // 64 * 64]).view(-1, 64)
    optimizer = torch.optim.AdamW(model.parameters())
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(1, (step + 1) / 20) * (1 - 0.9 * step / steps)
        batch = rows[torch.arange(step * 8, step * 8 + 8) % len(rows)]
        optimizer.zero_grad()
        model(batch, labels=batch).loss.backward()
        optimizer.step()


def base_model(
    family: BaseFamily, folder: Path, lines: list[str], *, tied: bool, spare: int = 40, steps: int = 40
) -> Path:
    """A tokenizer and a model that has learned a little, with rows above the tokenizer as Qwen has."""
    make(family, folder, lines[::8])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    model = tiny(len(tokenizer) + spare, tied=tied)
    train(model, tokenizer, lines, steps)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def lines(corpus: Artifact) -> list[str]:
    return lines_of(corpus)


@pytest.fixture(scope="module")
def byte_level(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained until it uses context: before that, random rows cost less, because it only knows frequencies."""
    return base_model("llama3", tmp_path_factory.mktemp("byte_level"), lines, tied=False, steps=250)


@pytest.fixture(scope="module")
def unigram(lines: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_model("unigram", tmp_path_factory.mktemp("unigram"), lines, tied=True)


def settings(base: Path, **changes: Any) -> ExtendConfig:
    given = {"stage": "extend", "base": str(base), "vocabulary": VOCABULARY, "fuzzed_strings": 300,
             "perplexity_chars": 4000, "perplexity_seq_len": 64}  # fmt: skip
    return ExtendConfig.model_validate(given | changes)


@pytest.fixture(scope="module")
def made(byte_level: Path, corpus: Artifact, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return extend(settings(byte_level), corpus, tmp_path_factory.mktemp("made") / "extended")


def test_old_rows_stay_bit_for_bit_and_the_sizes_fit(made: Artifact, byte_level: Path) -> None:
    old = AutoModelForCausalLM.from_pretrained(byte_level)
    new = AutoModelForCausalLM.from_pretrained(made.path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(made.path)
    first = len(PreTrainedTokenizerFast.from_pretrained(byte_level))
    assert len(tokenizer) == first + 200 == made.manifest.stats["vocab_size"]
    assert new.config.vocab_size == new.lm_head.weight.shape[0] == new.model.embed_tokens.weight.shape[0]
    assert new.config.vocab_size % 64 == 0 <= new.config.vocab_size - len(tokenizer)
    for was, now in ((old.model.embed_tokens, new.model.embed_tokens), (old.lm_head, new.lm_head)):
        assert torch.equal(was.weight[:first], now.weight[:first])
    assert not torch.equal(new.model.embed_tokens.weight, new.lm_head.weight)
    others = {name: value for name, value in old.state_dict().items() if value.shape[0] != old.config.vocab_size}
    assert all(torch.equal(value, new.state_dict()[name]) for name, value in others.items())


def test_new_rows_are_the_means_of_the_old_pieces_of_their_text(made: Artifact, byte_level: Path) -> None:
    old = AutoModelForCausalLM.from_pretrained(byte_level)
    new = AutoModelForCausalLM.from_pretrained(made.path)
    before, after = (PreTrainedTokenizerFast.from_pretrained(path) for path in (byte_level, made.path))
    looked_at = 0
    for number in range(len(before), len(after)):
        text = after.decode([number])
        if "\ufffd" in text or after(text)["input_ids"] != [number]:
            continue
        parts = before(text)["input_ids"]
        assert len(parts) > 1
        for was, now in ((old.model.embed_tokens, new.model.embed_tokens), (old.lm_head, new.lm_head)):
            torch.testing.assert_close(now.weight[number], was.weight[parts].mean(0), atol=1e-6, rtol=1e-5)
        looked_at += 1
    assert looked_at > 100


def test_a_mean_costs_less_than_a_random_row_and_the_figures_are_comparable(made: Artifact) -> None:
    bits = made.manifest.stats["bits_per_character"]
    assert set(bits) == {"base", "mean", "align", "random", "base_ids"}
    assert all(math.isfinite(value) and value > 0 for value in bits.values())
    assert bits["mean"] == bits["align"], "for BPE they are the same rows"
    assert bits["mean"] < bits["random"]
    assert bits["base"] < bits["base_ids"] < bits["base"] + 1, "new output rows take a little probability"
    training = made.manifest.stats["training"]
    assert training["whole_characters"] + training["parts_of_characters"] == 200
    rates = made.manifest.stats["checks"]["chars_per_token"]["all"]
    assert rates["after"] > rates["before"]


def test_tied_unigram_model_with_a_head_of_its_own_rows(unigram: Path, corpus: Artifact, tmp_path: Path) -> None:
    done = extend(settings(unigram, init="align", rescale=True), corpus, tmp_path / "extended")
    model = AutoModelForCausalLM.from_pretrained(done.path)
    assert model.config.tie_word_embeddings
    assert model.lm_head.weight.data_ptr() == model.model.embed_tokens.weight.data_ptr()
    first = done.manifest.stats["base"]["ids"]
    norms = model.lm_head.weight.norm(dim=1)
    torch.testing.assert_close(norms[first : first + 200], norms[:first].mean().expand(200), atol=1e-5, rtol=1e-4)
    bits = done.manifest.stats["bits_per_character"]
    assert bits["align"] != bits["mean"]
    assert all(math.isfinite(value) for value in bits.values())


def test_the_artifact_is_whole_and_names_where_it_is_from(made: Artifact, corpus: Artifact) -> None:
    assert not verify(made.path)
    assert made.manifest.kind == "checkpoint"
    assert made.manifest.parents[0] == corpus.id
    tokenizer = open_artifact(made.path / "tokenizer", "tokenizer")
    assert tokenizer.id == made.manifest.stats["tokenizer"]
    assert not verify(tokenizer.path)
    assert str(made.path.parent) not in json.dumps(made.manifest.config | made.manifest.stats)
    same = (tokenizer.path / "tokenizer.json").read_bytes() == (made.path / "tokenizer.json").read_bytes()
    assert same


def test_why_shows_the_base_with_its_name_hashes_and_licence(
    byte_level: Path, corpus: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = {"vocabulary": {"pieces": 50, "minimum_count": 4}, "perplexity_chars": 200}
    stated = settings(byte_level, base_name="nobody/tiny-llama", base_licence="LicenseRef-tiny", **few)
    done = extend(stated, corpus, tmp_path / "extended")
    assert "licence is not stated" not in caplog.text
    base = lineage.parents(done)[1]
    assert isinstance(base, Artifact)
    assert (base.id, base.manifest.kind) == (done.manifest.parents[1], "source")
    hashes = {entry.path: entry.sha256 for entry in base.manifest.files}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= set(hashes)
    assert hashes["tokenizer.json"] == sha256(byte_level / "tokenizer.json")
    moved = tmp_path / "elsewhere" / "extended"
    moved.parent.mkdir()
    done.path.rename(moved)
    tree = lineage.why(moved)
    assert f"{base.id}  nobody/tiny-llama · licence LicenseRef-tiny" in tree
    assert hashes["model.safetensors"][:12] in tree
    assert base.id in lineage.why(moved / "tokenizer"), "the tokenizer alone, as tokens name it, leads there too"
    cli.verify(moved)


def test_a_base_without_a_licence_is_told(made: Artifact, byte_level: Path) -> None:
    assert "base model · licence not stated" in lineage.why(made.path)
    base = find_base(str(byte_level)).as_artifact(None, None)
    assert base.id == made.manifest.parents[1]
    assert base.id != find_base(str(byte_level)).as_artifact(None, "MIT").id
    with pytest.raises(ValueError, match="neither an SPDX expression"):
        settings(byte_level, base_licence="Lama 3")


def test_the_same_input_gives_the_same_bytes(
    made: Artifact, byte_level: Path, corpus: Artifact, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert extend(settings(byte_level), corpus, tmp_path / "again").id == made.id
    assert "licence is not stated" in caplog.text
    assert "set base_licence=" in caplog.text


def test_packing_and_training_go_on_from_it(made: Artifact, lines: list[str]) -> None:
    """The packer's encoder gives the ids, and a few steps of training lower the cost that extending had."""
    import pyarrow as pa

    tokenizer = PreTrainedTokenizerFast.from_pretrained(made.path)
    encoded = Encoder.open(made.path / "tokenizer").encode(pa.array(lines[:50]))
    np.testing.assert_array_equal(encoded.ids, [n for line in lines[:50] for n in tokenizer(line)["input_ids"]])
    model = AutoModelForCausalLM.from_pretrained(made.path)

    def encode(texts: Any) -> list[list[int]]:
        return [tokenizer(text)["input_ids"] for text in texts]

    def bits() -> float:
        return bits_per_character(model, encode, lines[3:40:3], start=tokenizer.eos_token_id, seq_len=64)

    before = bits()
    train(model, tokenizer, lines[:400], 15)
    assert bits() < before


def test_a_checkpoint_of_ours_is_a_parent_and_eval_opens_the_result(
    checkpoint: Artifact, corpus: Artifact, tmp_path: Path
) -> None:
    done = extend(settings(checkpoint.path, vocabulary={"pieces": 50, "minimum_count": 4}), corpus, tmp_path / "x")
    assert done.manifest.parents == (corpus.id, checkpoint.id)
    model = CheckpointModel.open(done.path, 2048)
    (likelihood,) = model.document_loglikelihood(["港の市場では魚を売る声がする。"])
    assert math.isfinite(likelihood.total)


def test_bits_per_character_are_the_code_length_over_characters() -> None:
    """A model of equal probabilities, and one text in one window against the same in many."""
    model = tiny(50, tied=False)
    model.lm_head.weight.data.zero_()

    def encode(texts: Any) -> list[list[int]]:
        return [[ord(char) % 50 for char in text for _ in range(2)] for text in texts]

    texts = ["あいうえお" * 20, "か"]
    for seq_len in (8, 64, 400):
        found = bits_per_character(model, encode, texts, start=0, seq_len=seq_len)
        assert found == pytest.approx(2 * math.log2(50), rel=1e-5)


def test_windows_change_nothing_where_context_does_not_matter_and_little_where_it_does(byte_level: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(byte_level)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(byte_level)

    def encode(texts: Any) -> list[list[int]]:
        return [tokenizer(text)["input_ids"] for text in texts]

    text = "夜の駅に雪が積もり、当直の二人は線路を見ていた。"
    ids = [tokenizer.eos_token_id, *encode([text])[0]]
    scores = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits, -1)[0]
    expected = -float(scores.gather(1, torch.tensor(ids[1:])[:, None]).sum().detach()) / math.log(2) / len(text)
    assert len(ids) < 96
    found = bits_per_character(model, encode, [text], start=ids[0], seq_len=96)
    assert found == pytest.approx(expected, rel=1e-5)


def extension_of(folder: Path, lines: list[str]) -> Extension:
    vocabulary = VocabularySettings.model_validate(VOCABULARY)
    return extend_tokenizer(BaseTokenizer.open(folder), [pl.Series("line", lines)], vocabulary)


def test_for_bpe_alignment_over_the_text_finds_the_pieces_of_the_mean(byte_level: Path, lines: list[str]) -> None:
    extension = extension_of(byte_level, lines)
    text, own = aligned_rows(extension, [pl.Series("line", lines)]), mean_rows(extension)
    old = AutoModelForCausalLM.from_pretrained(byte_level).lm_head.weight.detach()
    rows = [new_values(old, "mean", extension, made, 0) for made in (text, own)]
    whole = [number for number, piece in enumerate(extension.pieces) if b"\xff" not in piece.spelled and _whole(piece)]
    assert len(whole) > 100
    torch.testing.assert_close(rows[0][whole], rows[1][whole], atol=1e-6, rtol=1e-5)


def _whole(piece: Any) -> bool:
    return "\ufffd" not in piece.spelled.decode(errors="replace")


def test_alignment_counts_places_in_the_text(unigram: Path, lines: list[str]) -> None:
    """Against a plain reading of the definition, character by character."""
    extension = extension_of(unigram, lines)
    part = lines[:120]
    made = aligned_rows(extension, [pl.Series("line", part[:50]), pl.Series("line", part[50:])])
    first, extended = extension.base.next_id, extension.tokenizer()
    sums = np.zeros((len(extension.pieces), first))
    places = np.zeros(len(extension.pieces))
    for line in part:
        after = extended.encode(line, add_special_tokens=False)
        before = extension.base.text.encode(line, add_special_tokens=False)
        for number, (start, end) in zip(after.ids, after.offsets, strict=True):
            if number >= first:
                over = [
                    (n, a, b) for n, (a, b) in zip(before.ids, before.offsets, strict=True) if a < end and b > start
                ]
                nested = [n for n, a, b in over if (start <= a and b <= end) or (a <= start and end <= b)]
                chosen = nested or [n for n, _, _ in over]
                places[number - first] += 1
                for one in chosen:
                    sums[number - first, one] += 1 / len(chosen)
    found = np.zeros_like(sums)
    np.add.at(found, (made.new, made.old), made.weight)  # a piece may be made of one old piece twice
    met = places > 0
    np.testing.assert_allclose(found[met], sums[met] / places[met, None], atol=1e-9)
    assert made.never_met == np.count_nonzero(~met)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-9)


def test_random_rows_have_the_old_mean_and_covariance(byte_level: Path, lines: list[str]) -> None:
    extension = extension_of(byte_level, lines)
    old = torch.randn(extension.base.next_id + 40, 6) @ torch.randn(6, 6) + torch.arange(6.0)
    many = torch.cat([new_values(old, "random", extension, None, seed) for seed in range(60)])
    known = old[: extension.base.next_id]
    torch.testing.assert_close(many.mean(0), known.mean(0), atol=0.2, rtol=0.05)
    torch.testing.assert_close(torch.cov(many.T), torch.cov(known.T), atol=0.5, rtol=0.1)


def test_rows_of_the_base_that_get_no_piece_are_kept(byte_level: Path, lines: list[str]) -> None:
    model, extension = AutoModelForCausalLM.from_pretrained(byte_level), extension_of(byte_level, lines)
    model.resize_token_embeddings(extension.size + 30, mean_resizing=False)
    old = model.lm_head.weight.detach().clone()
    had = grow(model, extension.size)
    assert had == extension.size + 30
    fill(model, extension, "mean", mean_rows(extension), rescale=False, seed=0, had=had)
    assert torch.equal(model.lm_head.weight[extension.size :], old[extension.size :])


def test_bfloat16_stays_bfloat16_and_means_are_taken_in_fp32(byte_level: Path, lines: list[str]) -> None:
    extension = extension_of(byte_level, lines)
    model = AutoModelForCausalLM.from_pretrained(byte_level, dtype=torch.bfloat16)
    exact = new_values(model.lm_head.weight.detach(), "mean", extension, mean_rows(extension), 0)
    had = grow(model, extension.size)
    fill(model, extension, "mean", mean_rows(extension), rescale=False, seed=0, had=had)
    assert model.lm_head.weight.dtype == torch.bfloat16
    assert torch.equal(model.lm_head.weight[extension.base.next_id : extension.size], exact.bfloat16())


def test_the_command_prints_the_folder_and_a_dry_run_touches_nothing(
    byte_level: Path, corpus: Artifact, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(__file__).parents[2] / "configs" / "tokenizer" / "extend.yaml"
    given = [f"base={byte_level}", f"corpus={corpus.path}", "vocabulary.pieces=60", "vocabulary.minimum_count=4",
             "fuzzed_strings=100", "perplexity_chars=500"]  # fmt: skip
    extend_command.extend(config, given, tmp_path / "out", dry_run=True)
    shown = capsys.readouterr().out
    assert "60 new pieces for byte_level_bpe" in shown
    assert "base: no base_name, licence not stated" in shown
    extend_command.extend(config, [*given, "vocabulary.pieces=1", "base_licence=MIT"], tmp_path / "out", dry_run=True)
    shown = capsys.readouterr().out
    assert "1 new piece for byte_level_bpe" in shown
    assert "licence MIT" in shown
    assert not any(tmp_path.iterdir())
    extend_command.extend(config, given, tmp_path / "out")
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert open_artifact(tmp_path / "out", "checkpoint").manifest.stats["pieces"] == 60
    with pytest.raises(UsageError, match="corpus: this field is required"):
        extend_command.extend(config, given[:1], tmp_path / "other")


# --- what goes wrong --------------------------------------------------------------------------------------------


def test_a_tokenizer_that_does_not_fit_the_model_is_refused(lines: list[str], corpus: Artifact, tmp_path: Path) -> None:
    folder = base_model("qwen", tmp_path / "base", lines, tied=True, spare=-10, steps=0)
    with pytest.raises(DataError, match="they do not fit"):
        extend(settings(folder), corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_base_is_refused_in_one_line(corpus: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="base: this field is required"):
        extend(settings(tmp_path).model_copy(update={"base": None}), corpus, tmp_path / "out")
    with pytest.raises(UsageError, match="no folder, and no model of that id is in the local cache"):
        extend(settings(tmp_path / "missing"), corpus, tmp_path / "out")
    with pytest.raises(UsageError, match="no folder, and no model of that id is in the local cache"):
        extend(settings(tmp_path).model_copy(update={"base": "nobody/nothing"}), corpus, tmp_path / "out")


def test_a_window_longer_than_the_model_takes_is_refused(byte_level: Path, corpus: Artifact, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a window of 97 tokens, the base takes 96") as caught:
        extend(settings(byte_level, perplexity_seq_len=97), corpus, tmp_path / "out")
    assert "perplexity_seq_len=96" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_a_model_in_pickles_or_none_is_refused(byte_level: Path, corpus: Artifact, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((byte_level / name).read_bytes())
    torch.save({}, base / "pytorch_model.bin")
    with pytest.raises(DataError, match="no model that can be read"):
        extend(settings(base), corpus, tmp_path / "out")


def test_a_damaged_checkpoint_is_refused(checkpoint: Artifact, corpus: Artifact, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(checkpoint.path, copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    with pytest.raises(ArtifactError, match="is damaged"):
        extend(settings(copy), corpus, tmp_path / "out")
