"""Packed records: the named, typed fields that control calls carry.

The encoding is the one of ``include/whipray/record.h``, little endian::

    record  u16 count, then fields
    field   u8 name length (1..64), name, u8 type, value
    type    'i' i64   'd' double   's' u32 n, UTF-8   'b' u32 n, bytes   'n' nothing
            'm' u32 n, record of n bytes   'l' u32 n bytes, u32 count, then {u8 type, value} each

Both directions are strict: what is out of bounds, not UTF-8, named twice, nested too deep or
left over is refused. Handles are u64 values that travel as i64: `pack` wraps them, and `handle`
gives the unsigned value back.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final

Value = Any
"""None, bool, int, float, str, bytes, a mapping with str keys, or a list/tuple of these."""

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 8
NAME_MAX: Final = 64

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_I64 = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")


class RecordError(ValueError):
    """Bytes that are no record, or a value that no record can carry."""


def handle(value: int) -> int:
    """Give back the u64 that an 'i' field carried.

    Examples
    --------
    >>> handle(-1) == 2**64 - 1
    True
    """
    return value & 0xFFFF_FFFF_FFFF_FFFF


def pack(fields: Mapping[str, Value]) -> bytes:
    """Encode a mapping as one record.

    Parameters
    ----------
    fields : Mapping[str, Value]
        Field names to values. A bool is an int; an int above 2**63 - 1 is taken as a handle.

    Returns
    -------
    bytes
        The packed record, at most 1 MiB.

    Raises
    ------
    RecordError
        If a name, a type or a size cannot be carried; the text names the field.

    Examples
    --------
    >>> unpack(pack({"port": 3, "name": "f"}))
    {'port': 3, 'name': 'f'}
    """
    out = bytearray()
    _write_record(out, fields, 1, "")
    if len(out) > BYTES_MAX:
        raise RecordError(f"the record has {len(out)} bytes; the limit is {BYTES_MAX}")
    return bytes(out)


def unpack(data: bytes | bytearray | memoryview) -> dict[str, Value]:
    """Decode one record.

    Raises
    ------
    RecordError
        If any byte is out of place; the text says where.
    """
    view = memoryview(data).cast("B") if not isinstance(data, bytes) else memoryview(data)
    if len(view) > BYTES_MAX:
        raise RecordError(f"the record has {len(view)} bytes; the limit is {BYTES_MAX}")
    fields, end = _read_record(view, 0, len(view), 1)
    if end != len(view):
        raise RecordError(f"{len(view) - end} bytes are left over at offset {end}")
    return fields


def _write_record(out: bytearray, fields: Mapping[str, Value], depth: int, path: str) -> None:
    if depth > DEPTH_MAX:
        raise RecordError(f"{path or 'the record'}: nested more than {DEPTH_MAX} deep")
    if len(fields) > 0xFFFF:
        raise RecordError(f"{path or 'the record'}: {len(fields)} fields; the limit is 65535")
    out += _U16.pack(len(fields))
    for name, value in fields.items():
        if not isinstance(name, str):
            raise RecordError(f"{path}: a field name must be a str, not {type(name).__name__}")
        encoded = name.encode("utf-8")
        if not 1 <= len(encoded) <= NAME_MAX:
            raise RecordError(f"{path}{name!r}: a name has 1 to {NAME_MAX} bytes")
        out.append(len(encoded))
        out += encoded
        _write_value(out, value, depth, f"{path}{name}")


def _write_value(out: bytearray, value: Value, depth: int, path: str) -> None:
    if value is None:
        out += b"n"
    elif isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise RecordError(f"{path}: {value} does not fit 64 bits")
        out += b"i"
        out += _I64.pack(value - (1 << 64) if value >= 1 << 63 else value)
    elif isinstance(value, float):
        out += b"d"
        out += _DOUBLE.pack(value)
    elif isinstance(value, str):
        try:
            encoded = value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise RecordError(f"{path}: the text is not valid Unicode") from error
        out += b"s"
        out += _U32.pack(len(encoded))
        out += encoded
    elif isinstance(value, (bytes, bytearray, memoryview)):
        raw = bytes(value)
        out += b"b"
        out += _U32.pack(len(raw))
        out += raw
    elif isinstance(value, Mapping):
        out += b"m"
        at = len(out)
        out += b"\0\0\0\0"
        _write_record(out, value, depth + 1, path + ".")
        _U32.pack_into(out, at, len(out) - at - 4)
    elif isinstance(value, (list, tuple)):
        if depth + 1 > DEPTH_MAX:
            raise RecordError(f"{path}: nested more than {DEPTH_MAX} deep")
        out += b"l"
        at = len(out)
        out += b"\0\0\0\0"
        out += _U32.pack(len(value))
        for index, item in enumerate(value):
            _write_value(out, item, depth + 1, f"{path}[{index}]")
        _U32.pack_into(out, at, len(out) - at - 8)
    else:
        raise RecordError(f"{path}: a record cannot carry a {type(value).__name__}")


def _need(end: int, at: int, count: int) -> None:
    if end - at < count:
        raise RecordError(f"{count} bytes are wanted at offset {at}, {max(end - at, 0)} are left")


def _read_record(view: memoryview, at: int, end: int, depth: int) -> tuple[dict[str, Value], int]:
    if depth > DEPTH_MAX:
        raise RecordError(f"nested more than {DEPTH_MAX} deep at offset {at}")
    _need(end, at, 2)
    (count,) = _U16.unpack_from(view, at)
    at += 2
    fields: dict[str, Value] = {}
    for _ in range(count):
        _need(end, at, 1)
        size = view[at]
        at += 1
        if not 1 <= size <= NAME_MAX:
            raise RecordError(f"a name of {size} bytes at offset {at - 1}")
        _need(end, at, size)
        name = _text(view, at, size)
        at += size
        if name in fields:
            raise RecordError(f"the field {name!r} is there twice (offset {at - size})")
        fields[name], at = _read_value(view, at, end, depth)
    return fields, at


def _text(view: memoryview, at: int, size: int) -> str:
    try:
        return str(view[at : at + size], "utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f"text that is not UTF-8 at offset {at}") from error


def _read_value(view: memoryview, at: int, end: int, depth: int) -> tuple[Value, int]:
    _need(end, at, 1)
    kind = view[at]
    at += 1
    if kind == 0x6E:  # 'n'
        return None, at
    if kind == 0x69:  # 'i'
        _need(end, at, 8)
        return _I64.unpack_from(view, at)[0], at + 8
    if kind == 0x64:  # 'd'
        _need(end, at, 8)
        return _DOUBLE.unpack_from(view, at)[0], at + 8
    if kind not in b"sbml":
        raise RecordError(f"an unknown type {kind:#04x} at offset {at - 1}")
    _need(end, at, 4)
    (size,) = _U32.unpack_from(view, at)
    at += 4
    if kind == 0x6C:  # 'l'
        _need(end, at, 4)
        (count,) = _U32.unpack_from(view, at)
        at += 4
        _need(end, at, size)
        return _read_list(view, at, at + size, count, depth + 1), at + size
    _need(end, at, size)
    if kind == 0x73:  # 's'
        return _text(view, at, size), at + size
    if kind == 0x62:  # 'b'
        return bytes(view[at : at + size]), at + size
    inner, stop = _read_record(view, at, at + size, depth + 1)
    if stop != at + size:
        raise RecordError(f"{at + size - stop} bytes are left over at offset {stop}")
    return inner, stop


def _read_list(view: memoryview, at: int, end: int, count: int, depth: int) -> list[Value]:
    if depth > DEPTH_MAX:
        raise RecordError(f"nested more than {DEPTH_MAX} deep at offset {at}")
    if count > end - at:  # each item has at least its type byte
        raise RecordError(f"{count} items cannot lie in {end - at} bytes at offset {at}")
    items: list[Value] = []
    for _ in range(count):
        item, at = _read_value(view, at, end, depth)
        items.append(item)
    if at != end:
        raise RecordError(f"{end - at} bytes are left over at offset {at}")
    return items
