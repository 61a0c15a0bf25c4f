"""The README.md of a corpus: what it is for a person, and what `datasets.load_dataset` reads for a program.

datasets.load_dataset("out/corpus")                      # the documents
datasets.load_dataset("out/corpus", "dropped")           # what was taken out, and why
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jpfm.data.recipe import Recipe

_PARTS = ("documents", "dropped", "quarantined", "edits")


def card(recipe: Recipe, counts: Mapping[str, Any], folder: Path) -> str:
    """The card of a corpus in `folder`, whose files are in place."""
    configs = []
    for part in _PARTS:
        if any((folder / part).glob("*.parquet")):
            name = "default" if part == "documents" else part
            files = [("train", f"{part}/*[0-9].parquet")]
            if any((folder / part).glob("*.held_out.parquet")):
                files.append(("validation", f"{part}/*.held_out.parquet"))
            listed = ", ".join(f"{{split: {split}, path: '{path}'}}" for split, path in files)
            configs.append(f"- config_name: {name}\n  data_files: [{listed}]")
    total = counts["total"]
    rows = [f"| {name} | {entry['read']:,} | {entry['kept']:,} | {entry['chars']:,} |"
            for name, entry in counts["sources"].items()]  # fmt: skip
    terms = [
        f"- {source.name}: {source.rights.licence}, {source.rights.attribution or '-'}, {source.rights.url or '-'}"
        for source in recipe.sources
        if hasattr(source, "rights")
    ]
    return "\n".join(
        [
            "---", "language: ja", f"pretty_name: {json.dumps(recipe.name, ensure_ascii=False)}", "configs:", *configs,
            "---", "", f"# {recipe.name}", "",
            f"{total['kept']:,} documents, {total['chars']:,} characters, of {total['read']:,} read. Made by jpfm; "
            "`manifest.json` names every input, step and count.", "",
            "| source | read | kept | characters |", "|---|---|---|---|", *rows, "",
            "Rights of each source:", "", *terms, "",
        ]
    )  # fmt: skip
