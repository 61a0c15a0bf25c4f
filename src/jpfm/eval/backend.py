"""A checkpoint as something that can be asked: log probabilities and greedy text, in batches of like length.

    model = CheckpointModel.open(Path("out/model"), batch_tokens=8192)

Every sequence begins with the tokenizer's EOS, as every document did in training. Context and continuation are encoded
apart, so a continuation has the same tokens whatever stands before it.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from jpfm.core import artifact as artifacts
from jpfm.core.artifact import Artifact
from jpfm.core.errors import ArtifactError, DataError
from jpfm.core.log import progress
from jpfm.eval.task import LogLikelihood
from jpfm.tokens import tokenizer as tokenizers


class CheckpointModel:
    """A jpfm checkpoint on the device at hand."""

    def __init__(self, artifact: Artifact, model: Any, tokenizer: Any, batch_tokens: int) -> None:
        self.artifact, self.model, self.tokenizer, self.batch_tokens = artifact, model, tokenizer, batch_tokens
        self.device = next(model.parameters()).device
        self.max_length = int(model.config.max_position_embeddings)
        self.start = int(tokenizer.eos_token_id)
        self.newline = int(tokenizer.encode("\n", add_special_tokens=False)[-1])  # byte-level pieces spell it otherwise

    @classmethod
    def open(cls, path: Path, batch_tokens: int) -> "CheckpointModel":
        """Open a checkpoint artifact after checking its files.

        Raises:
            ArtifactError: no manifest, or a file differs from it.
        """
        artifact = artifacts.open_artifact(path, "checkpoint")
        if problems := artifacts.verify(path):
            raise ArtifactError(
                f"checkpoint {path} is damaged: {problems[0]}", hint="copy it again or train again; see `jpfm verify`"
            )
        transformers.utils.logging.disable_progress_bar()  # jpfm shows its own
        tokenizer = tokenizers.load(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, trust_remote_code=False)
        if len(tokenizer) > model.config.vocab_size:
            raise ArtifactError(
                f"{path}: the tokenizer has {len(tokenizer)} pieces, the model {model.config.vocab_size} rows",
                hint="the folder mixes two checkpoints; copy it again",
            )
        model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        return cls(artifact, model, tokenizer, batch_tokens)

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[LogLikelihood]:
        contexts = {context: self.encode(context) for context in dict.fromkeys(c for c, _ in pairs)}
        sequences = []
        for context, continuation in pairs:
            after = self.encode(continuation)
            if not after:
                raise DataError(f"an empty continuation after {context[-40:]!r}", hint="mend the task's choices")
            room = self.max_length + 1 - len(after)
            before = [self.start, *contexts[context]][-room:]
            sequences.append((before, after))
        return self._score(sequences, "log likelihoods")

    def document_loglikelihood(self, texts: Sequence[str]) -> list[LogLikelihood]:
        stride = self.max_length // 2
        sequences, owners = [], []
        for owner, text in enumerate(texts):
            tokens = [self.start, *self.encode(text), self.start]
            position = 1
            while position < len(tokens):
                stop = min(len(tokens), self.max_length + 1 if position == 1 else position + stride)
                first = max(0, stop - self.max_length - 1)
                sequences.append((tokens[first:position], tokens[position:stop]))
                owners.append(owner)
                position = stop
        totals = [[0.0, 0] for _ in texts]
        for owner, part in zip(owners, self._score(sequences, "documents"), strict=True):
            totals[owner][0] += part.total
            totals[owner][1] += part.num_tokens
        return [LogLikelihood(total, int(count)) for total, count in totals]

    def _score(self, sequences: Sequence[tuple[list[int], list[int]]], what: str) -> list[LogLikelihood]:
        out: list[LogLikelihood | None] = [None] * len(sequences)
        lengths = [len(before) + len(after) - 1 for before, after in sequences]
        with torch.inference_mode(), progress(what, total=len(sequences), unit="sequences") as bar:
            for batch in _batches(lengths, self.batch_tokens):
                width = max(lengths[index] for index in batch)
                ids = torch.full((len(batch), width), self.start, dtype=torch.long)
                for row, index in enumerate(batch):
                    before, after = sequences[index]
                    ids[row, : lengths[index]] = torch.tensor([*before, *after][:-1])
                hidden = self.model.model(ids.to(self.device), use_cache=False).last_hidden_state
                for row, index in enumerate(batch):  # only the continuation's positions meet the output matrix
                    before, after = sequences[index]
                    states = hidden[row, len(before) - 1 : len(before) - 1 + len(after)]
                    scores = torch.log_softmax(self.model.lm_head(states).float(), dim=-1)
                    goal = torch.tensor(after, device=self.device)
                    total = scores.gather(1, goal[:, None]).double().sum()
                    out[index] = LogLikelihood(float(total), len(after))
                bar.advance(len(batch))
        return [value for value in out if value is not None]

    def generate(self, prompts: Sequence[str], *, max_new_tokens: int) -> list[str]:
        encoded = [[self.start, *self.encode(prompt)][-(self.max_length - max_new_tokens) :] for prompt in prompts]
        out = [""] * len(prompts)
        lengths = [len(tokens) + max_new_tokens for tokens in encoded]
        with torch.inference_mode(), progress("generating", total=len(prompts), unit="prompts") as bar:
            for batch in _batches(lengths, self.batch_tokens):
                width = max(len(encoded[index]) for index in batch)
                ids = torch.full((len(batch), width), self.start, dtype=torch.long)
                mask = torch.zeros((len(batch), width), dtype=torch.long)
                for row, index in enumerate(batch):
                    ids[row, width - len(encoded[index]) :] = torch.tensor(encoded[index])
                    mask[row, width - len(encoded[index]) :] = 1
                answers = self.model.generate(
                    input_ids=ids.to(self.device), attention_mask=mask.to(self.device), do_sample=False,
                    max_new_tokens=max_new_tokens, use_cache=True, eos_token_id=[self.start, self.newline],
                    pad_token_id=self.start,
                )[:, width:]  # fmt: skip
                for row, index in enumerate(batch):
                    text = self.tokenizer.decode(answers[row], skip_special_tokens=True)
                    out[index] = str(text).split("\n", 1)[0].strip()
                bar.advance(len(batch))
        return out


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, each within a budget of padded tokens."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batch: list[int] = []
    for index in order:
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
