# SPDX-License-Identifier: Apache-2.0
"""kshs.toml: what a project sets once and for all.

Looked for in the working directory, or named by ``--config``; everything in it may be left out::

    [run]
    guest = "wine"              # recipe of the guest
    target = "mydriver"         # a name below, "avshs", or a target file
    scenarios = ["scenarios"]   # files and directories; without it, the built-in catalogue
    out = "out/run"
    drivers = "src/drivers"     # other C sources than the installed ones

    [limits]                    # docs/configuration.md
    request_ms = 20000

    [targets]
    mydriver = "driver/target.toml"

    [store]                     # docs/nights.md
    url = "nights.db"

    [nights.lab]
    targets = ["mydriver"]

    [vm]                        # docs/guests.md
    memory_mib = 448

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
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from harness.errors import UsageError
from harness.gate_settings import GateConfig
from harness.hosts_settings import HostsConfig
from harness.incident_settings import IncidentsConfig
from harness.suite_settings import SuiteConfig
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
    build: Path | None = Field(
        default=None,
        description="A finished build that is used as it is, where drivers is not said.",
    )
    out: Path = Field(
        default=Path("out/run"), description="Where junit.xml, results.jsonl and report.html go."
    )


class LimitsConfig(BaseModel):
    """How long things may take, and how often what failed on our side is tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request_ms: int = Field(
        default=10_000,
        ge=1,
        le=600_000,
        description="After which a request is hung where neither its step nor its scenario has a timeout_ms.",
    )
    step_s: float | None = Field(
        default=None, gt=0, description="Seconds for all requests of a step that has no limit_s of its own."
    )
    scenario_s: float = Field(
        default=3600.0, gt=0, description="Seconds for a scenario that has no limit_s of its own."
    )
    tries: int = Field(
        default=2, ge=1, le=5, description="How often a scenario is tried whose guest was lost on our side."
    )
    lease_tries: int = Field(default=3, ge=1, le=10, description="How often a guest is asked for.")
    in_a_row: int = Field(
        default=5,
        ge=1,
        le=1000,
        description="Scenarios in a row that were lost on our side, after which no further one is run.",
    )


class CapsuleConfig(BaseModel):
    """Whose capsules are opened (docs/field-bugs.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: list[Path] = Field(
        default_factory=list,
        description="Public keys (ed25519, PEM): where there are any, a capsule must be signed by one.",
    )


class StoreConfig(BaseModel):
    """Where runs are kept (docs/nights.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = Field(
        default=None, min_length=1, description="A file, or a database: `postgresql://HOST/NAME`."
    )


class NightConfig(BaseModel):
    """A matrix that ``kshs nightly`` runs: each guest with each target and each suite (docs/nights.md)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    guests: list[str] | None = Field(default=None, min_length=1, description="Guests; else run.guest.")
    targets: list[str] | None = Field(default=None, min_length=1, description="Targets; else run.target.")
    suites: dict[str, SuiteConfig] | None = Field(
        default=None, min_length=1, description="Selections by name; else all of run.scenarios, called all."
    )
    repeats: int = Field(default=1, ge=1, le=100, description="How often each cell is run.")
    minutes: float | None = Field(
        default=None, gt=0, description="After so many minutes no further cell is begun."
    )
    released: str | None = Field(
        default=None,
        description="Of the targets the last release: the others are compared with it in the same night.",
    )
    workers: int = Field(default=1, ge=1, le=32, description="Guests at the same time in each cell.")
    site: Path | None = Field(
        default=None, description="Folder of the site that is brought up to date behind each night (site.md)."
    )

    @field_validator("suites")
    @classmethod
    def _plain(cls, value: dict[str, SuiteConfig] | None) -> dict[str, SuiteConfig] | None:
        """Names of suites become names of folders."""
        wrong = next((name for name in value or () if not _SUITE.fullmatch(name)), None)
        if wrong is not None:
            raise ValueError(f"{wrong} is no name of a suite: a to z, digits, dashes")
        return value


_SUITE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


class Config(BaseModel):
    """All settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: RunConfig = Field(default_factory=RunConfig)
    limits: LimitsConfig = Field(default_factory=LimitsConfig)
    store: StoreConfig = Field(default_factory=StoreConfig)
    gate: GateConfig = Field(default_factory=GateConfig)
    targets: dict[str, Path] = Field(default_factory=dict, description="Target files by name.")
    vm: VmConfig = Field(default_factory=VmConfig)
    incidents: IncidentsConfig = Field(default_factory=IncidentsConfig)
    capsule: CapsuleConfig = Field(default_factory=CapsuleConfig)
    guests: dict[str, WindowsProfile] = Field(
        default_factory=dict,
        description="Windows guests by name; what is left out of a built-in one's stays as it is there.",
    )

    nights: dict[str, NightConfig] = Field(
        default_factory=dict, description="What kshs nightly runs, by name."
    )
    hosts: HostsConfig = Field(default_factory=HostsConfig)

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

    @model_validator(mode="after")
    def _one_guest_a_name(self) -> Config:
        """A leg of the embedded guest is asked for by its name, as Windows guests are."""
        for name in self.vm.legs:
            if name in (*BUILTIN, *self.guests):
                raise ValueError(f"vm.legs.{name}: there is another guest of this name")
        return self

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
    return variable if variable is not None and variable in os.environ else None


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
        "build": _anchor(base, run.build),
        "scenarios": run.scenarios and [_anchor(base, scenario) for scenario in run.scenarios],
    }
    target = _anchored_target(base, config, run.target)
    if target != run.target:
        update["target"] = target
    targets = {name: _anchor(base, target) for name, target in config.targets.items()}
    nights = {name: _anchored_night(base, config, night) for name, night in config.nights.items()}
    guests = {}
    for name, guest in config.guests.items():
        files = {key: _anchor(base, file) for key, file in guest.files.items()}
        guests[name] = guest.model_copy(update={"files": files})
    store = config.store
    if store.url is not None and "://" not in store.url:
        store = store.model_copy(update={"url": str(_anchor(base, store.url))})
    keys = [_anchor(base, key) for key in config.capsule.keys]
    anchored = {
        "gate": config.gate.beside(lambda value: _anchor(base, value)),
        "hosts": config.hosts.model_copy(update={"keys": _anchor(base, config.hosts.keys)}),
        "run": run.model_copy(update=update),
        "targets": targets,
        "guests": guests,
        "capsule": config.capsule.model_copy(update={"keys": keys}),
        "store": store,
        "nights": nights,
    }
    return config.model_copy(update={**anchored, "file": path})


def _anchored_target(base: Path, config: Config, target: str) -> str:
    """A name, or the path of a target file."""
    if target not in config.targets and ("/" in target or target.lower().endswith(".toml")):
        return str(_anchor(base, target))
    return target


def _anchored_night(base: Path, config: Config, night: NightConfig) -> NightConfig:
    update: dict[str, Any] = {}
    if night.targets is not None:
        update["targets"] = [_anchored_target(base, config, target) for target in night.targets]
    if night.released is not None:
        update["released"] = _anchored_target(base, config, night.released)
    if night.suites is not None:
        update["suites"] = {
            name: suite.model_copy(update={"paths": [_anchor(base, path) for path in suite.paths]})
            for name, suite in night.suites.items()
        }
    if night.site is not None:
        update["site"] = _anchor(base, night.site)
    return night.model_copy(update=update)


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
