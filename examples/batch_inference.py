"""Batch inference: a small numpy model over a pool of actors; each loads the model once.

Run: ./dev python examples/batch_inference.py
"""

from __future__ import annotations

import time

import numpy as np
import whipray as ray
from whipray.util import ActorPool

ROWS, FEATURES, HIDDEN, CLASSES, BATCH = 100_000, 32, 64, 10, 4096


@ray.remote
class Model:
    """Two dense layers; the weights come as one object that all replicas share without a copy."""

    def __init__(self, weights: tuple[np.ndarray, np.ndarray]) -> None:
        self.first, self.second = weights

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Classes [B] of a batch [B, FEATURES]."""
        return np.argmax(np.maximum(batch @ self.first, 0.0) @ self.second, axis=1)


def main() -> None:
    random = np.random.default_rng(0)
    data = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    weights = (
        random.normal(size=(FEATURES, HIDDEN)).astype(np.float32),
        random.normal(size=(HIDDEN, CLASSES)).astype(np.float32),
    )
    with ray.init():
        shared = ray.put(weights)
        pool = ActorPool([Model.remote(shared) for _ in range(2)])
        batches = [data[k : k + BATCH] for k in range(0, ROWS, BATCH)]
        begin = time.perf_counter()
        classes = np.concatenate(list(pool.map(lambda a, b: a.predict.remote(b), batches)))
        seconds = time.perf_counter() - begin
    expected = np.argmax(np.maximum(data @ weights[0], 0.0) @ weights[1], axis=1)
    # Batches of another size may round differently in the last bit: a tie may fall either way.
    agreement = float(np.mean(classes == expected))
    print(f"{ROWS / seconds:,.0f} rows/s, {agreement:.4%} as in one process")
    if agreement < 0.999:
        raise SystemExit("wrong predictions")


if __name__ == "__main__":
    main()
