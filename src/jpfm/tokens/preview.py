"""What training would see, before any training: rows, epochs and tokens of each source and licence.

    by_source(order, steps), by_licence(order, steps), by_stage(order, steps)     # tables
    warnings(order, steps)                                                        # what to look at twice

All of it follows from the order; no token is read, only the documents' table for licences.
"""

import polars as pl

from jpfm.tokens.order import TokenOrder

_MANY_EPOCHS = 4
"""More repetitions than this teach little: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models",
arXiv:2305.16264."""


def by_source(order: TokenOrder, steps: int) -> pl.DataFrame:
    """One row a source.

    Returns:
        source, tokens (in the store), rows (of one epoch), share (of all rows, as it comes out), seen (tokens that
        `steps` steps show as targets, padding not counted), epochs, cap, left_out (tokens that no row shows as a
        target), padding (share of places that best fit leaves empty).
    """
    counts = order.counts(steps).tolist()
    total = max(1, sum(counts))
    rows = []
    for source, layout, count in zip(order.sources, order.layouts, counts, strict=True):
        full = max(1, layout.num_rows)
        real = 1 - layout.padding / (full * order.seq_len)
        cap = order.mixture.cap(source)
        rows.append(
            {
                "source": source,
                "tokens": order.store.spans[source].tokens,
                "rows": layout.num_rows,
                "share": count / total,
                "seen": round(count * order.seq_len * real),
                "epochs": count / full,
                "cap": None if cap == float("inf") else cap,
                "left_out": layout.tokens_left_out,
                "padding": layout.padding / (full * order.seq_len),
            }
        )
    return pl.DataFrame(rows, schema_overrides={"cap": pl.Float64})


def by_licence(order: TokenOrder, steps: int) -> pl.DataFrame:
    """Tokens of each licence: held in the store, and seen in `steps` steps.

    `seen` spreads a source's rows evenly over its licences: exact for whole epochs, a mean for a part of one.
    """
    parts = [pl.DataFrame(schema={"source": pl.String, "licence": pl.String, "tokens": pl.Int64})]
    for number in range(len(order.store.files)):
        rows = order.store.table(number, ("source", "licence", "first", "last"))
        tokens = (pl.col("last") - pl.col("first")).sum().alias("tokens")
        parts.append(rows.group_by("source", "licence").agg(tokens))
    held = pl.concat(parts).group_by("source", "licence").agg(pl.col("tokens").sum())
    seen = by_source(order, steps).select("source", "seen", pl.col("tokens").alias("whole"))
    share = (pl.col("seen") * pl.col("tokens") / pl.col("whole")).round().cast(pl.Int64)
    joined = held.join(seen, on="source").with_columns(seen=share)
    return (
        joined.group_by("licence").agg(pl.col("tokens", "seen").sum()).sort("seen", "licence", descending=[True, False])
    )


def by_stage(order: TokenOrder, steps: int) -> pl.DataFrame:
    """One row for each stage and source: stage (from 1), first_step, source, weight, share of the stage's rows."""
    total = steps * order.rows_per_step
    rows = []
    ends = [part.first for part in order.parts[1:]] + [total]
    for number, (part, end) in enumerate(zip(order.parts, ends, strict=True), start=1):
        length = max(0, min(end, total) - part.first)
        counts = part.schedule.counts(length)
        for source, weight, count in zip(order.sources, part.schedule.weights.tolist(), counts.tolist(), strict=True):
            rows.append(
                {
                    "stage": number, "first_step": part.first // order.rows_per_step + 1, "source": source,
                    "weight": weight / part.schedule.period, "share": count / max(1, length),
                }
            )  # fmt: skip
    return pl.DataFrame(rows)


def warnings(order: TokenOrder, steps: int) -> list[str]:
    """What a person should look at twice."""
    found = []
    for row in by_source(order, steps).iter_rows(named=True):
        if row["epochs"] > _MANY_EPOCHS:
            found.append(f"{row['source']} is seen {row['epochs']:.1f} times; beyond {_MANY_EPOCHS} little is learned")
        if row["tokens"] and not row["rows"]:
            found.append(f"{row['source']} has {row['tokens']:,} tokens, less than a row: it is never seen")
        elif row["rows"] and not row["share"]:
            found.append(f"{row['source']} has no weight: it is never seen")
    if len(order.parts) > 1 and (
        late := [n for n, p in enumerate(order.parts, 1) if p.first >= steps * order.rows_per_step]
    ):
        found.append(f"stage {late[0]} begins after the last step: it is never reached")
    return found
