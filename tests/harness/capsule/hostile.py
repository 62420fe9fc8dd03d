# SPDX-License-Identifier: Apache-2.0
"""Capsules that nobody should have to open: made from a good one, each wrong in one way or several."""

from __future__ import annotations

import io
import json
import random
import stat
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.capsule.archive import digest
from tests.harness.capsule import recordings
from tests.harness.capsule.made import capsule

Members = dict[str, bytes]

NAMES = (
    "../out", "a/../../out", "/tmp/kshs-hostile", "C:/out", "C:\\out", "a\\..\\..\\out", "package/../../out",
    "package/con", "package/aux.sys", "package/NUL.", "package//x", "package/./x", "./x", "~root/x", "x/",
    "package/\u202egnp.sys", "package/x\n.sys", "package/" + "x" * 300, "a/" * 40 + "x", "package/RELAY.SYS",
    "package/relay.sys/x", "manifest.json/x", "scenario.toml ", ".ssh/authorized_keys", "-rf",
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 70, 1e308, "", "x", "x" * 100_000, [], {}, [[]] * 100, {"a": {"a": {}}},
    "\u0000", "\u202e", "../..", "file:///etc/passwd", "\x1b[2J", "NaN", "ff" * 32,
)  # fmt: skip
TOML_LINES = (
    "x = " + "[" * 3000,
    "x = " + "[" * 3000 + "]" * 3000,
    "a." * 60_000 + "a = 1",
    "[" + "b." * 60_000 + "b]",
    "x = [" + "0," * 300_000 + "]",
    'x = "' + "y" * 900_000 + '"',
    'package = "/etc"',
    'package = "../.."',
    "\ufeff",
    "repeat = 4000000000",
    "threads = 100000",
    "schema = 2",
)
STEPS = (
    '{ do = "handshake", on = "source", repeat = 4000000000 }',
    '{ do = "sleep", ms = 99999999999 }',
    '{ do = "handshake", on = "source", in_length = -1 }',
    '{ do = "handshake", on = "../..", protocol = "\\u0000" }',
    '{ do = "threads", steps = [{ do = "threads", steps = [] }] }',
    '{ do = "' + "h" * 5000 + '" }',
)
#: Larger than the directory of any capsule: entries of a zip that has none of the files.
_ENTRY = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"x"


INF = r"""
[Version]
Signature = "$WINDOWS NT$"
Class = Media
ClassGuid = {4d36e96c-e325-11ce-bfc1-08002be10318}
Provider = relay
DriverVer = 01/02/2026,1.0.0.0
CatalogFile = relay.cat
[SourceDisksNames]
1 = relay
[SourceDisksFiles]
relay.sys = 1
[DestinationDirs]
DefaultDestDir = 12
[Manufacturer]
relay = Models,NTamd64
[Models.NTamd64]
relay = Install,Root\Relay
[Install.NT]
CopyFiles = Files
[Files]
relay.sys
[Install.NT.Services]
AddService = relay,2,Service
[Service]
ServiceType = 1
StartType = 3
ErrorControl = 1
ServiceBinary = %12%\relay.sys
"""


def capsules(folder: Path, seed: int, count: int) -> Iterator[tuple[str, Path]]:
    """So many of them, written into a folder one by one: what is wrong with each, and its file."""
    good = capsule(folder / "good")
    with zipfile.ZipFile(good) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    members = sealed({**members, "package/relay.inf": INF.encode()})
    kept = recordings.make(folder / "kept", b"image")
    whole = {
        f"recording/{path.relative_to(kept).as_posix()}": path.read_bytes()
        for path in sorted(kept.rglob("*"))
        if path.is_file() and path.name != "qemu.log"
    }
    for number in range(count):
        rng = random.Random(f"{seed}/{number}")
        kind, make = KINDS[number % len(KINDS)]
        path = folder / f"{number:04}-{kind}.capsule"
        path.write_bytes(make(rng, {**members, **(whole if kind == "recording" else {})}))
        yield kind, path


def pack(members: Members, change: Callable[[zipfile.ZipInfo], None] = lambda info: None) -> bytes:
    """A zip of them, as a capsule's writer would not have it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in members.items():
            info = zipfile.ZipInfo("x")
            info.compress_type = zipfile.ZIP_DEFLATED
            info.filename = name  # unlike the constructor, this cuts nothing at a NUL
            change(info)
            target.writestr(info, data, info.compress_type)
    return out.getvalue()


def sealed(members: Members, **more: Any) -> Members:
    """With a manifest that fits what is in it, so that it is opened and what is inside comes to be read."""
    said = json.loads(members["manifest.json"])
    roles = {file["name"]: file["role"] for file in said["files"]}
    said["files"] = [
        {
            "name": name,
            "role": roles.get(name) or _role(name),
            "size": len(data),
            "sha256": digest(data),
        }
        for name, data in members.items()
        if not name.startswith("manifest.")
    ]
    said |= more
    return {**members, "manifest.json": json.dumps(said).encode()}


def _role(name: str) -> str:
    """Of a file that the good capsule does not have."""
    folder = name.split("/", maxsplit=1)[0]
    return folder if folder in ("package", "recording") and folder != name else "evidence"


def _flipped(rng: random.Random, members: Members) -> bytes:
    data = bytearray(pack(members))
    for _ in range(rng.choice((1, 1, 2, 8, 60))):
        place = rng.randrange(len(data)) if rng.random() < 0.4 else len(data) - 1 - rng.randrange(900)
        data[place] = rng.choice((0, 0xFF, rng.randrange(256), data[place] ^ 1 << rng.randrange(8)))
    return bytes(data)


def _cut(rng: random.Random, members: Members) -> bytes:
    data = pack(members)
    place = rng.randrange(len(data))
    junk = rng.randbytes(rng.choice((1, 22, 4096)))
    return rng.choice(
        (data[:place], data[place:], data + junk, junk + data, data[:place] + junk + data[place:])
    )


def _named(rng: random.Random, members: Members) -> bytes:
    for name in rng.sample(NAMES, rng.randint(1, 3)):
        members[name] = rng.randbytes(40)
    return pack(sealed(members) if rng.random() < 0.7 else members)


def _of_a_kind(rng: random.Random, members: Members) -> bytes:
    kind = rng.choice((stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK, stat.S_IFDIR))
    chosen = rng.choice(list(members))
    members[chosen] = b"/etc/passwd" if chosen != "manifest.json" else members[chosen]

    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == chosen:
            info.external_attr = (kind | 0o777) << 16

    return pack(sealed(members), change)


def _packed_otherwise(rng: random.Random, members: Members) -> bytes:
    method = rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_STORED))
    chosen = rng.choice(list(members))

    def change(info: zipfile.ZipInfo) -> None:
        if info.filename == chosen:
            info.compress_type = method

    data = bytearray(pack(members, change))
    if method == zipfile.ZIP_STORED:  # said to be encrypted, or of a method that nobody knows
        entry = data.rindex(b"PK\1\2")
        place, value = rng.choice(((8, 1), (10, 99), (10, 8)))
        struct.pack_into("<H", data, entry + place, value)
    return bytes(data)


def _changed(rng: random.Random, value: Any, depth: int = 0) -> Any:
    """The same with one thing in it, at whatever depth, replaced, left out or added."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.8):
        key = rng.choice(list(value))
        match rng.randrange(8):
            case 0:
                return {name: inner for name, inner in value.items() if name != key}
            case 1:
                return {**value, rng.choice(("x", "__class__", "schema", "files")): rng.choice(VALUES)}
            case _:
                return {**value, key: _changed(rng, value[key], depth + 1)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _changed(rng, value[place], depth + 1), *value[place + 1 :]]
    return rng.choice(VALUES)


def _manifest(rng: random.Random, members: Members) -> bytes:
    said = json.loads(members["manifest.json"])
    for _ in range(rng.choice((1, 1, 2, 4))):
        said = _changed(rng, said) if isinstance(said, dict) else said
    text = json.dumps(said)
    match rng.randrange(10):
        case 0:
            text = text[:-1] + ', "schema": 1}'
        case 1:
            text = "[" * 100_000
        case 2:
            text = text.replace("1", "1" * 5000, 1)
        case 3:
            text = text.replace('"', "'")
    return pack({**members, "manifest.json": text.encode()})


def _lying(rng: random.Random, members: Members) -> bytes:
    """Sizes, checksums and places of the directory are not those of the members."""
    data = bytearray(pack(members))
    entries = [place for place in range(len(data)) if data[place : place + 4] == b"PK\1\2"]
    for _ in range(rng.randint(1, 3)):
        field = rng.choice((16, 20, 24, 28, 30, 32, 42))
        form = "<I" if field in (16, 20, 24, 42) else "<H"
        value = (
            rng.choice((0, 1, 0xFFFF, 0x7FFF, 100))
            if form == "<H"
            else rng.choice((0, 1, 1 << 31, 0xFFFFFFFF))
        )
        struct.pack_into(form, data, rng.choice(entries) + field, value)
    return bytes(data)


def _overlapping(rng: random.Random, members: Members) -> bytes:
    data = bytearray(pack(members))
    entries = [place for place in range(len(data)) if data[place : place + 4] == b"PK\1\2"]
    first, second = rng.sample(entries, 2)
    data[first + 42 : first + 46] = data[second + 42 : second + 46]
    return bytes(data)


def _bomb(rng: random.Random, members: Members) -> bytes:
    size = rng.choice((2 << 20, 30 << 20))
    name = rng.choice(("package/zeros.bin", "scenario.toml", "manifest.json", "result.jsonl"))
    zeros = rng.choice((b"\0", b" ", b"[", b"a.", b'{"a":')) * (size // 2)
    return pack(sealed({**members, name: zeros}) if name != "manifest.json" else {**members, name: zeros})


def _dense(rng: random.Random, members: Members) -> bytes:
    """Large, and packed no better than files are: what is read of it must be bounded all the same."""
    name = rng.choice(("package/large.bin", "scenario.toml", "target.toml", "result.jsonl", "large.txt"))
    noise = rng.randbytes(1 << 13)
    times = rng.choice((2, 24)) if rng.random() < 0.97 else 460
    return pack(sealed({**members, name: (noise + bytes(1 << 19)) * times}))


def _directory(rng: random.Random, members: Members) -> bytes:
    """A directory of very many entries, of which the end of the zip says whatever it likes."""
    count = rng.choice((600, 60_000, 400_000))
    said = rng.choice((1, count & 0xFFFF, 0xFFFF))
    entries = _ENTRY * count
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, said, said, len(entries), 0, 0)
    return entries + end


def _other_form(rng: random.Random, members: Members) -> bytes:
    data = pack(members)
    end = struct.unpack("<4s4H2IH", data[-22:])
    far = rng.choice((0, len(data), 1 << 60))
    record = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, end[4], 1 << 40, end[5], end[6])
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(data) - 22 if rng.random() < 0.5 else far, 1)
    comment = rng.choice((b"", b"PK\5\6" + rng.randbytes(18)))
    tail = bytearray(data[-22:])
    struct.pack_into("<H", tail, 20, len(comment))
    return data[:-22] + record + locator + bytes(tail) + comment


def _scenario(rng: random.Random, members: Members) -> bytes:
    text = members["scenario.toml"].decode()
    match rng.randrange(5):
        case 0:
            text += "\n" + rng.choice(TOML_LINES) + "\n"
        case 1:
            text = rng.choice(TOML_LINES) + "\n" + text
        case 2:
            text = text.replace("steps = [", f"steps = [\n  {rng.choice(STEPS)},", 1)
        case 3:
            axes = "\n".join(f"a{n} = [{', '.join(map(str, range(rng.choice((3, 60)))))}]" for n in range(9))
            text += f"\n[scenario.matrix]\n{axes}\n"
        case _:
            text = _garbled(rng, text)
    return pack(sealed({**members, "scenario.toml": text.encode("utf-8", "surrogatepass")}))


def _target(rng: random.Random, members: Members) -> bytes:
    text = members["target.toml"].decode()
    match rng.randrange(4):
        case 0:
            text = text.replace('package = "package"', rng.choice(TOML_LINES))
        case 1:
            place = rng.choice(("/etc/passwd", "/dev/zero", "../../x", "package/relay.sys"))
            lines = ["block_file" if line.startswith("block =") else line for line in text.splitlines()]
            text = "\n".join(lines).replace("block_file", f'block_file = "{place}"')
        case 2:
            text += "\n" + rng.choice(TOML_LINES)
        case _:
            text = _garbled(rng, text)
    return pack(sealed({**members, "target.toml": text.encode("utf-8", "surrogatepass")}))


def _records(rng: random.Random, members: Members) -> bytes:
    lines = members["result.jsonl"].decode().splitlines()
    place = rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            lines[place] = rng.choice(
                ("[" * 60_000, "{" * 10, "null", "3", '"x"', "", "\x00", "1" * 5000, "NaN")
            )
        case 1:
            lines = lines * rng.choice((2, 50))
        case 2:
            del lines[place]
        case 3:
            lines[place] = "[" + "{}," * 200_000 + "{}]"
        case _:
            lines[place] = json.dumps(_changed(rng, json.loads(lines[place])))
    return pack(sealed({**members, "result.jsonl": "\n".join(lines).encode()}))


def _roles(rng: random.Random, members: Members) -> bytes:
    """Files that are said to be something else than they are, and several that are the same."""
    names = [name for name in members if name != "manifest.json"]
    rng.shuffle(names)
    said = json.loads(sealed(members)["manifest.json"])
    roles = ["scenario", "target", "package", "result", "evidence", "dump", "symbols"]
    for file in said["files"]:
        if rng.random() < 0.5:
            file["role"] = rng.choice(roles)
    members["manifest.json"] = json.dumps(said).encode()
    return pack({**members, "manifest.sig": rng.randbytes(rng.choice((0, 63, 64, 65, 5000)))})


def _recording(rng: random.Random, members: Members) -> bytes:
    return pack(sealed(recordings.spoiled(rng, members)))


def _garbled(rng: random.Random, text: str) -> str:
    place = rng.randrange(len(text))
    junk = rng.choice(
        ("\x00", "\x1b[2J", '"""', "'", "\u202e", "=", "[[", "]", "\\", "\n\n", "9" * 400, "\ud800")
    )
    return text[:place] + junk + text[place + rng.randrange(6) :]


KINDS: tuple[tuple[str, Callable[[random.Random, Members], bytes]], ...] = (
    ("flipped", _flipped), ("cut", _cut), ("named", _named), ("of-a-kind", _of_a_kind),
    ("packed-otherwise", _packed_otherwise), ("manifest", _manifest), ("lying", _lying),
    ("overlapping", _overlapping), ("bomb", _bomb), ("dense", _dense), ("directory", _directory),
    ("other-form", _other_form), ("scenario", _scenario), ("target", _target), ("records", _records),
    ("roles", _roles), ("recording", _recording),
)  # fmt: skip
