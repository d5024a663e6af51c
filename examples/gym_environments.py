"""Gymnasium environments as actors: each steps in a process of its own.

Run: ./dev python examples/gym_environments.py        (needs gymnasium)
"""

from __future__ import annotations

import gymnasium
import numpy as np
import whipray as ray


@ray.remote
class Environment:
    """One gymnasium environment; observations travel as arrays of the object store."""

    def __init__(self, name: str, seed: int) -> None:
        self.env = gymnasium.make(name)
        self.observation, _ = self.env.reset(seed=seed)

    def observe(self) -> np.ndarray:
        return self.observation

    def step(self, action: int) -> tuple[np.ndarray, float, bool]:
        """(observation, reward, whether the episode ended); starts the next one by itself."""
        observation, reward, terminated, truncated, _ = self.env.step(action)
        done = bool(terminated or truncated)
        self.observation = self.env.reset()[0] if done else observation
        return self.observation, float(reward), done


def balance(observations: np.ndarray) -> np.ndarray:
    """A rule that balances CartPole [B, 4] -> [B]: push to where the pole falls."""
    return (observations[:, 2] + 0.4 * observations[:, 3] > 0).astype(int)


def main() -> None:
    with ray.init():
        environments = [Environment.remote("CartPole-v1", seed) for seed in range(4)]
        observations = np.stack(ray.get([e.observe.remote() for e in environments]))
        rewards, episodes = 0.0, 0
        for _ in range(500):
            actions = balance(observations)
            steps = ray.get(
                [e.step.remote(int(a)) for e, a in zip(environments, actions, strict=True)]
            )
            observations = np.stack([s[0] for s in steps])
            rewards += sum(s[1] for s in steps)
            episodes += sum(s[2] for s in steps)
        print(f"{rewards:.0f} steps balanced in {episodes} finished episodes")


if __name__ == "__main__":
    main()
