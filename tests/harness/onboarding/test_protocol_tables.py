# SPDX-License-Identifier: Apache-2.0
"""Protocols with pointers in a file of the driver's authors: read, refused in a line, written as they are."""

from __future__ import annotations

import tomllib
import uuid
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.language.toml_file import TomlFileError
from harness.onboarding import protocol_tables, wishes
from harness.onboarding.draft import Draft
from harness.onboarding.package_facts import PackageDevice
from harness.onboarding.target_text import text_of

GUID = "8C1F6E20-51D4-4B8E-9D37-602AB815C701"
GOOD = f"""# licence
# a word about it

[protocols.clock]
guid = "{GUID}"
# ours
argument1 = {{ kind = "interface", holds = 1 }}
"""


@pytest.fixture
def device() -> PackageDevice:
    return PackageDevice(
        Path("p"), Path("p/x.inf"), "Root\\X", ("Root\\X",), "X", ("X",), None, (), (), has_callbacks=True
    )


def _read(tmp_path: Path, text: str) -> protocol_tables.ProtocolTables:
    file = tmp_path / "protocols.toml"
    file.write_text(text, encoding="utf-8")
    return protocol_tables.read(file)


@pytest.mark.parametrize(
    "body", [GOOD, GOOD.replace("[protocols.clock]", "[protocols]\n\n[protocols.clock]")]
)
def test_they_are_written_as_they_stand(tmp_path: Path, device: PackageDevice, body: str) -> None:
    tables = _read(tmp_path, body)
    assert tables.text.startswith("[protocols") and "# ours" in tables.text
    wished = wishes.read([f"plain={GUID[:-1]}2"]).with_tables(tables.protocols, tables.entries, tables.text)
    assert set(wished.protocols) == {"plain", "clock"}
    draft = Draft(
        "x", "p", device, uuid.UUID(GUID), protocols={"plain": uuid.UUID(GUID)}, entries=tables.entries,
        text=tables.text,
    )  # fmt: skip
    written = tomllib.loads(text_of(draft))
    assert set(written["protocols"]) == {"plain", "clock"}
    assert written["protocols"]["clock"]["argument1"]["kind"] == "interface"
    assert draft.target().protocols["clock"] == uuid.UUID(GUID)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[protocols]\n", r"protocols.toml:1: protocols: "),
        (GOOD + "[[pin]]\nid = 0\n", r"protocols.toml:\d+: pin"),
        (GOOD.replace("interface", "interfaze"), r"protocols.toml:7: protocols.clock.argument1"),
        (GOOD.replace(".clock]", ".accepted]"), r"protocols.toml:4: protocols.accepted: .* something else"),
        ("guid = ", "no valid TOML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TomlFileError, match=says):
        _read(tmp_path, text)


def test_a_protocol_is_said_once(tmp_path: Path) -> None:
    tables = _read(tmp_path, GOOD)
    with pytest.raises(UsageError, match="clock is in the file of --protocols, too"):
        wishes.read([f"clock={GUID}"]).with_tables(tables.protocols, tables.entries, tables.text)
