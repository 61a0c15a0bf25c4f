"""Everything a run writes down while it trains: metrics, faults, starts, status, trackers, the bar on the screen.

with Journal(draft, config, built, mesh, accelerator, where, rewound=False) as journal:
    with journal.span("optimizer"): ...
    journal.step(here, report, rate, fault)

Every process has one, because every process measures; the main one writes. `logs/settings.json` holds the settings of
the last start, `logs/runs.jsonl` a line for each start, `logs/faults.jsonl` one for each step that was left out.
"""

import json
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, TypeVar

import torch
from accelerate import Accelerator

from jpfm.core import artifact as artifacts
from jpfm.core import run
from jpfm.core.artifact import Draft
from jpfm.core.log import log, progress
from jpfm.model.estimate import estimate
from jpfm.train import trackers
from jpfm.train.build import Built
from jpfm.train.compute import Report
from jpfm.train.config import TrainConfig
from jpfm.train.faults import Fault
from jpfm.train.held_out import Evaluation
from jpfm.train.mesh import Mesh
from jpfm.train.meter import FAULTS, METRICS, STARTS, Meter, Span, append, finite
from jpfm.train.peak import Peak, device_peak
from jpfm.train.plot import loss_curve
from jpfm.train.state import Progress

Item = TypeVar("Item")


class Journal:
    """One process's record of a run from a start, or a rewind, on."""

    def __init__(
        self, draft: Draft | None, config: TrainConfig, built: Built, mesh: Mesh, accelerator: Accelerator,
        where: Progress, *, rewound: bool,
    ) -> None:  # fmt: skip
        self.draft, self.config, self.accelerator, self.rewound = draft, config, accelerator, rewound
        self._stack = ExitStack()
        self._last_tokens = where.tokens
        self._update_rms: dict[str, float] | None = None
        device = accelerator.device
        peak = device_peak(device, config.precision)
        self.meter = Meter(
            draft.logs if draft is not None else None, where.step, device=device, world=mesh.world,
            flops_per_token=estimate(built.model.config, config.seq_len).flops_per_token,
            peak=peak, first_on_machine=accelerator.is_local_main_process,
        )  # fmt: skip
        self.bar = self._stack.enter_context(
            progress("training", total=config.num_steps, unit="steps", done=where.step)
        )
        if draft is not None:
            self._note_start(built, mesh, where, draft, peak)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _note_start(self, built: Built, mesh: Mesh, where: Progress, draft: Draft, peak: Peak) -> None:
        whole = json.loads(self.config.model_dump_json())
        artifacts.write_text(draft.logs / "settings.json", artifacts.canonical_json(whole, indent=1) + "\n")
        device = self.accelerator.device
        append(draft.logs / STARTS, {
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "step": where.step,
            "resumed": where.step > 0 and not self.rewound, "rewound": self.rewound,
            "peak_flops": peak.flops, "peak_source": peak.source,
            "world": mesh.world,
            "mesh": {"replicate": mesh.replicate, "shard": mesh.shard, "tensor": mesh.tensor},
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else run.hardware().cpu,
            "precision": self.config.precision, "compile": built.compiled,
            "attention": built.attention.implementation, "versions": run.versions(),
        })  # fmt: skip

    def span(self, name: Span) -> Any:
        """Count the time of a block as that of `name`."""
        return self.meter.span(name)

    def waiting(self, name: Span, items: Iterable[Item]) -> Iterator[Item]:
        """The same items; the time until each is there counts."""
        return self.meter.waiting(name, items)

    def step(self, here: Progress, report: Report, rate: float, fault: Fault | None) -> None:
        """A step is over."""
        row: dict[str, Any] = {"step": here.step, "tokens": here.tokens, "loss": report.loss, "lr": rate,
                               "grad_norm": report.grad_norm}  # fmt: skip
        if fault is not None:
            row["skipped"] = fault.kind
        if self._update_rms is not None:
            row["update_rms"], self._update_rms = self._update_rms, None
        line = self.meter.write(row, here.tokens - self._last_tokens, report.joules)
        self._last_tokens = here.tokens
        if self.draft is None:
            return
        self.accelerator.log(trackers.scalars(line), step=here.step)
        self.draft.measured.update(gpu_hours=line["gpu_hours"], energy_joules=line["energy_joules"])
        speed = self.meter.tokens_per_second or line["tokens_per_second"]  # without the first steps, which compile
        self.bar.advance(1, loss=report.loss, **{"tokens/s": speed})
        self.draft.status(
            f"training: step {here.step} of {self.config.num_steps}, loss {report.loss:.4f}, {speed:.0f} tokens/s"
        )

    def fault(self, fault: Fault, action: str, rewound_to: int | None = None) -> None:
        """A step's update was left out."""
        if self.draft is not None:
            append(self.draft.logs / FAULTS, finite({
                "step": fault.step, "kind": fault.kind, "what": fault.what, "action": action,
                "loss": fault.loss, "grad_norm": fault.grad_norm, "limit": fault.limit,
                "rewound_to": rewound_to,
            }))  # fmt: skip

    def held_out(self, here: Progress, found: Evaluation) -> None:
        """Held-out text was scored."""
        row = found.row(here.step, here.tokens)
        by_source = ", ".join(f"{name} {value:.3f}" for name, value in found.bits_per_character.items())
        log.info("step %s: %.4f bits per character of held-out text (%s)", here.step, found.overall, by_source)
        self.meter.write_held_out(row)
        if self.draft is not None:
            self.accelerator.log(trackers.held_out_scalars(row), step=here.step)

    def update_rms(self, found: dict[str, float]) -> None:
        """Sizes of the last update, for the line of this step."""
        self._update_rms = found

    def picture(self, loss: float) -> None:
        """Say how it went, and draw the loss."""
        speed, mfu = self.meter.tokens_per_second, self.meter.mfu
        log.info(
            "trained: loss %.4f%s%s", loss, f", {speed:,.0f} tokens/s" if speed else "",
            f", MFU {mfu:.1%}" if mfu else "",
        )  # fmt: skip
        if self.draft is not None:
            loss_curve(self.draft.logs / METRICS, self.draft.logs / "loss.png")
