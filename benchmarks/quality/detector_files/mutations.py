"""Mutations of detector files: of their bytes, and of one field with a right digest."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from patchbank.detector.bundle import Bundle, to_bytes

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    3,
    255,
    2**31,
    2**63,
    10**30,
    10**400,
    0.0,
    -0.5,
    1e-320,
    1e38,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "a\nb\x1b[31m",
    "\ud800",
    "ü" * 5000,
    [],
    {},
    [[]],
    [0],
    [1, 2, 3],
    [1e308] * 3,
    [0.1] * 200,
    ["shallow"],
    ["deep", "deep"],
    {"a": 1},
    {"shallow": {"channels": 1, "stride": 10**9}},
)
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u4", "u8", "?")


def mutated_bytes(contents: list[bytes], rng: np.random.Generator) -> tuple[str, int, bytes]:
    """(kind of mutation, number of the file, its bytes): some are flipped, cut or replaced."""
    number = int(rng.integers(len(contents)))
    content = bytearray(contents[number])
    header = int.from_bytes(content[:8], "little") + 8
    kind = str(rng.choice(["flip", "flips", "cut", "splice", "header", "insert", "length", "zero"]))
    in_header = rng.random() < 0.6
    place = int(rng.integers(8, header) if in_header else rng.integers(len(content)))
    if kind == "flip":
        content[place] ^= 1 << int(rng.integers(8))
    elif kind == "flips":
        for _ in range(int(rng.integers(2, 40))):
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    elif kind == "cut":
        del content[place:]
    elif kind == "splice":
        other = contents[int(rng.integers(len(contents)))]
        end = int(rng.integers(place, len(other))) if place < len(other) else place
        content[place : end + 1] = other[place : end + 1][: int(rng.integers(1, 5000))]
    elif kind == "header":
        new = _edit(bytes(content[8:header]), rng)
        content[:header] = len(new).to_bytes(8, "little") + new
    elif kind == "insert":
        content[place:place] = rng.bytes(int(rng.integers(1, 64)))
    elif kind == "length":
        content[:8] = int(rng.integers(2**63)).to_bytes(8, "little")
    else:
        content[place : place + int(rng.integers(1, 200))] = bytes(int(rng.integers(1, 200)))
    return kind, number, bytes(content)


def _edit(header: bytes, rng: np.random.Generator) -> bytes:
    """The header with one digit, bracket or letter replaced by another word."""
    words = [
        b"F32",
        b"BF16",
        b"F8_E4M3",
        b"I64",
        b"0",
        b"9" * 30,
        b"-1",
        b"[",
        b"]",
        b"{",
        b"1e999",
    ]
    places = [i for i, byte in enumerate(header) if byte in b"0123456789[]{}F"]
    at = places[int(rng.integers(len(places)))]
    word = words[int(rng.integers(len(words)))]
    return header[:at] + word + header[at + 1 :]


def changed_field(bundle: Bundle, rng: np.random.Generator) -> tuple[str, bytes]:
    """(what was changed, bytes of the file): one field is another, and the digest is right."""
    kinds = {"record": 0.5, "tensor": 0.3, "network": 0.15, "text": 0.05}
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    if kind == "record":
        return _changed_record(bundle, rng)
    if kind == "tensor":
        return _changed_tensor(bundle, rng)
    if kind == "network":
        return _changed_network(bundle, rng)
    return _changed_text(bundle, rng)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value of a record."""
    if path:
        yield path
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, below in inner:
        yield from paths(below, (*path, key))


def _changed_record(bundle: Bundle, rng: np.random.Generator) -> tuple[str, bytes]:
    record = copy.deepcopy(dict(bundle.record))
    found = list(paths(record))
    path = found[int(rng.integers(len(found)))]
    parent: Any = record
    for key in path[:-1]:
        parent = parent[key]
    name = ".".join(map(str, path))
    choice = rng.random()
    if choice < 0.15:
        del parent[path[-1]]
        return f"{name} is missing", to_bytes(Bundle(bundle.tensors, record))
    old = parent[path[-1]]
    value = HOSTILE[int(rng.integers(len(HOSTILE)))]
    if choice < 0.3 and isinstance(old, (int, float)):
        value = [old * 2, old + 1, -old, old * 1000, old / 2][int(rng.integers(5))]
    if choice > 0.9:
        for _ in range(int(rng.choice([2, 70, 300]))):
            value = [value] if rng.random() < 0.5 else {"a": value}
    parent[path[-1]] = value
    shown = repr(value)
    return f"{name} = {shown[:80]}", to_bytes(Bundle(bundle.tensors, record))


def _changed_tensor(bundle: Bundle, rng: np.random.Generator) -> tuple[str, bytes]:
    tensors = {name: np.array(t) for name, t in bundle.tensors.items()}
    names = [name for name in tensors if not name.endswith("onnx")]
    name = names[int(rng.integers(len(names)))]
    old = tensors[name]
    kind = str(
        rng.choice(["value", "value", "all", "dtype", "shape", "rows", "axes", "missing", "other"])
    )
    if kind == "missing":
        del tensors[name]
    elif kind in ("value", "all") and old.size:
        values = [np.nan, np.inf, -np.inf, -1, 0, 1e38, 1e19, 3e15, -5e14, 2**31 - 1, 2**62, 1e-40]
        with np.errstate(all="ignore"):
            value = np.array(values[int(rng.integers(len(values)))]).astype(old.dtype)
        kind = f"{kind} {value}"
        if kind.startswith("all"):
            old[...] = value
        else:
            old.reshape(-1)[int(rng.integers(old.size))] = value
    elif kind == "dtype":
        dtype = str(rng.choice(DTYPES))
        kind = f"as {dtype}"
        with np.errstate(all="ignore"):
            tensors[name] = old.astype(dtype)
    elif kind == "shape":
        tensors[name] = old.reshape(old.shape[::-1]).copy()
    elif kind == "rows":
        tensors[name] = old[: int(rng.integers(0, max(1, len(old))))] if old.ndim else old
    elif kind == "axes":
        tensors[name] = old[(None,) * int(rng.choice([1, 31]))] if old.ndim < 20 else old
    else:
        tensors[name] = np.array(tensors[names[int(rng.integers(len(names)))]])
    return f"{name}: {kind}", to_bytes(Bundle(tensors, bundle.record))


def _changed_network(bundle: Bundle, rng: np.random.Generator) -> tuple[str, bytes]:
    """Other bytes of the network, whose own digest is set right half of the time."""
    tensors, record = dict(bundle.tensors), copy.deepcopy(dict(bundle.record))
    content = bytearray(tensors["0.backbone.onnx"].tobytes())
    n_changes = int(rng.choice([1, 1, 1, 3, 20]))
    for _ in range(n_changes):
        place = int(rng.integers(len(content)))
        if rng.random() < 0.7:
            content[place] ^= 1 << int(rng.integers(8))
        else:
            content[place] = int(rng.integers(256))
    if rng.random() < 0.1:
        del content[int(rng.integers(len(content))) :]
    tensors["0.backbone.onnx"] = np.frombuffer(bytes(content), np.uint8)
    is_stated = rng.random() < 0.8
    if is_stated:
        digest = hashlib.sha256(bytes(content)).hexdigest()
        record["members"][0]["backbone"]["info"]["sha256"] = digest
    return f"network, digest {is_stated}", to_bytes(Bundle(tensors, record))


def _changed_text(bundle: Bundle, rng: np.random.Generator) -> tuple[str, bytes]:
    """JSON that readers differ about: a key twice, numbers without end, deep brackets."""
    content = to_bytes(bundle)
    n_header = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + n_header])
    text = header["__metadata__"]["patchbank"]
    edits = {
        "key twice": ('"false_alarm_rate": ', '"false_alarm_rate": 0.5, "false_alarm_rate": '),
        "1e999": ('"false_alarm_rate": 0', '"false_alarm_rate": 1e999'),
        "digits": ('"false_alarm_rate": 0', '"false_alarm_rate": ' + "9" * 5000),
        "deep": ('"fitted_on": [', '"fitted_on": [' + "[" * 3000 + "]" * 3000 + ","),
        "NaN": ('"spread": ', '"spread": NaN, "s": '),
        "comment": ('"fitted_on": [', '"fitted_on": /* */ ['),
    }
    name = str(rng.choice(list(edits)))
    header["__metadata__"]["patchbank"] = text.replace(*edits[name], 1)
    new = json.dumps(header).encode()
    return name, len(new).to_bytes(8, "little") + new + content[8 + n_header :]
