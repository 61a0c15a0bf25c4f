"""Making a recipe or a source in one line."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from jpfm.data.document import Document, Quarantined
from jpfm.data.recipe import Recipe
from jpfm.data.sources import AnySource
from jpfm.data.sources.base import Piece

CC0 = {"licence": "CC0-1.0"}
_SOURCE: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(AnySource)


@pytest.fixture(scope="session")
def make_source() -> Callable[..., Any]:
    """`make_source("jsonl", text_field="body")`"""

    def make(form: str, **settings: Any) -> Any:
        return _SOURCE.validate_python({"format": form, "name": "s", "paths": ("*",), "rights": CC0} | settings)

    return make


@pytest.fixture
def read_file(make_source: Callable[..., Any], tmp_path: Path) -> Callable[..., list[Document | Quarantined]]:
    """`read_file("html", "a.html", data)`: what a source makes of a real file with these bytes."""

    def read(form: str, name: str, data: bytes, **settings: Any) -> list[Document | Quarantined]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return list(make_source(form, **settings).documents(Piece(str(path), name, len(data))))

    return read


@pytest.fixture
def make_recipe(tmp_path: Path) -> Callable[..., Recipe]:
    """`make_recipe({"a.txt": "本文"}, ["normalize"])`: a recipe of one text source over files written to `raw/`."""

    def make(files: Mapping[str, str | bytes], steps: list[str | dict[str, Any]], **settings: Any) -> Recipe:
        for name, content in files.items():
            path = tmp_path / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        source = {"format": "text", "name": "s", "paths": ("**/*",), "rights": CC0} | settings.pop("source", {})
        parsed = [{"step": step} if isinstance(step, str) else step for step in steps]
        body = {"stage": "data", "name": "small", "root": str(tmp_path / "raw"), "sources": (source,), "steps": parsed}
        return Recipe.model_validate(body | settings)

    return make
