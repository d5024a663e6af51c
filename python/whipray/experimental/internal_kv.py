"""The GCS's key-value table, as libraries use it: bytes to bytes, in namespaces.

Example
-------
>>> from whipray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
>>> _internal_kv_put(b"key", b"value")
False
>>> _internal_kv_get(b"key")
b'value'
"""

from __future__ import annotations

from whipray import _core
from whipray._private import session as sessions

_DEFAULT_NAMESPACE = b"fun"


def _bytes(value: str | bytes, what: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise TypeError(f"{what} must be bytes or str, not {type(value).__name__}")
    return value


def _space(namespace: str | bytes | None) -> bytes:
    return _DEFAULT_NAMESPACE if namespace is None else _bytes(namespace, "namespace")


def _internal_kv_initialized() -> bool:
    """Whether this process is connected to a cluster."""
    return _core.is_connected()


def _internal_kv_put(
    key: str | bytes,
    value: str | bytes,
    overwrite: bool = True,
    *,
    namespace: str | bytes | None = None,
) -> bool:
    """Store a value; durable when this returns. Returns whether the key was there before."""
    reply = sessions.call(
        "kv_put",
        ns=_space(namespace),
        key=_bytes(key, "key"),
        value=_bytes(value, "value"),
        overwrite=overwrite,
    )
    return not reply["added"]


def _internal_kv_get(key: str | bytes, *, namespace: str | bytes | None = None) -> bytes | None:
    """Return the value of a key; None when there is none."""
    value = sessions.call("kv_get", ns=_space(namespace), key=_bytes(key, "key"))["value"]
    return None if value is None else bytes(value)


def _internal_kv_exists(key: str | bytes, *, namespace: str | bytes | None = None) -> bool:
    """Whether the key has a value."""
    return bool(sessions.call("kv_exists", ns=_space(namespace), key=_bytes(key, "key"))["exists"])


def _internal_kv_del(
    key: str | bytes,
    *,
    del_by_prefix: bool = False,
    namespace: str | bytes | None = None,
) -> int:
    """Delete a key, or all that begin with it; returns how many there were."""
    keys = _internal_kv_list(key, namespace=namespace) if del_by_prefix else [_bytes(key, "key")]
    return sum(
        int(sessions.call("kv_del", ns=_space(namespace), key=each)["removed"]) for each in keys
    )


def _internal_kv_list(prefix: str | bytes, *, namespace: str | bytes | None = None) -> list[bytes]:
    """Return the keys that begin with a prefix."""
    reply = sessions.call("kv_list", ns=_space(namespace), prefix=_bytes(prefix, "prefix"))
    return [bytes(key) for key in reply["keys"]]
