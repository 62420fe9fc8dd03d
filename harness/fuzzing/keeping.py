# SPDX-License-Identifier: Apache-2.0
"""What a campaign leaves on the disk beside its corpus: its state, finds, and what did not come again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from harness.capsule.scenario_text import render
from harness.errors import HarnessError, UsageError
from harness.fuzzing.against import RULE
from harness.guest_text import one_line
from harness.results.record import scenario_records
from vm.files import write_whole

if TYPE_CHECKING:
    from harness.fuzzing.finding import Find
    from harness.fuzzing.trips import Landed
    from harness.language.model import Scenario

CAMPAIGN = "campaign.json"
FINDS = "finds"
UNCONFIRMED = "unconfirmed"
#: The scenario of a find; by its name `kshs run` knows it anywhere.
FOUND = "find.scenario.toml"
SCHEMA = 1
#: What is read again of a find.
_SAID = ("verdict", "cause", "hits", "runs", "steps")

#: Writes the capsule of a find to a file.
Capsule = Callable[["Find", Path], None]


@dataclass
class State:
    """What a campaign is, and how far it came.

    `seconds` were used of `budget`; `sequences` answered, in `trips`, with `steps`; `skipped` came to nothing
    on this target or guest; `again` is how often a find came again; `errors` are our own infrastructure's.
    Of the sequences `bulk_sequences` went in `bulks`, which took `bulk_seconds`.
    """

    seed: int
    budget: float
    target: str
    target_digest: str
    guest: str
    target_file: str | None = None
    against: str | None = None
    started: str = ""
    sessions: int = 0
    seconds: float = 0.0
    sequences: int = 0
    steps: int = 0
    requests: int = 0
    trips: int = 0
    bulks: int = 0
    bulk_sequences: int = 0
    bulk_seconds: float = 0.0
    leases: int = 0
    skipped: int = 0
    again: int = 0
    unconfirmed: int = 0
    errors: int = 0
    host_cpu_seconds: float = 0.0
    coverage_blocks: int | None = None
    unopened: dict[str, str] = field(default_factory=dict)


@dataclass
class Keeper:
    """Writes into the folder of a campaign.

    Args:
        folder: of the campaign.
        capsule: makes capsules; None where there is no driver package to put into one.
    """

    folder: Path
    capsule: Capsule | None = None

    def state(self, state: State) -> None:
        """How far it came."""
        record = {"schema": SCHEMA, **asdict(state)}
        write_whole(self.folder / CAMPAIGN, json.dumps(record, indent=1) + "\n", mode=0o644)

    def find(self, find: Find, state: State) -> dict[str, Any]:
        """A find: its scenario, its capsule, the records of its failure, and what is said of it."""
        folder = self.folder / FINDS / find.signature
        folder.mkdir(parents=True, exist_ok=True)
        came = f"came in {find.rate.hits} of {find.rate.runs} runs, after {state.seconds:.0f} s"
        reason = str(find.seen.scenario.get("reason") or "")
        text = render(
            [find.scenario], [f"{find.seen.scenario['verdict']}, seed {state.seed}: {came}", reason]
        )
        write_whole(folder / FOUND, text, mode=0o644)
        lacks: list[str] = []
        if RULE in find.cause.key:
            lacks.append(f"no capsule: it only differs from {state.against}, and alone it passes")
        elif self.capsule is not None:
            try:
                self.capsule(find, folder / f"{find.scenario.id}.capsule")
            except (HarnessError, OSError) as error:
                lacks.append(f"no capsule: {error}")
        record = {
            "schema": SCHEMA,
            "signature": find.signature,
            "verdict": find.seen.scenario["verdict"],
            "cause": find.cause.words,
            "key": list(find.cause.key),
            "reason": reason,
            "hits": find.rate.hits,
            "runs": find.rate.runs,
            "steps": len(find.scenario.steps),
            "steps_before": find.steps_before,
            "after_seconds": round(state.seconds, 1),
            "after_sequences": state.sequences,
            "lacks": lacks,
        }
        lines = "".join(json.dumps(each) + "\n" for each in find.seen.records() if each)
        write_whole(folder / "result.jsonl", lines, mode=0o644)
        write_whole(folder / "find.json", json.dumps(record, indent=1) + "\n", mode=0o644)
        return record

    def finds(self) -> list[dict[str, Any]]:
        """What was found before; a folder without a whole record is found anew."""
        found = []
        for file in sorted((self.folder / FINDS).glob("*/find.json")):
            try:
                record = json.loads(file.read_text(encoding="utf-8"))
                said = {name: record[name] for name in _SAID}
                found.append(
                    {**said, "key": list(map(str, record["key"])), "signature": str(record["signature"])}
                )
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def unconfirmed_bulk(self, scenario: Scenario, reason: str) -> None:
        """An answer in a bulk that was odd, and that did not come again in a scenario of the same steps."""
        folder = self.folder / UNCONFIRMED
        folder.mkdir(parents=True, exist_ok=True)
        name = scenario.id.rpartition(".")[2]
        write_whole(folder / f"{name}.toml", render([scenario], [f"not so again: {reason}"]), mode=0o644)

    def unconfirmed(self, landed: Landed, why: str) -> None:
        """A failure that did not come again, or could not be played again."""
        folder = self.folder / UNCONFIRMED
        folder.mkdir(parents=True, exist_ok=True)
        name = landed.trip.composed.scenario.id.rpartition(".")[2]
        text = render([landed.trip.composed.scenario], [why])
        write_whole(folder / f"{name}.toml", text, mode=0o644)
        records = scenario_records(landed.result, order=0, worker="-")
        write_whole(
            folder / f"{name}.jsonl", "".join(json.dumps(each) + "\n" for each in records), mode=0o644
        )


def load_state(folder: Path) -> State | None:
    """Of a campaign that was begun there; None where there is none.

    Raises:
        UsageError: it is damaged, or another version's.
        HarnessError: it cannot be read.
    """
    file = folder / CAMPAIGN
    if not file.is_file():
        return None
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record.pop("schema") != SCHEMA:
            raise ValueError("it is of another version of kshs")
        return TypeAdapter(State).validate_python(record)
    except ValidationError as error:
        first = error.errors()[0]
        why = f"{'.'.join(map(str, first['loc'])) or 'all of it'}: {first['msg']}"
    except KeyError as error:
        why = f"{error} is missing"
    except UnicodeDecodeError:
        why = "it is no text"
    except RecursionError:
        why = "it is nested too deeply"
    except (ValueError, TypeError, AttributeError) as error:
        why = str(error)
    except OSError as error:
        raise HarnessError(f"cannot be read: {error.strerror}", str(file)) from None
    hint = f"give another --out; kshs run {folder} replays what is there"
    raise UsageError(f"this is no campaign's state: {one_line(why, 200)}", str(file), hint)
