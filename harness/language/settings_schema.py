# SPDX-License-Identifier: Apache-2.0
"""The JSON Schema of kshs.toml and the tables of docs/configuration.md, both from the models that read it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.config import (
    CapsuleConfig,
    Config,
    LimitsConfig,
    NightConfig,
    RunConfig,
    StoreConfig,
)
from harness.gate_settings import GateConfig
from harness.hosts_settings import HostsConfig
from harness.incident_settings import IncidentsConfig
from harness.suite_settings import SuiteConfig
from vm.config import LegConfig, VmConfig
from vm.windows.profile import WindowsProfile

PAGE = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"

#: The tables of the file, each with its model.
TABLES: dict[str, type[BaseModel]] = {
    "run": RunConfig,
    "limits": LimitsConfig,
    "capsule": CapsuleConfig,
    "store": StoreConfig,
    "gate": GateConfig,
    "hosts": HostsConfig,
    "nights.NAME": NightConfig,
    "nights.NAME.suites.NAME": SuiteConfig,
    "vm": VmConfig,
    "vm.legs.NAME": LegConfig,
    "incidents": IncidentsConfig,
    "guests.NAME": WindowsProfile,
}

#: What a default is that depends on the machine or the user.
_DEFAULTS = {
    "cache_dir": "`~/.cache/kshs`",
    "runtime_dir": "`/tmp/kshs-UID`",
    "suite": "the host's",
}

#: Keys of a Windows guest in words.
_GUEST_KEYS = {
    "edition": "EDITIONID of the image in the medium's WIM.",
    "installation": "INSTALLATIONTYPE of the image: Client, Server, Server Core.",
    "image_index": "Number of the image in the WIM, from 1; instead of image_name.",
    "image_name": "NAME of the image in the WIM; instead of image_index.",
    "minimum_build": "Smallest build of Windows that is accepted.",
    "maximum_build": "Largest build of Windows that is accepted.",
    "locale": "Language of the system, as in `en-US`.",
    "keyboard": "Layout of the keyboard, as Windows' answer files have it.",
    "disk_gib": "Size of the disk, GiB; the host keeps what was written.",
    "memory_mib": "Memory, MiB.",
    "cpus": "Processors.",
    "firmware": "uefi (OVMF) or bios (SeaBIOS).",
    "tpm": "A TPM 2.0 by swtpm.",
    "disk_bus": "sata, or virtio (wants --virtio-win).",
    "bypass_requirements": "Let Setup pass over its requirements of Windows 11 (TPM, Secure Boot, memory).",
    "evaluation_days": "Days that the evaluation lasts from its installation on.",
    "product_key": "Key for Setup, as in `XXXXX-XXXXX-XXXXX-XXXXX-XXXXX`.",
    "settle_seconds": "Seconds at rest before the new system is sealed, and the longest wait for it.",
    "files": "Files that go into `C:\\kshs\\files`: a name there, and the file here.",
    "legs": "hvci: memory integrity on; verifier: Driver Verifier on.",
    "verifier_drivers": "File names of drivers that Verifier watches besides our own.",
    "leases": "fork, saved or boot: the one way in which clean guests come; without it the first that works.",
    "devices": "Hardware that leased guests get: `pci:ADDRESS`, `usb:VENDOR:PRODUCT`, `qemu:DEVICE[,...]`.",
}


def config_schema() -> dict[str, Any]:
    """Of kshs.toml."""
    schema: dict[str, Any] = Config.model_json_schema()
    schema["properties"].pop("file")
    guest = schema["$defs"]["WindowsProfile"]
    # The name is the table's.
    guest["properties"].pop("name")
    guest["required"] = [key for key in guest.get("required", []) if key != "name"]
    for key, value in guest["properties"].items():
        value.setdefault("description", _GUEST_KEYS[key])
    schema["description"] = guest["description"] = "docs/configuration.md"
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "kshs.toml"}


def rows(table: str) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each key of a table, as the page shows them."""
    schema = config_schema()
    definition = schema["$defs"][TABLES[table].__name__]
    for key, value in definition["properties"].items():
        default = value.get("default")
        shown = _DEFAULTS.get(key) if "default" not in value else None
        if shown is None:
            shown = "none" if default in (None, {}, []) else f"`{_toml(default)}`"
        yield f"`{key}`", _type(value, schema["$defs"]), shown, value["description"]


def page(text: str) -> str:
    """The page with its tables made anew, each between ``<!-- keys of TABLE -->`` and ``<!-- end -->``."""

    def table(found: re.Match[str]) -> str:
        lines = ["| key | type | default | |", "|---|---|---|---|"]
        lines += [
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows(found[2])
        ]
        return f"{found[1]}\n" + "\n".join(lines) + f"\n{found[3]}"

    return re.sub(r"(<!-- keys of (\S+) -->)\n.*?(<!-- end -->)", table, text, flags=re.DOTALL)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(_toml, value))}]"
    return (
        f'"{value}"' if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
    )


def _type(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON Schema type in a few words."""
    if "$ref" in value:
        return _type(definitions[value["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in value:
        kinds = [kind for kind in value["anyOf"] if kind.get("type") != "null"]
        return " or ".join(_type(kind, definitions) for kind in kinds)
    if "enum" in value:
        return ", ".join(f"`{word}`" for word in value["enum"])
    if "prefixItems" in value:
        return f"list of {len(value['prefixItems'])} {_type(value['prefixItems'][0], definitions)}"
    kind = str(value["type"])
    if kind == "array":
        return f"list of {_type(value['items'], definitions)}"
    if kind == "object":
        of = value.get("additionalProperties")
        return f"table of {_type(of, definitions)}" if of and "$ref" not in of else "tables"
    if kind == "string":
        return "path" if value.get("format") == "path" else "text"
    return kind + _range(value)


def _range(value: dict[str, Any]) -> str:
    low, high = value.get("minimum"), value.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    if low is not None:
        return f", from {low}"
    return f", above {value['exclusiveMinimum']:g}" if "exclusiveMinimum" in value else ""
