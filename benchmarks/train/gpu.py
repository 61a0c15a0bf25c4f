"""What the GPU did while an arm ran, by nvidia-smi: clocks, power, temperature. Nothing where there is no GPU."""

import shutil
import statistics
import subprocess
import tempfile
from typing import IO, Any, Literal

_QUERY = "clocks.sm,clocks.mem,power.draw,temperature.gpu"


class Watch:
    """Asks every half second, in a process of its own."""

    def __init__(self, device: Literal["cpu", "cuda"]) -> None:
        """On a CPU, or without nvidia-smi, it does nothing."""
        self._on = device == "cuda" and shutil.which("nvidia-smi") is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._file: IO[bytes] | None = None
        self._rows: list[list[float]] = []

    def __enter__(self) -> "Watch":
        if self._on:
            self._file = tempfile.TemporaryFile()
            self._process = subprocess.Popen(
                ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits", "-lms", "500", "-i", "0"],
                stdout=self._file, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        return self

    def __exit__(self, *_: Any) -> None:
        if self._process is None or self._file is None:
            return
        self._process.terminate()
        self._process.wait()
        self._file.seek(0)
        for line in self._file.read().decode().splitlines():
            try:
                self._rows.append([float(word) for word in line.split(",")])
            except ValueError:  # the driver says [N/A] for what it does not know, and the last line is cut
                continue
        self._file.close()

    def facts(self) -> dict[str, float]:
        """Medians over the later half, when the arm was training: MHz, MHz, W, degrees Celsius."""
        rows = self._rows[len(self._rows) // 2 :]
        if not rows:
            return {}
        names = ("sm_mhz", "memory_mhz", "watts", "celsius")
        return {name: statistics.median(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
