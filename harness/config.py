# SPDX-License-Identifier: Apache-2.0
"""kshs.toml: what a project sets once and for all.

Looked for in the working directory, or named by ``--config``; everything in it may be left out::

    [run]
    guest = "wine"              # recipe of the guest
    target = "mydriver"         # a name below, "avshs", or a target file
    scenarios = ["scenarios"]   # files and directories; without it, the built-in catalogue
    out = "out/run"
    drivers = "src/drivers"     # other C sources than the installed ones

    [targets]
    mydriver = "driver/target.toml"

    [vm]                        # docs/guests.md
    memory_mib = 448

    [incidents]                 # what is kept of crashes, hangs and lost guests, docs/results.md
    keep_days = 30

    [capsule]                   # docs/field-bugs.md
    keys = ["keys/field.pub"]

    [guests.lab]                # a Windows guest of your own, docs/windows.md
    edition = "ServerStandardEval"

docs/configuration.md has every key.  Paths in the file are relative to the file, or begin with ``~``; a
`target` with a slash or with the suffix .toml is a path.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from harness.errors import UsageError
from harness.text_file import SAVE_AS, NotTextError, decode
from vm.config import VARIABLES, VmConfig
from vm.windows.profile import BUILTIN, Way, WindowsProfile

FILE = "kshs.toml"
SEE = "check --config"
#: Paths of [vm], which are made absolute before anything looks at them.
_PATHS = ("cache_dir", "runtime_dir", "apt_sources")


class RunConfig(BaseModel):
    """Defaults of ``kshs run`` and of the pytest plugin; the command line wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    guest: str = Field(default="wine", description="Recipe of the guest.")
    target: str = Field(
        default="avshs", description="A name from [targets], avshs (the sample), or a target file."
    )
    scenarios: list[Path] | None = Field(default=None, description="Files and directories with scenarios.")
    drivers: Path | None = Field(
        default=None,
        description="Tree of C sources to build instead of the installed ones: an altered refks, say.",
    )
    out: Path = Field(
        default=Path("out/run"), description="Where junit.xml, results.jsonl and report.html go."
    )


class IncidentsConfig(BaseModel):
    """What is kept of crashes, hangs and lost guests, beside the results of the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep_days: int = Field(
        default=30, ge=1, le=3650, description="Days after which incidents of earlier runs are removed."
    )
    keep: int = Field(
        default=200,
        ge=1,
        le=100000,
        description="Incidents in one directory of results; those of earlier runs go first.",
    )
    budget_mib: int = Field(
        default=2048, ge=1, le=1 << 20, description="Size of all incidents in one directory of results, MiB."
    )
    file_kib: int = Field(
        default=256, ge=4, le=65536, description="Of each log and console the last so many KiB."
    )
    memory_dump: bool = Field(
        default=True,
        description="Whether the hypervisor writes a Windows guest's memory, where it fits in the budget.",
    )


class CapsuleConfig(BaseModel):
    """Whose capsules are opened (docs/field-bugs.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: list[Path] = Field(
        default_factory=list,
        description="Public keys (ed25519, PEM): where there are any, a capsule must be signed by one.",
    )


class Config(BaseModel):
    """All settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: RunConfig = Field(default_factory=RunConfig)
    targets: dict[str, Path] = Field(default_factory=dict, description="Target files by name.")
    vm: VmConfig = Field(default_factory=VmConfig)
    incidents: IncidentsConfig = Field(default_factory=IncidentsConfig)
    capsule: CapsuleConfig = Field(default_factory=CapsuleConfig)
    guests: dict[str, WindowsProfile] = Field(
        default_factory=dict,
        description="Windows guests by name; what is left out of a built-in one's stays as it is there.",
    )

    #: The file it came from; None for defaults.
    file: Path | None = Field(default=None, exclude=True)

    def said(self, target: str) -> tuple[Path, str] | None:
        """The file and the key where a target's name or path is set; None where it is not set here."""
        if self.file is None:
            return None
        if target in self.targets:
            return self.file, f"targets.{target}"
        if target == self.run.target and "target" in self.run.model_fields_set:
            return self.file, "run.target"
        return None

    def leases_of(self, guest: str) -> Way | None:
        """How guests are leased where these settings say it; an image may have been sealed with another."""
        profile = self.guests.get(guest)
        return None if profile is None else profile.leases

    def devices_of(self, guest: str) -> tuple[str, ...]:
        """What is added to the hardware of a Windows guest, which may change after it was sealed."""
        profile = self.guests.get(guest)
        return () if profile is None else profile.devices

    @field_validator("guests", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A guest's name is its table's, and a built-in guest is the base of what is said of it."""
        if not isinstance(value, dict):
            return value
        named = {}
        for name, given in value.items():
            if isinstance(given, dict) and "name" in given:
                raise ValueError(f"{name}.name: there is no such key; the guest is called as its table is")
            base = BUILTIN[name].model_dump(exclude_defaults=True) if name in BUILTIN else {}
            named[name] = {**base, **given, "name": name} if isinstance(given, dict) else given
        return named


def load(path: Path | None = None) -> Config:
    """The settings of a file, of ``kshs.toml`` in the working directory, or the defaults.

    Raises:
        UsageError: no such file, no TOML, an unknown key or a wrong value, with its place and a hint; or a
            variable of the environment that is wrong, with its name.
    """
    path = path or _of_working_directory()
    if path is None:
        return _validated({}, None)
    try:
        data = tomllib.loads(decode(path.read_bytes()))
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=SEE) from None
    except NotTextError as error:
        raise UsageError(str(error), where=f"{path}:{error.line}", hint=SAVE_AS) from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML: {error}", where=str(path)) from None
    except RecursionError:
        raise UsageError("is nested too deeply", where=str(path)) from None
    if "file" in data:
        raise UsageError("file: there is no such key", where=str(path))
    base = path.absolute().parent
    if isinstance(data.get("vm"), dict):
        paths = {key: _anchor(base, data["vm"][key]) for key in _PATHS if key in data["vm"]}
        data["vm"] = {**data["vm"], **paths}
    return _anchored(_validated(data, path), path)


def _of_working_directory() -> Path | None:
    """``kshs.toml``; else the one whose name is spelt in capitals, as other systems do."""
    path = Path(FILE)
    if path.exists():
        return path
    return next((found for found in sorted(Path().iterdir()) if found.name.lower() == FILE), None)


def _validated(data: dict[str, Any], path: Path | None) -> Config:
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
    variable = _variable_of(first, data)
    if variable is not None:
        raise UsageError(
            f"{_sentence(first).partition(': ')[2]}: {os.environ[variable]}",
            where=f"environment variable {variable}",
            hint="unset it, or choose another",
        )
    raise UsageError(_sentence(first), where=str(path), hint=_hint(first))


def _variable_of(error: ErrorDetails, data: dict[str, Any]) -> str | None:
    """The variable from which a wrong value came; None where the file said it."""
    place = error["loc"]
    said = data.get("vm", {})
    if not place or place[0] not in ("vm", *VARIABLES) or (isinstance(said, dict) and place[-1] in said):
        return None
    variable = VARIABLES.get(str(place[-1]))
    return variable if variable in os.environ else None


def _anchor(base: Path, value: Any) -> Any:
    """A path of the file, which is relative to it or to a home; whatever else is there instead."""
    if not isinstance(value, str | Path) or not str(value):
        return value
    with contextlib.suppress(RuntimeError):  # no such user: what it names is then not there
        value = Path(value).expanduser()
    return base / value


def _anchored(config: Config, path: Path) -> Config:
    base = path.absolute().parent
    run = config.run
    update: dict[str, Any] = {
        "out": _anchor(base, run.out),
        "drivers": _anchor(base, run.drivers),
        "scenarios": run.scenarios and [_anchor(base, scenario) for scenario in run.scenarios],
    }
    target = run.target
    if target not in config.targets and ("/" in target or target.lower().endswith(".toml")):
        update["target"] = str(_anchor(base, target))
    targets = {name: _anchor(base, target) for name, target in config.targets.items()}
    guests = {
        name: guest.model_copy(
            update={"files": {key: _anchor(base, file) for key, file in guest.files.items()}}
        )
        for name, guest in config.guests.items()
    }
    keys = [_anchor(base, key) for key in config.capsule.keys]
    anchored = {
        "run": run.model_copy(update=update),
        "targets": targets,
        "guests": guests,
        "capsule": config.capsule.model_copy(update={"keys": keys}),
    }
    return config.model_copy(update={**anchored, "file": path})


def _key(error: ErrorDetails) -> str:
    return ".".join(str(part) for part in error["loc"])


def _sentence(error: ErrorDetails) -> str:
    if error["type"] == "extra_forbidden":
        return f"{_key(error)}: there is no such key"
    text = error["msg"].removeprefix("Value error, ")
    return f"{_key(error)}: {text[:1].lower()}{text[1:]}"


def _hint(error: ErrorDetails) -> str | None:
    if error["type"] != "extra_forbidden":
        return None
    model: type[BaseModel] = Config
    parts = iter(error["loc"][:-1])
    for part in parts:
        found: Any = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if get_origin(found) is dict:  # a table of tables that users name
            found = get_args(found)[1]
            next(parts, None)
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            return None
        model = found
    known = [name for name in model.model_fields if name != "file"]
    near = difflib.get_close_matches(str(error["loc"][-1]).lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
