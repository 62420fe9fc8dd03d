# SPDX-License-Identifier: Apache-2.0
"""Target files: what the harness must know of a driver under test (docs/scenarios.md)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.errors import UsageError
from harness.language.model.format import MAX_BLOCK
from harness.language.model.target import Target, check_target
from harness.language.toml_file import TomlFile, TomlFileError, is_toml
from harness.language.toml_positions import Key
from harness.language.toml_problems import nearest, validation_problems

#: The target files that come with the harness.
BUILTIN = Path(__file__).parents[1] / "targets"

_BUILTIN_PACKAGE = "builtin:"


class TargetError(TomlFileError):
    """A target file is wrong; see `TomlFileError` for what it carries."""


def load(path: Path) -> Target:
    """A target from its file.

    Raises:
        TargetError: all that is wrong with the file, each with its line.
    """
    file = TomlFile(path, TargetError)
    _read_block_files(file)
    try:
        target = Target.model_validate(file.data)
    except ValidationError as error:
        problems = validation_problems(error, Target, file.data)
        raise file.fail([file.complaint(*problem) for problem in problems]) from None
    disagreements = check_target(target)
    if disagreements:
        raise file.fail([file.complaint(item.path, item.message, item.hint) for item in disagreements])
    if path.resolve().parent != BUILTIN.resolve():
        target.written_in(file.place)
    return target


def _read_block_files(file: TomlFile) -> None:
    """Puts the bytes of every ``block_file`` in its place, so that the model needs no file."""
    for key, table in _format_tables(file.data):
        name = table.get("block_file")
        if not isinstance(name, str) or "block" in table:
            continue
        problem = _read_block(file.path.parent / name, table)
        if problem is not None:
            raise file.fail([file.complaint((*key, "block_file"), *problem)])


def _format_tables(data: dict[str, Any]) -> list[tuple[Key, dict[str, Any]]]:
    pins = data.get("pin")
    tables: list[tuple[Key, Any]] = [(("format",), data.get("format"))]
    for index, pin in enumerate(pins if isinstance(pins, list) else ()):
        if isinstance(pin, dict):
            tables.append((("pin", index, "format"), pin.get("format")))
    return [(key, table) for key, table in tables if isinstance(table, dict)]


def _read_block(path: Path, table: dict[str, Any]) -> tuple[str, str | None] | None:
    """Reads a block into its table; gives what is wrong, and what to do."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BLOCK + 1)
    except OSError as error:
        return f"{path}: {error.strerror}", "paths are relative to the target file"
    if len(data) > MAX_BLOCK:
        return f"{path} is too long", f"a format block has at most {MAX_BLOCK} bytes"
    del table["block_file"]
    table["block"] = data.hex()
    return None


def find(name_or_path: str, *, said: str = "--target", others: Iterable[str] = ()) -> tuple[Target, Path]:
    """A target by the path of its file, or a builtin one by its name; and the file.

    Args:
        name_or_path: of the target.
        said: where the user said it.
        others: names that the user could have meant, besides the builtin ones.

    Raises:
        UsageError: there is no such target.
        TargetError: its file is wrong.
    """
    path = Path(name_or_path)
    if is_toml(path) or path.is_file():
        return load(path), path
    builtin = BUILTIN / f"{name_or_path}.toml"
    if "/" not in name_or_path and builtin.is_file():
        return load(builtin), builtin
    known = sorted({*others, *(file.stem for file in BUILTIN.glob("*.toml"))})
    raise UsageError(
        f"there is no target {name_or_path!r}",
        said,
        nearest(name_or_path, known) or f"give the path of a target file, or one of: {', '.join(known)}",
    )


def package_directory(target: Target, file: Path) -> Path | None:
    """Where the driver package is, relative to the target's file; None for one that kshs builds itself.

    Raises:
        TargetError: the directory does not exist, or there is no such builtin package.
    """
    if target.package.startswith(_BUILTIN_PACKAGE):
        name = target.package.removeprefix(_BUILTIN_PACKAGE)
        if name != "avshs":
            raise wrong(
                file, "package", f"there is no builtin package {name!r}", "the only one is builtin:avshs"
            )
        return None
    directory = file.parent / target.package
    if not directory.is_dir():
        raise wrong(file, "package", f"there is no directory {directory}", build_it(directory))
    return directory.resolve()


def check_package(target: Target, file: Path) -> None:
    """What shows before anything is built or booted: that there is a package for this device and service.

    The package itself is checked when it is deployed (`drivers.package.load`).

    Raises:
        TargetError: there is no INF for the target's device, it cannot be read, it does not name the
            target's service, or an import is allowed that none of its drivers has.
    """
    from drivers import package_infs
    from drivers.errors import PackageError

    directory = package_directory(target, file)
    if directory is None:
        return
    names = {path.name.lower(): path for path in sorted(directory.iterdir()) if path.is_file()}
    if not any(name.endswith(".inf") for name in names):
        raise wrong(
            file, "package", f"there is no INF in {directory}", build_it(file.parent / target.package)
        )
    try:
        infs, odd = package_infs.read(directory, names)
        ids = [hardware_id for read in infs for hardware_id in read.hardware_ids()]
        if ids and target.hardware_id.lower() not in (name.lower() for name in ids):
            where = directory / infs[0].name if len(infs) == 1 else directory
            raise wrong(
                file, "hardware_id", f"'{target.hardware_id}' is not in {where}", f"there: {', '.join(ids)}"
            )
        main = package_infs.main(infs, directory, target.hardware_id, odd)
        services = main.services(target.hardware_id)
        drivers = [name for name in main.files(target.hardware_id) if name.lower().endswith(".sys")]
    except PackageError as error:
        raise wrong(file, "package", error.message, error.hint or f"mend {error.where}") from None
    # An INF that adds no service itself may have it from one of the system's (Include, Needs).
    if services and target.service.lower() not in (name.lower() for name in services):
        raise wrong(
            file,
            "service",
            f"{directory / main.name} adds no service '{target.service}' for '{target.hardware_id}'",
            f"there: {', '.join(services)}",
        )
    _check_imports(target, file, directory, drivers)


def _check_imports(target: Target, file: Path, directory: Path, names: Iterable[str]) -> None:
    """That some driver has each import that is allowed: a slip of the pen would allow nothing."""
    from drivers import files

    if not target.imports.allow:
        return
    paths = [files.find(directory, name) for name in names]
    found = [path for path in paths if path is not None and path.is_file()]
    if len(found) < len(paths):
        return  # what is missing is told when the package is loaded
    unknown = unknown_import(target.imports.allow, found)
    if unknown is not None:
        index, message, hint = unknown
        text = TomlFile(file, TargetError)
        raise TargetError(file, [text.complaint(("imports", "allow", index), message, hint)])


def unknown_import(allowed: Sequence[str], drivers: Iterable[Path]) -> tuple[int, str, str] | None:
    """The first of these imports that no driver has: its place, what to say of it, and what may be meant.

    Raises:
        UsageError: a driver is no PE image.
    """
    from drivers import imports
    from drivers.errors import BuildError

    paths = list(drivers) if allowed else []
    found: dict[str, str] = {}
    for path in paths:
        try:
            names = [f"{module}!{function}" for module, function in imports.imports(path)]
        except BuildError as error:
            raise UsageError(error.message, error.where, error.hint) from None
        found |= {_folded_import(name): name for name in names}
    for index, name in enumerate(allowed):
        if _folded_import(name) not in found:
            near = nearest(name, found.values()) or f"drivers: {', '.join(path.name for path in paths)}"
            return index, f"{name!r} is no import of the package's drivers", near
    return None


def _folded_import(name: str) -> str:
    """Modules are found in any case, functions in theirs."""
    module, _, function = name.partition("!")
    return f"{module.lower()}!{function}"


def wrong(file: Path, key: str, message: str, hint: str | None = None) -> TargetError:
    """The error to raise for what a key of a target file says, with its line."""
    text = TomlFile(file, TargetError)
    return TargetError(file, [text.complaint((key,), message, hint)])


def build_it(directory: Path) -> str:
    """What to do where a package is missing."""
    return f"build it: kshs build --driver SOURCES --out {directory}, or copy INF, SYS and CAT there"
