"""The items of an eval config as JSON Lines, for the step that keeps them out of training data.

    counts = write_items(config.tasks, Path("items.jsonl"))      # {"jcommonsenseqa": 1119, "era_dates": 0}

    - step: decontaminate
      benchmarks: [{name: eval, path: items.jsonl, name_field: benchmark, id_field: item, fields: [text]}]

A file and not a link between the two stages: a corpus is often built where no eval config is, and its id covers what
the file holds.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from jpfm.core.artifact import write_text
from jpfm.core.errors import UsageError
from jpfm.eval.task import Task


def write_items(tasks: Sequence[Task], path: Path) -> dict[str, int]:
    """Write one line a text: {"benchmark": ..., "item": ..., "text": ...}, in the order of the tasks.

    Returns:
        How many texts each task has; 0 for those whose items are generated or come from the corpus.
    Raises:
        UsageError: no task has items, or the file cannot be written there.
        DataError: a task's file is missing or not the one it was made for.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise UsageError(f"{path}: not a file that can be written", hint="name a file in a folder that exists")
    counts, lines = {}, []
    for task in tasks:
        texts = list(task.texts())
        counts[task.name] = len(texts)
        lines += [
            json.dumps({"benchmark": task.name, "item": item, "text": text}, ensure_ascii=False, sort_keys=True)
            for item, text in texts
        ]
    if not lines:
        raise UsageError(
            f"no task of this config has items to look for: {', '.join(counts)}",
            hint="tasks that generate their items need none; name a config with published benchmarks",
        )
    write_text(path, "\n".join(lines) + "\n")
    return counts
