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

    [guests.lab]                # a Windows guest of your own, docs/windows.md
    edition = "ServerStandardEval"

Paths in the file are relative to the file; a `target` with a slash or with the suffix .toml is a path.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from harness.errors import UsageError
from vm.config import VmConfig
from vm.windows.profile import BUILTIN, Way, WindowsProfile

FILE = "kshs.toml"


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


class Config(BaseModel):
    """All settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: RunConfig = Field(default_factory=RunConfig)
    targets: dict[str, Path] = Field(default_factory=dict, description="Target files by name.")
    vm: VmConfig = Field(default_factory=VmConfig)
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

    @field_validator("guests", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        """A guest's name is its table's, and a built-in guest is the base of what is said of it."""
        if not isinstance(value, dict):
            return value
        named = {}
        for name, given in value.items():
            base = BUILTIN[name].model_dump(exclude_defaults=True) if name in BUILTIN else {}
            named[name] = {**base, **given, "name": name} if isinstance(given, dict) else given
        return named


def load(path: Path | None = None) -> Config:
    """The settings of a file, of ``kshs.toml`` in the working directory, or the defaults.

    Raises:
        UsageError: no such file, no TOML, an unknown key or a wrong value, with its place and a hint.
    """
    if path is None:
        path = Path(FILE)
        if not path.exists():
            return Config()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise UsageError(f"cannot be read: {why}", where=str(path)) from None
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"is not TOML: {error}", where=str(path)) from None
    if "file" in data:
        raise UsageError("file: there is no such key", where=str(path))
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(_sentence(first), where=str(path), hint=_hint(first)) from None
    return _anchored(config, path)


def _anchored(config: Config, path: Path) -> Config:
    base = path.absolute().parent
    update: dict[str, Any] = {
        "out": base / config.run.out,
        "drivers": None if config.run.drivers is None else base / config.run.drivers,
        "scenarios": None
        if config.run.scenarios is None
        else [base / scenario for scenario in config.run.scenarios],
    }
    target = config.run.target
    if target not in config.targets and ("/" in target or target.endswith(".toml")):
        update["target"] = str(base / target)
    run = config.run.model_copy(update=update)
    targets = {name: base / target for name, target in config.targets.items()}
    guests = {
        name: guest.model_copy(update={"files": {key: base / file for key, file in guest.files.items()}})
        for name, guest in config.guests.items()
    }
    return config.model_copy(update={"run": run, "targets": targets, "guests": guests, "file": path})


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
    for part in error["loc"][:-1]:
        found: Any = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        if not (isinstance(found, type) and issubclass(found, BaseModel)):
            return None
        model = found
    known = [name for name in model.model_fields if name != "file"]
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
