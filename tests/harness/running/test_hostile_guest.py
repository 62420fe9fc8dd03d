# SPDX-License-Identifier: Apache-2.0
"""An agent that sends whatever it likes: it gets a verdict and no more, and every file stays well-formed."""

from __future__ import annotations

import html.parser
import json
import re
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.junitxml import bin_xml_escape
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.agent.journal import Journal
from harness.errors import HarnessError
from harness.guests import Evidence
from harness.guests.crash_record import crashes_in
from harness.plugin.items import explain
from harness.results import parts, report
from harness.results.record import ScenarioResult
from harness.running import attribution
from harness.running.runner import Runner
from harness.verdict import Verdict
from tests.harness.fake_agent import Answer
from tests.harness.fake_guest import ABI, OPS, C, FakeProvider, Simulation
from tests.harness.plugin.project import Project
from tests.harness.running.scenarios import scenario

#: What is harmful in a terminal, a page, an XML file, a path, a log of lines.
TEXTS = (
    "\x1b]0;owned\x07\x1b[2J\x1b[31mPASSED",
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "]]><failure/></testcase>&amp;&#0;",
    "../../../../etc/passwd",
    "C:\\kshs\\..\\..\\x\0y",
    "a\x00b\x01c\x0b\x0c\x1f\x7f\ufffe\uffff",
    "\u202epassed\u2028\u2029\r\nkshs: all is well\n",
    "\ud800\udfff",
    "%s%n{0}{{7*7}}{% raw %}",
    "x" * 9000,
)
_NUMBERS = st.sampled_from((0, 1, 2, 7, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
_TEXT = st.one_of(st.sampled_from(TEXTS), st.text(max_size=40))
_BYTES = st.one_of(st.binary(max_size=300), _TEXT.map(lambda text: text.encode("utf-8", "surrogatepass")))
_SHORT = st.sampled_from((0, 1, 2, 7, 0x7FFF, 0xFFFF))
_HEADERS = st.fixed_dictionaries(
    {},
    optional={"magic": _NUMBERS, "type": _SHORT, "flags": _SHORT, "seq": _NUMBERS, "length": _NUMBERS},
)
_FIELDS = ("size", "op", "outcome", "detail", "flags", "returned", "status", "data_length", "repeats")
_RECORDS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(_FIELDS, _NUMBERS),
        **{name: st.integers(0, 2**32 - 1) for name in ("changed_bytes", "changed_first", "completions")},
        "information": st.integers(0, 2**64 - 1),
        "begin_ns": st.integers(0, 2**64 - 1),
        "duration_ns": st.integers(0, 2**64 - 1),
    },
)
_KINDS = st.sampled_from(("HELLO", "BEGIN", "RECORD", "ERROR", "LOG", "STEP", "BYE"))


@dataclass(frozen=True)
class Lie:
    """One frame of a kind with this payload and these members of its header; cut after so many bytes."""

    kind: str
    payload: bytes
    header: dict[str, int]
    cut: int | None

    def raw(self, seq: int) -> bytes:
        header = {
            "magic": C["KSHS_FRAME_MAGIC"],
            "type": C[f"KSHS_FRAME_{self.kind}"],
            "flags": 0,
            "seq": seq,
            "length": len(self.payload),
            **self.header,
        }
        return (bytes(ABI.cs.kshs_frame(**header).dumps()) + self.payload)[: self.cut]


_LIES = st.builds(Lie, _KINDS, _BYTES, _HEADERS, st.one_of(st.none(), st.integers(0, 60)))
_ANSWERS = st.builds(
    Answer,
    record=st.one_of(st.none(), _RECORDS),
    data=_BYTES,
    begin=st.booleans(),
    error=st.one_of(st.none(), st.tuples(_NUMBERS, _NUMBERS, _TEXT.map(lambda t: t.replace("\ud800", "?")))),
    delay=st.sampled_from((0.0, 0.0, 0.05)),
    die=st.sampled_from((None, None, 137)),
    silent=st.sampled_from((False, False, True)),
)


@st.composite
def guests(draw: st.DrawFn) -> FakeProvider:
    """Guests whose answer to one kind of step is any answer, with any bytes or frames around it."""
    op = draw(st.sampled_from(("REQUEST", "OPEN_PIN", "PROPERTY", "RELEASE_ALL", "INFO", "CRASHES")))
    number = draw(st.integers(1, 3))
    answer = draw(_ANSWERS)
    lies = draw(st.lists(st.one_of(_LIES, _BYTES), max_size=3))
    crash = draw(st.one_of(_BYTES, st.builds(lambda t: json.dumps({"module": t, "code": t}).encode(), _TEXT)))
    words = draw(st.lists(_TEXT, max_size=2))

    def bend(simulation: Simulation, step: Any, data: bytes) -> Answer | None:
        name = OPS.get(int(step.op), "?")
        if name == "CRASHES" and op != "CRASHES":
            return Answer(record={}, data=crash)
        if name != op or simulation.counts[op] != number:
            return None
        seq = sum(simulation.counts.values())
        raw = b"".join(lie.raw(seq) if isinstance(lie, Lie) else lie for lie in lies)
        return Answer(**{**answer.__dict__, "raw": raw})

    found = crashes_in("\n".join(words))
    return FakeProvider(bend=bend, evidence=Evidence(found.driver, found.other))


class Strict(html.parser.HTMLParser):
    """Counts what a guest may not bring into a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.scripts.append(str(dict(attrs)))
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


def scripts_of(page: str) -> tuple[int, list[str]]:
    parser = Strict()
    parser.feed(page)
    parser.close()
    return len(parser.scripts), parser.handlers


def a_result(provider: FakeProvider, folder: Path) -> ScenarioResult | HarnessError:
    runner = Runner(provider, ABI, Journal(folder / "journal.jsonl"), margin=0.1)
    try:
        return runner.run(scenario(timeout_ms=50), file="t.toml")
    except HarnessError as error:
        return error
    finally:
        runner.close()


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attribution, "_RECORDER_TIME", 0.05)
    monkeypatch.setattr(attribution, "_RECORDER_POLL", 0.02)
    monkeypatch.setattr("harness.agent.pending.LOOK", 0.05)
    monkeypatch.setattr("harness.running.lease._INFO_TIMEOUT", 0.2)


@settings(max_examples=30, deadline=None)
@given(guests())
def test_whatever_a_guest_sends_it_gets_a_verdict(provider: FakeProvider) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = a_result(provider, folder)
        assert sorted(path.name for path in folder.rglob("*")) == ["journal.jsonl"], "no name is a path"
        if isinstance(result, HarnessError):
            assert_harmless(str(result))
            return
        assert result.verdict in Verdict
        for text in (result.reason or "", *(step.reason or "" for step in result.steps)):
            assert_harmless(text)
        part = folder / "results-main.jsonl"
        writer = parts.PartWriter(part)
        writer.write_scenario(result, order=0, worker="main")
        writer.close()
        records = parts.write(
            {
                "id": "0",
                "version": "0",
                "command": "",
                "started": "",
                "seconds": 0.0,
                "guest": "wine",
                "selection": None,
                "problem": None,
                "options": {},
                "handed_out_again": [],
                "target": {"name": "sim", "title": "sim", "hardware_id": "", "service": "", "digest": ""},
                "host": {},
            },
            parts.gather([part]),
            folder / "results.jsonl",
        )
        # Half of a surrogate pair is its escape in the file.
        kept = parts.read(folder / "results.jsonl")
        assert [(r["kind"], r.get("verdict")) for r in kept] == [
            (r["kind"], r.get("verdict")) for r in records
        ]
        page = report.render(kept)
        scripts, handlers = scripts_of(page)
        assert scripts <= PAGE_SCRIPTS and handlers == [] and "<script>alert" not in page
        failure = ET.Element("failure")
        failure.text = bin_xml_escape(explain(result))  # as pytest writes it
        ET.fromstring(ET.tostring(failure))


#: The one that unpacks, and the block that it unpacks.
PAGE_SCRIPTS = 2


def assert_harmless(text: str) -> None:
    """One line that no terminal takes for anything but text, and that is not the guest's length."""
    assert len(text) < 20_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\x80-\x9f\u2028\u2029\u202e]", text), repr(text)


_HOSTILE = """
from tests.harness.running.test_hostile_guest import TEXTS
import json
def hostile(simulation, step, data):
    op = OPS[int(step.op)]
    text = TEXTS[len(provider.guests) % len(TEXTS)]
    if op == "CRASHES":
        record = {"module": text, "code": text, "process": "winedevice.exe", "driver": text}
        return Answer(record={}, data=json.dumps([record]).encode())
    if op != "REQUEST":
        return None
    log = provider.guests[-1].agent.frame("LOG", 0, text.encode("utf-8", "replace"))
    if len(provider.guests) % 3 == 0:
        return Answer(record={"outcome": C["KSHS_OUTCOME_LOST"]}, raw=log)
    if len(provider.guests) % 3 == 1:
        return Answer(error=(5, 5, text.encode("utf-8", "replace").decode()), raw=log)
    return Answer(raw=log, die=3)
provider.bend = hostile
"""


def test_results_junit_and_terminal_stay_well_formed(tmp_path: Path) -> None:
    project = Project(tmp_path)
    one = '[[scenario]]\nid = "a.s{0}"\ntitle = "number {0}"\nrule = "H4"\nopen = ["source"]\n'
    step = 'steps = [{ do = "handshake", on = "source" }]\n'
    text = "schema = 1\n" + "".join(one.format(number) + step for number in range(len(TEXTS)))
    (tmp_path / "scenarios" / "basic.toml").write_text(text)
    (tmp_path / "kshs.toml").write_text("[limits]\ntries = 1\nin_a_row = 100\n")
    project.conftest(more=_HOSTILE)
    done = project.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(project.verdicts().values()) == {"crashed", "error"}
    for line in (done.stdout + done.stderr).splitlines():
        assert_harmless(line)
    assert len(project.cases()) == len(TEXTS)
    page = (project.out / "report.html").read_text()
    assert scripts_of(page)[1] == [] and "<script>alert" not in page
    names = {path.name for path in project.out.iterdir()}
    assert names == {"junit.xml", "results.jsonl", "report.html", "kshs.log", "incidents", "seal.json"}
    kept = [path.relative_to(project.out).as_posix() for path in (project.out / "incidents").rglob("*")]
    assert kept and all(re.fullmatch(r"[\w./-]+", path) for path in kept), kept
    assert_harmless((project.out / "kshs.log").read_text().replace("\n", " ")[:15_000])
