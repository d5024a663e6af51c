"""The environment in C against gymnasium's, step by step from equal states and actions."""

import numpy as np
import pytest
from whipray import _rl


class Envs:
    """Arrays around ``_rl.Envs``."""

    def __init__(self, count, seed=0):
        self.envs = _rl.Envs("CartPole-v1", count, seed)
        self.obs = np.empty((count, 4), np.float32)
        self.reward = np.empty(count, np.float32)
        self.terminated = np.empty(count, np.uint8)
        self.truncated = np.empty(count, np.uint8)
        self.envs.observe(self.obs)

    def step(self, actions):
        actions = np.ascontiguousarray(actions, np.int32)
        self.envs.step(actions, self.obs, self.reward, self.terminated, self.truncated)


def test_each_step_matches_gymnasium():
    # Bound: gymnasium computes in double and rounds once; float32 rounds about ten times per step.
    gym = pytest.importorskip("gymnasium")
    count, steps = 24, 60
    ours = Envs(count, seed=4)
    theirs = gym.make("CartPole-v1")
    theirs.reset(seed=1)
    rng = np.random.default_rng(0)
    ends = 0
    for _ in range(steps):
        before = ours.obs.copy()
        actions = rng.integers(0, 2, count)
        ours.step(actions)
        for i in range(count):
            theirs.reset()
            theirs.unwrapped.state = before[i].astype(np.float64)
            obs, reward, terminated, truncated, _ = theirs.step(int(actions[i]))
            assert reward == ours.reward[i]
            assert not truncated
            assert terminated == bool(ours.terminated[i])
            if terminated:
                ends += 1
                assert np.abs(ours.obs[i]).max() <= 0.05
            else:
                np.testing.assert_allclose(ours.obs[i], obs, rtol=0, atol=1e-6)
    assert ends > 20


def test_a_whole_episode_is_truncated_where_gymnasium_truncates():
    gym = pytest.importorskip("gymnasium")
    ours = Envs(1)
    theirs = gym.make("CartPole-v1")
    theirs.reset(seed=1)
    theirs.unwrapped.state = ours.obs[0].astype(np.float64)
    obs = ours.obs[0].astype(np.float64)
    for step in range(1, 501):
        action = int(0.1 * obs[0] + 0.25 * obs[1] + obs[2] + 0.35 * obs[3] > 0)  # balances
        ours.step([action])
        obs, _, terminated, truncated, _ = theirs.step(action)
        assert (terminated, truncated) == (bool(ours.terminated[0]), bool(ours.truncated[0]))
        assert truncated == (step == 500)
        theirs.unwrapped.state = ours.obs[0].astype(np.float64) if not truncated else None
        obs = ours.obs[0].astype(np.float64)


def test_wrong_arrays_are_refused():
    ours = Envs(3)
    with pytest.raises(ValueError, match="obs must have 48 bytes"):
        ours.envs.observe(np.empty((3, 5), np.float32))
    with pytest.raises(ValueError, match="actions must have 12 bytes"):
        ours.step([0, 1])
    with pytest.raises(ValueError, match="actions 0 to 1"):
        ours.step([0, 1, 7])
    with pytest.raises(ValueError, match="did you mean 'CartPole-v1'"):
        _rl.Envs("CartPole", 3)
