# SPDX-License-Identifier: Apache-2.0
"""What the finished guest answers, and answers that no guest should give."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from vm.family import Wine
from vm.shell import Completed
from vm.windows import sealing


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    def asked(stdout: bytes, exit_code: int = 0, stderr: bytes = b"") -> sealing.Answer:
        shell = SimpleNamespace(
            wine=lambda argv: argv, run=lambda *_, **__: Completed(exit_code, stdout, stderr)
        )
        monkeypatch.setattr(sealing, "connect", lambda *_, **__: SimpleNamespace(close=lambda: None))
        monkeypatch.setattr(sealing, "Shell", lambda *_: shell)
        monkeypatch.setattr(sealing.sealed, "endpoint", lambda *_: None)
        monkeypatch.setattr(sealing.sealed, "family_of", lambda _: Wine())
        return sealing.ask(SimpleNamespace(port=22), Path(), 1.0)  # type: ignore[arg-type]

    return asked


def test_the_agents_answer_is_kept(ask: Any) -> None:
    answer = ask(b'some noise {"test_signing": true}')
    assert (answer.family, answer.info) == ("wine", {"test_signing": True})


@pytest.mark.parametrize(
    ("stdout", "exit_code", "stderr", "says"),
    [
        (b"[" * 100_000 + b"{", 0, b"", "the agent gives no JSON object"),
        (b'{"a":' * 100_000, 0, b"", "the agent gives no JSON object"),
        (b"no object", 0, b"", "the agent gives no JSON object"),
        (b'{"torn": ', 0, b"", "the agent gives no JSON object"),
        (b"\xff\xfe", 0, b"", "the agent gives no JSON object"),
        (b"{}", 5, b"first\nno\x1b[31m way", "the agent fails with exit code 5: no\ufffd[31m way"),
        (b'{"test_signing": false}', 0, b"", "test signing is off"),
    ],
    ids=["brackets", "nested", "words", "torn", "bytes", "exit code", "unsigned"],
)
def test_an_answer_that_is_none_is_told_in_words(
    ask: Any, stdout: bytes, exit_code: int, stderr: bytes, says: str
) -> None:
    with pytest.raises(sealing.NoAnswerError) as told:
        ask(stdout, exit_code, stderr)
    assert says in str(told.value) and str(told.value).isprintable()
