"""Bits per character of held-out text, so that models with different tokenizers can be compared.

    bits_per_character(model, encode, texts, start=eos, seq_len=512)

Bits per character = -log2 p(text) / characters. Perplexity per token is not comparable: with longer tokens there are
fewer of them, each harder, and the same model of the text has a higher perplexity. The text's own tokens count, not its
end, because a base model may not know the end of documents.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

Encode = Callable[[Sequence[str]], list[list[int]]]


def bits_per_character(
    model: Any, encode: Encode, texts: Sequence[str], *, start: int, seq_len: int, batch_rows: int = 8
) -> float:
    """Mean code length of texts under a model.

    Args:
        start: id of the token before each text.
        seq_len: tokens in a window; a longer text is read in windows that overlap by half, and each token is scored
            once, with at least half a window before it where the text has that much.
    """
    device = next(model.parameters()).device
    windows: list[tuple[list[int], int]] = []
    for ids in encode(texts):
        windows += _windows([start, *ids], seq_len)
    windows.sort(key=lambda window: -len(window[0]))
    total = 0.0
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        for first in range(0, len(windows), batch_rows):
            rows = windows[first : first + batch_rows]
            width = len(rows[0][0])
            ids = torch.full((len(rows), width), start, dtype=torch.long)
            counted = torch.zeros((len(rows), width - 1), dtype=torch.bool)
            for row, (tokens, before) in enumerate(rows):
                ids[row, : len(tokens)] = torch.tensor(tokens)
                counted[row, before - 1 : len(tokens) - 1] = True
            logits = model(ids[:, :-1].to(device), use_cache=False).logits.float()
            scores = torch.log_softmax(logits, dim=-1).gather(2, ids[:, 1:, None].to(device))[..., 0]
            total -= float(scores.cpu().double()[counted].sum())
    model.train(was_training)
    return total / math.log(2) / max(sum(map(len, texts)), 1)


def _windows(tokens: list[int], seq_len: int) -> list[tuple[list[int], int]]:
    """Windows of at most seq_len + 1 tokens and how many at the beginning are only read, not scored."""
    found = []
    position = 1
    while position < len(tokens):
        stop = min(len(tokens), seq_len + 1 if position == 1 else position + seq_len // 2)
        begin = max(0, stop - seq_len - 1)
        found.append((tokens[begin:stop], position - begin))
        position = stop
    return found
