"""CartPole configurations that were measured; ``docs/rl.md`` has their figures."""

from __future__ import annotations

from typing import Any

from whipray.rl.config import DefaultModelConfig, PPOConfig


def _base(
    envs: int, steps: int, runners: int, hiddens: list[int], activation: str, shared: bool
) -> PPOConfig:
    parts = max(1, runners)
    if envs % parts != 0:
        raise ValueError(
            f"{envs} environments do not split over {runners} runners; the nearest count is "
            f"{max(n for n in range(1, parts + 1) if envs % n == 0)}"
        )
    config = PPOConfig().environment("CartPole-v1")
    config.env_runners(num_env_runners=runners, num_envs_per_env_runner=envs // parts)
    config.training(train_batch_size_per_learner=envs * steps, use_kl_loss=False, vf_loss_coeff=0.5)
    config.rl_module(
        model_config=DefaultModelConfig(list(hiddens), activation, vf_share_layers=shared)
    )
    return config


def _trained(config: PPOConfig, **changes: Any) -> PPOConfig:
    """Training as all settings have it, but for the changes."""
    given = {"gamma": 0.99, "lambda_": 0.95, "clip_param": 0.2, "value_unit": 30.0, **changes}
    return config.training(**given)


def quick(runners: int = 0) -> PPOConfig:
    """64-64 tanh, shared, 32 environments x 32 steps: robust, solved after about 70,000 steps."""
    return _trained(
        _base(32, 32, runners, [64, 64], "tanh", True),
        lr=7e-3,
        clip_param=0.1,
        entropy_coeff=0.003,
        num_epochs=4,
        minibatch_size=512,
    )


def quickest(runners: int = 0) -> PPOConfig:
    """32 tanh, shared, 32 environments x 64 steps: the least time to a mean return of 475."""
    return _trained(
        _base(32, 64, runners, [32], "tanh", True),
        lr=7e-3,
        entropy_coeff=0.01,
        num_epochs=6,
        minibatch_size=256,
        grad_clip=0.5,
        adam_betas=(0.9, 0.99),
    )


def throughput(
    runners: int = 0, hiddens: tuple[int, ...] = (64, 64), shared: bool = True
) -> PPOConfig:
    """256 environments x 128 steps, 4 epochs of minibatches of 2,048."""
    return _trained(
        _base(256, 128, runners, list(hiddens), "tanh", shared),
        lr=3e-3,
        gamma=0.98,
        num_epochs=4,
        minibatch_size=2048,
        grad_clip=0.5,
    )


def small(runners: int = 0) -> PPOConfig:
    """One linear layer of 32, 8 environments, batches of 4,000, 6 epochs of minibatches of 128."""
    return _trained(
        _base(8, 500, runners, [32], "linear", True),
        lr=5e-4,
        lambda_=1.0,
        num_epochs=6,
        minibatch_size=128,
    )


SETTINGS = {"quick": quick, "quickest": quickest, "throughput": throughput, "small": small}
