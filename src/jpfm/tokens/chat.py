"""The chat template, and conversations as ids where text can never make a special token.

    turns = encode(tokenizer, [{"role": "user", "content": "猫は好き？"}], add_generation_prompt=True)
    turns.ids, turns.is_answer

A conversation begins with <|eos|>, as every document does in training, and each turn is
`<|role|>text<|end|>`. What the assistant writes, its tool calls and its <|end|> stand in `{% generation %}`, so that
`apply_chat_template(..., return_assistant_tokens_mask=True)` marks what a loss may learn.

`apply_chat_template(tokenize=True)` renders one string and then reads it: a message that *spells* <|end|> ends the
turn. `encode` reads special tokens only out of the template's own text. Use it for text of others (training data, what
users write); `encode_special_tokens` and `split_special_tokens` cannot help, for they hide the template's tokens too.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
from transformers import PreTrainedTokenizerFast

from jpfm.core.errors import UsageError

CHAT_TEMPLATE = """\
{{- eos_token }}
{%- if tools %}
{{- '<|tools|>' }}
{%- for tool in tools %}{{ tool | tojson }}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}
{{- '<|end|>' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|assistant|>' }}
{%- generation %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{{- '<|tool_call|>' + (call.function or call) | tojson }}
{%- endfor %}
{{- '<|end|>' }}
{%- endgeneration %}
{%- elif message.role == 'tool' %}
{{- '<|tool_result|>' + message.content + '<|end|>' }}
{%- elif message.role in ('system', 'user') %}
{{- '<|' + message.role + '|>' + message.content + '<|end|>' }}
{%- else %}
{{- raise_exception('unknown role ' + message.role + '; one of: system, user, assistant, tool') }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|assistant|>' }}
{%- endif %}
"""

_MARK = "\ufdd0"
"""A noncharacter that stands inside spelled special tokens while the template is rendered."""


class Turns(NamedTuple):
    """A conversation as a model reads it."""

    ids: list[int]
    is_answer: list[bool]
    """True where the assistant writes: what a loss may learn, its <|end|> included."""


def encode(
    tokenizer: PreTrainedTokenizerFast,
    messages: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Mapping[str, Any]] | None = None,
    add_generation_prompt: bool = False,
) -> Turns:
    """Ids of a conversation; text that spells a special token stays text.

    Equal to `apply_chat_template` where no message spells one.

    Raises:
        UsageError: the tokenizer is none of transformers' fast ones (a folder's name, say) or has no chat template, or
            a message has no known role or no text.
    """
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise UsageError(
            f"a fast tokenizer of transformers is wanted, not {type(tokenizer).__name__}: {str(tokenizer)[:80]}",
            hint="open the folder first: jpfm.tokens.tokenizer.load(Path(FOLDER))",
        )
    if not tokenizer.chat_template:
        raise UsageError("this tokenizer has no chat template", hint="train it with special_tokens: {chat: true}")
    try:
        rendered = tokenizer.apply_chat_template(
            _guarded(list(messages)), tools=_guarded(list(tools)) if tools else None, tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )  # fmt: skip
    except (jinja2.TemplateError, TypeError) as error:
        raise UsageError(
            f"a message does not fit the chat template: {error}", hint="role and content of each"
        ) from error
    assistant, end = tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|end|>"])
    ids: list[int] = []
    is_answer: list[bool] = []
    answers = False
    for part in re.split(r"(<\|[^|]+\|>)", str(rendered)):
        if part in tokenizer.added_tokens_encoder:
            ids.append(tokenizer.added_tokens_encoder[part])
            is_answer.append(answers)
            answers = ids[-1] == assistant or (answers and ids[-1] != end)
        elif part:
            text = re.sub(f"{_MARK}({_MARK}?)", r"\1", part)
            found = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            ids += found
            is_answer += [answers] * len(found)
    return Turns(ids, is_answer)


def _guarded(value: Any) -> Any:
    """The same value with a mark in every <| of its strings."""
    if isinstance(value, str):
        return value.replace(_MARK, _MARK * 2).replace("<|", f"<{_MARK}|")
    if isinstance(value, Mapping):
        return {key: _guarded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_guarded(item) for item in value]
    return value
