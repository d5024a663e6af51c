"""Play CartPole with the network of a checkpoint, and print what each episode returned.

./dev run                                # trains and writes results/cartpole/checkpoint
./dev python examples/play_cartpole.py
"""

import argparse
import sys

import numpy as np
from whipray.rl import RLModule


def play_in_gymnasium(module: RLModule, episodes: int, seed: int, explore: bool) -> list[float]:
    """Play in gymnasium's own CartPole-v1; it must be installed."""
    import gymnasium

    env = gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(seed)
    returns = []
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        total, done = 0.0, False
        while not done:
            obs, reward, terminated, truncated, _ = env.step(
                module.compute_actions(obs, explore, rng)
            )
            total += float(reward)
            done = terminated or truncated
        returns.append(total)
    return returns


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", nargs="?", default="results/cartpole/checkpoint")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--explore", action="store_true", help="draw actions instead of taking the likeliest"
    )
    parser.add_argument("--gymnasium", action="store_true", help="play in gymnasium's environment")
    options = parser.parse_args()
    try:
        module = RLModule.from_checkpoint(options.checkpoint)
    except ValueError as error:
        print(f"{error}. ./dev run makes one.", file=sys.stderr)
        return 1
    if options.gymnasium:
        returns = play_in_gymnasium(module, options.episodes, options.seed, options.explore)
    else:
        returns = list(module.play(options.episodes, options.seed, options.explore)[0])
    for episode, value in enumerate(returns):
        print(f"episode {episode + 1:>3}: return {value:.0f}")
    print(f"mean return {np.mean(returns):.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
