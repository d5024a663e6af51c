"""Prints the table of README.md: ``python tests/memory_model/report.py``."""

from __future__ import annotations

import pool_cells
import pool_queue
import pool_raylet
from litmus import Litmus

ALL: list[Litmus] = pool_queue.ALL + pool_cells.ALL + pool_raylet.ALL


def row(litmus: Litmus) -> str:
    needed = [f"{n} {s.order.value}" for n, s in litmus.sites.items() if n not in litmus.enough]
    stronger = [
        f"{n} {litmus.sites[n].order.value} ({' or '.join(order.value for order in orders)})"
        for n, orders in litmus.enough.items()
    ]
    wrong = [*litmus.wrong, *litmus.wrong_orders]
    cells = [
        litmus.name,
        litmus.claim,
        *(("; ".join(part) or "-") for part in (needed, stronger, wrong)),
    ]
    return "| " + " | ".join(cells) + " |"


def table() -> str:
    head = "| program | what holds | needed as it stands | stronger than this needs (enough) | breaks it, too |"
    return "\n".join([head, "|---|---|---|---|---|", *map(row, ALL)]) + "\n"


if __name__ == "__main__":
    print(table(), end="")
