"""Which special tokens a tokenizer has, and their ids.

Ids 0 to 3 are `<|unk|> <|bos|> <|eos|> <|pad|>`, not <s>, which stands in HTML and C++. *Control* tokens follow; text
that spells one stays text. *In-text* symbols (the line end, and those of `user_defined`) are one token wherever they
stand in text. Then come 256 bytes, the pieces, and reserved tokens up to the wanted multiple.
"""

import re
from typing import Annotated, Self

import pydantic

from jpfm.core.config import Settings

SPECIALS = ("<|unk|>", "<|bos|>", "<|eos|>", "<|pad|>")
UNK, BOS, EOS, PAD = range(4)
NEWLINE = "\n"
CHAT = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TOOLS = ("<|tools|>", "<|tool_call|>", "<|tool_result|>")
FILL_IN_THE_MIDDLE = ("<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
_NAME = re.compile(r"<\|(?:\w|[!-;=?-{}~])+\|>")  # marks from ! to ~ without < > |


def reserved(number: int) -> str:
    """The name of the n-th reserved token, n from 0.

    >>> reserved(7)
    '<|reserved_7|>'
    """
    return f"<|reserved_{number}|>"


class SpecialTokens(Settings):
    """Tokens beside the pieces that are learned."""

    chat: bool = True
    """<|system|> <|user|> <|assistant|> <|end|>"""
    tools: bool = True
    """<|tools|> (what may be called), <|tool_call|>, <|tool_result|>; needs `chat`."""
    fill_in_the_middle: bool = True
    """<|fim_prefix|> <|fim_middle|> <|fim_suffix|>"""
    reserved: Annotated[int, pydantic.Field(ge=0, le=10_000)] = 0
    """Tokens <|reserved_0|>... kept for later; padding of the vocabulary counts on from here."""
    extra: tuple[str, ...] = ()
    """Control tokens of your own, e.g. <|image|> or <|音声|>: letters and digits of any script, and ASCII marks other
    than < > |, without spaces."""
    user_defined: tuple[str, ...] = ()
    """Symbols that are always one token in text, e.g. <br>. Spaces and line ends cannot stand in them.
    Where occurrences overlap (in a run of them), the model decides which are tokens."""

    @property
    def control(self) -> tuple[str, ...]:
        """Control tokens behind the first four, in the order of their ids."""
        return (
            *(CHAT if self.chat else ()), *(TOOLS if self.tools else ()),
            *(FILL_IN_THE_MIDDLE if self.fill_in_the_middle else ()), *self.extra,
            *(reserved(number) for number in range(self.reserved)),
        )  # fmt: skip

    @property
    def in_text(self) -> tuple[str, ...]:
        """The line end and the symbols of `user_defined`, in the order of their ids."""
        return (NEWLINE, *self.user_defined)

    @pydantic.model_validator(mode="after")
    def _sound(self) -> Self:
        if self.tools and not self.chat:
            raise ValueError("tools: true needs chat: true")
        names = (*SPECIALS, *self.control, *self.in_text)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice")
        for name in self.extra:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"extra: {name!r} is not written <|name|>, the name of letters and digits of any script and ASCII "
                    "marks other than < > |, without spaces"
                )
            if name.startswith("<|reserved_"):
                raise ValueError(f"extra: {name!r} is a name of reserved tokens; set reserved: COUNT")
        for name in self.user_defined:
            if not name or len(name) > 64 or any(char in name for char in " ▁\n\x00\x1f"):
                raise ValueError(f"user_defined: {name!r} is empty, too long, or holds a space, ▁, line end or control")
            inside = [other for other in self.user_defined if other != name and other in name]
            if inside:
                raise ValueError(f"user_defined: {name!r} holds {inside[0]!r}, which could never stand in it")
            if name.startswith("<|") or (name.startswith("<0x") and len(name) == 6):
                raise ValueError(f"user_defined: {name!r} is written like a control or byte token")
        return self
