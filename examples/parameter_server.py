"""A parameter server: workers compute gradients of a linear model, one actor applies them.

Run: ./dev python examples/parameter_server.py
"""

from __future__ import annotations

import numpy as np
import whipray as ray

FEATURES, ROWS, WORKERS, STEPS = 16, 4096, 2, 60


@ray.remote
class ParameterServer:
    """Holds the weights [FEATURES]."""

    def __init__(self, learning_rate: float) -> None:
        self.weights = np.zeros(FEATURES)
        self.learning_rate = learning_rate

    def apply(self, *gradients: np.ndarray) -> np.ndarray:
        self.weights = self.weights - self.learning_rate * np.mean(gradients, axis=0)
        return self.weights


@ray.remote
class Worker:
    """Has a shard of the data: inputs [ROWS, FEATURES], targets [ROWS]."""

    def __init__(self, seed: int, truth: np.ndarray) -> None:
        random = np.random.default_rng(seed)
        self.inputs = random.normal(size=(ROWS, FEATURES))
        self.targets = self.inputs @ truth + 0.01 * random.normal(size=ROWS)

    def gradient(self, weights: np.ndarray) -> np.ndarray:
        """Gradient of half the mean squared error at ``weights``."""
        error = self.inputs @ weights - self.targets
        return self.inputs.T @ error / ROWS


def main() -> None:
    with ray.init():
        truth = np.arange(FEATURES, dtype=float)
        server = ParameterServer.remote(0.5)
        workers = [Worker.remote(seed, truth) for seed in range(WORKERS)]
        weights = server.apply.remote(np.zeros(FEATURES))
        for _ in range(STEPS):  # nothing here waits: each step is queued behind what it needs
            weights = server.apply.remote(*[w.gradient.remote(weights) for w in workers])
        distance = float(np.abs(ray.get(weights) - truth).max())
        print(f"largest error of a weight after {STEPS} steps: {distance:.4f}")
        if distance > 0.01:
            raise SystemExit("did not converge")


if __name__ == "__main__":
    main()
