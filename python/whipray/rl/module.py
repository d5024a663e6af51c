"""A trained network as RLlib's programs use it: observations in, logits and values out, in
numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from whipray import _rl


def weight_views(config: dict[str, Any], flat: Any) -> dict[str, Any]:
    """Name the parts of the flat weights.

    Parameters
    ----------
    config : dict
        Of the C library.
    flat : ndarray of float32
        All weights, with padding.

    Returns
    -------
    dict of str to ndarray
        Views into `flat`: ``"shared.0.weight"`` [in, out], ``"shared.0.bias"`` [out], heads
        [outputs, in].
    """
    views = {}
    for name, offset, rows, columns, stride in _rl.weights_parts(config):
        part = np.lib.stride_tricks.as_strided(
            flat[offset:],
            shape=(rows, columns),
            strides=(4 * stride, 4),
            writeable=flat.flags.writeable,
        )
        views[name] = part[0] if rows == 1 and name.endswith("bias") else part
    return views


def flatten_weights(config: dict[str, Any], parts: Mapping[str, Any]) -> Any:
    """The reverse of :func:`weight_views`; raises ValueError for parts that are missing, unknown
    or misshapen."""
    flat = np.zeros(_rl.check_config(config), np.float32)
    views = weight_views(config, flat)
    if set(parts) != set(views):
        missing, unknown = sorted(set(views) - set(parts)), sorted(set(parts) - set(views))
        raise ValueError(f"weights: missing {missing}, unknown {unknown}")
    for name, view in views.items():
        value = np.asarray(parts[name], np.float32)
        if value.shape != view.shape:
            raise ValueError(f"weights: {name} has shape {value.shape}, not {view.shape}")
        view[...] = value
    return flat


class RLModule:
    """Policy and value network with fixed weights.

    Where RLlib's modules take and return torch tensors, this one takes anything that numpy can
    read (CPU tensors too) and returns numpy arrays.
    """

    def __init__(self, config: dict[str, Any], flat: Any) -> None:
        self._config = config
        self._flat = np.array(flat, np.float32)
        self._policy = _rl.Policy(config, self._flat)
        envs = _rl.Envs(config["env"], 1)
        _, self.obs_size, self.num_actions, _ = envs.shape

    def _run(self, obs: Any) -> tuple[Any, Any, bool]:
        array = np.ascontiguousarray(obs, np.float32)
        single = array.ndim == 1
        array = np.atleast_2d(array)
        if array.ndim != 2 or array.shape[1] != self.obs_size:
            raise ValueError(f"obs has shape {np.shape(obs)}; it must be [n, {self.obs_size}]")
        logits = np.empty((len(array), self.num_actions), np.float32)
        values = np.empty(len(array), np.float32)
        self._policy.forward(array, logits, values)
        return logits, values, single

    def forward_inference(self, batch: Mapping[str, Any], **unused: Any) -> dict[str, Any]:
        """Return ``{"action_dist_inputs": logits [n, actions]}`` for ``{"obs": [n, obs]}``."""
        del unused
        return {"action_dist_inputs": self._run(batch["obs"])[0]}

    forward_exploration = forward_inference

    def forward_train(self, batch: Mapping[str, Any], **unused: Any) -> dict[str, Any]:
        """As :meth:`forward_inference`, with ``"vf_preds"`` [n]."""
        del unused
        logits, values, _ = self._run(batch["obs"])
        return {"action_dist_inputs": logits, "vf_preds": values}

    def compute_values(self, batch: Mapping[str, Any], embeddings: Any = None) -> Any:
        """Values [n] in units of return."""
        del embeddings
        return self._run(batch["obs"])[1]

    def compute_actions(self, obs: Any, explore: bool = False, rng: Any = None) -> Any:
        """Actions for observations [n, obs], or one action for one observation [obs].

        Parameters
        ----------
        obs : array_like
            Observations.
        explore : bool
            Draw from the policy, else take the likeliest.
        rng : numpy.random.Generator, optional
            Where to draw from.
        """
        logits, _, single = self._run(obs)
        if explore:
            rng = rng if rng is not None else np.random.default_rng()
            actions = np.argmax(logits + rng.gumbel(size=logits.shape), axis=1)
        else:
            actions = np.argmax(logits, axis=1)
        return int(actions[0]) if single else actions

    def play(self, episodes: int, seed: int = 0, explore: bool = False) -> tuple[Any, Any]:
        """Play whole episodes in the environment in C; return their returns and lengths."""
        returns = np.empty(episodes, np.float32)
        lengths = np.empty(episodes, np.float32)
        self._policy.play(seed, explore, returns, lengths)
        return returns, lengths

    def get_state(self, *unused: Any, **unused_too: Any) -> dict[str, Any]:
        """Copies of the weights by name."""
        del unused, unused_too
        return {name: view.copy() for name, view in weight_views(self._config, self._flat).items()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Replace the weights."""
        self._flat = flatten_weights(self._config, state)
        self._policy = _rl.Policy(self._config, self._flat)

    def is_stateful(self) -> bool:
        """Always False: no recurrent networks yet."""
        return False

    @classmethod
    def from_checkpoint(cls, path: Any) -> RLModule:
        """Load the module of an algorithm's checkpoint, or its own folder in one."""
        from whipray.rl import checkpoint

        return cls(*checkpoint.read_module(path))
