# SPDX-License-Identifier: Apache-2.0
"""Bytes of an output that are nobody's: neither zero, nor the fill, nor the request's, nor the answer's.

They can be nothing but memory that a driver never cleared.  How many there are is on record for every
request.  They are judged (rule IO) where no answer is due at all: the request was refused for its mode or its
lengths, and what the pin's callback would have put out is known.  Elsewhere a callback may put out what it
likes, be it that it declines, and the contract does not say what becomes of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from drivers.abi import load
from harness import ntstatus
from harness.agent.status_block import StatusBlock
from harness.contract.handshake_data import HandshakeData
from harness.contract.prediction import CallbackKind, PredictionKind, Request
from harness.language.model import Handshake, Rule
from harness.language.model.steps import IOCTL_KS_HANDSHAKE
from harness.planning.planned import Answer, PlannedStep
from harness.results.record import Comparison
from harness.rules import CLAUSES
from harness.running.block_fields import sent
from vm.words import counted

#: Callbacks that put out nothing.
_SILENT = frozenset({CallbackKind.DECLINES, CallbackKind.NONE})
_REFUSALS = frozenset({Rule.H4, Rule.H5})


def disclosed(planned: PlannedStep, block: StatusBlock) -> int | None:
    """How many of the kept bytes are nobody's; None where nobody knows what is the answer's."""
    request = planned.request
    if (
        planned.answer is not Answer.REQUEST
        or request is None
        or request.control != IOCTL_KS_HANDSHAKE
        or not (block.done and block.out_visible)
    ):
        return None
    request = sent(request, block)
    answer = _output(planned)
    if answer is None and not ntstatus.is_error(block.answer):
        return None  # all of it may be the answer's
    mine = _content(planned, request, block.pointer_size)
    theirs = answer.narrowed(block.pointer_size).pack(block.pointer_size) if answer is not None else b""
    common = {0, load().constants["KSHS_OUT_FILL"]}
    return sum(
        byte not in common and byte not in (*mine[place : place + 1], *theirs[place : place + 1])
        for place, byte in enumerate(block.output)
    )


def judge(planned: PlannedStep, block: StatusBlock) -> Iterator[Comparison]:
    """The comparison of that number, where there is anything to say."""
    number = block.disclosed
    if number is None:
        return
    if _no_answer_is_due(planned) and ntstatus.is_error(block.answer):
        yield Comparison(
            "disclosed_bytes",
            "0",
            str(number),
            number == 0,
            Rule.IO.value,
            CLAUSES[Rule.IO],
            expected_values=(0,),
            got_value=number,
        )
    elif number:
        rule = Rule.CHARACTERISTIC
        yield Comparison(
            "disclosed_bytes",
            "not laid down: the contract does not say what the output holds then",
            f"{counted(number, 'byte')} of memory that is neither zero nor the answer's",
            ok=True,
            rule=rule.value,
            clause=CLAUSES[rule],
            characteristic=True,
            got_value=number,
        )


def _no_answer_is_due(planned: PlannedStep) -> bool:
    prediction, callback = planned.prediction, planned.callback
    if prediction is None or prediction.kind is not PredictionKind.EXPECTED or callback is None:
        return False
    if not set(prediction.rules) <= _REFUSALS:
        return False
    return callback.kind in _SILENT or callback.output is not None


def _output(planned: PlannedStep) -> HandshakeData | None:
    return planned.callback.output if planned.callback is not None else None


def _content(planned: PlannedStep, request: Request, pointer_size: int) -> bytes:
    """What the input buffer holds."""
    step = planned.step
    if isinstance(step, Handshake) and step.input is not None:
        return step.input
    return request.data.pack(pointer_size)
