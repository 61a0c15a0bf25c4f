"""URLs in recipes: a web server without byte ranges, one with them, one that breaks off, and what is not there."""

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jpfm.core.errors import DataError, EnvironmentProblem
from jpfm.data.document import Document, Quarantined


class Plain(http.server.SimpleHTTPRequestHandler):
    """Python's own server: no ranges. A name with `cut` breaks off half-way."""

    ranges = False

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        data = path.read_bytes()
        asked = self.headers.get("Range")
        if self.ranges and asked:
            first, last = asked.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last) + 1 if last else None]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        else:
            part = data
            self.send_response(200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part[: len(part) // 2] if "cut" in path.name else part)


class Ranged(Plain):
    ranges = True


@pytest.fixture(params=[Plain, Ranged])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    handler = functools.partial(request.param, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _read(source: Any, root: Path, slice_bytes: int) -> list[Document | Quarantined]:
    return [item for piece in source.pieces(root, slice_bytes) for item in source.documents(piece)]


def test_files_are_read_from_a_web_server(site: str, make_source: Callable[..., Any], tmp_path: Path) -> None:
    rows = [f'{{"text": "第{n}の文書である。"}}' for n in range(300)]
    (tmp_path / "a.jsonl").write_text("\n".join(rows), encoding="utf-8")
    pq.write_table(pa.table({"text": ["一", "二", "三"]}), tmp_path / "b.parquet", row_group_size=1)
    wanted = [f"第{n}の文書である。" for n in range(300)]
    for slice_bytes in (1 << 20, 2000):  # whole, and in ranges
        found = _read(make_source("jsonl", paths=(f"{site}/a.jsonl",)), tmp_path, slice_bytes)
        assert [doc.text for doc in found if isinstance(doc, Document)] == wanted
    found = _read(make_source("parquet", paths=(f"{site}/b.parquet",)), tmp_path, 1)
    assert [doc.text for doc in found if isinstance(doc, Document)] == ["一", "二", "三"]


def test_archives_are_opened_there(site: str, make_source: Callable[..., Any], tmp_path: Path) -> None:
    import gzip
    import zipfile

    (tmp_path / "a.txt.gz").write_bytes(gzip.compress("圧縮した文書".encode()))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("中.txt", "箱の中の文書")
    source = make_source("text", paths=(f"{site}/a.txt.gz", f"{site}/b.zip"))
    found = _read(source, tmp_path, 1 << 20)
    assert [doc.text for doc in found if isinstance(doc, Document)] == ["圧縮した文書", "箱の中の文書"]
    assert [entry.bytes for entry in source.entries(list(source.pieces(tmp_path, 1 << 20)))] == [
        (tmp_path / name).stat().st_size for name in ("a.txt.gz", "b.zip")
    ]


def test_a_transfer_that_breaks_off_is_quarantined(site: str, make_source: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "cut.txt").write_text("途中で切れる文書。" * 4000, encoding="utf-8")
    (found,) = _read(make_source("text", paths=(f"{site}/cut.txt",)), tmp_path, 1 << 20)
    assert isinstance(found, Quarantined)
    assert found.error == "archive"


def test_what_cannot_be_reached_is_said_before_anything_is_built(
    site: str, make_source: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="no file matches"):
        make_source("text", paths=(f"{site}/nothing.txt",)).files(tmp_path)
    with pytest.raises(DataError, match="no file matches"):
        make_source("text", paths=("http://127.0.0.1:9/a.txt",)).files(tmp_path)
    with pytest.raises(EnvironmentProblem) as caught:
        make_source("text", paths=("nosuch://bucket/a.txt",)).files(tmp_path)
    assert "install" in caught.value.hint
