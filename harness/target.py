"""Target files: what the harness must know of a driver under test (docs/scenarios.md)."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from harness.errors import UsageError
from harness.model.target import Target, check_target
from harness.toml_file import TomlFile, TomlFileError
from harness.toml_problems import nearest, validation_problems

#: The target files that come with the harness.
BUILTIN = Path(__file__).with_name("targets")

_BUILTIN_PACKAGE = "builtin:"


class TargetError(TomlFileError):
    """A target file is wrong; see `TomlFileError` for what it carries."""


def load(path: Path) -> Target:
    """A target from its file.

    Raises:
        TargetError: all that is wrong with the file, each with its line.
    """
    file = TomlFile(path, TargetError)
    try:
        target = Target.model_validate(file.data)
    except ValidationError as error:
        problems = validation_problems(error, Target, file.data)
        raise file.fail([file.complaint(*problem) for problem in problems]) from None
    disagreements = check_target(target)
    if disagreements:
        raise file.fail([file.complaint(item.path, item.message, item.hint) for item in disagreements])
    return target


def find(name_or_path: str) -> tuple[Target, Path]:
    """A target by the path of its file, or a builtin one by its name; and the file.

    Raises:
        UsageError: there is no such target.
        TargetError: its file is wrong.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml" or path.is_file():
        return load(path), path
    builtin = BUILTIN / f"{name_or_path}.toml"
    if "/" not in name_or_path and builtin.is_file():
        return load(builtin), builtin
    known = sorted(file.stem for file in BUILTIN.glob("*.toml"))
    raise UsageError(
        f"there is no target {name_or_path!r}",
        "--target",
        nearest(name_or_path, known) or f"give the path of a target file, or one of: {', '.join(known)}",
    )


def package_directory(target: Target, file: Path) -> Path | None:
    """Where the driver package is, relative to the target's file; None for one that kshs builds itself.

    Raises:
        UsageError: the directory does not exist, or there is no such builtin package.
    """
    if target.package.startswith(_BUILTIN_PACKAGE):
        name = target.package.removeprefix(_BUILTIN_PACKAGE)
        if name != "avshs":
            raise UsageError(
                f"there is no builtin package {name!r}", str(file), "the only one is builtin:avshs"
            )
        return None
    directory = (file.parent / target.package).resolve()
    if not directory.is_dir():
        raise UsageError(
            f"the package directory {directory} does not exist",
            str(file),
            "package = ... is relative to the target file and holds INF, SYS and CAT",
        )
    return directory
