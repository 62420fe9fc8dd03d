# SPDX-License-Identifier: Apache-2.0
"""The status block: the record of what came back, decoded for comparisons, reports and people."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag, StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from drivers.abi import load
from harness import ntstatus
from harness.contract.handshake_data import HandshakeData

if TYPE_CHECKING:
    from harness.agent.frames import Record


class RecordFlag(IntFlag):
    """KSHS_REC_* of the ABI header; a test holds the two together."""

    IOSB_VISIBLE = 1
    STATUS_WRITTEN = 2
    INFO_WRITTEN = 4
    PENDING = 8
    GUARD_LOW = 16
    GUARD_HIGH = 32
    IN_INTACT = 64
    NATIVE = 128
    MADE = 256
    CANCELLED = 512
    SIGNALLED = 1024
    OUT_VISIBLE = 2048
    PENDING_RETURNED = 4096


class Outcome(StrEnum):
    """KSHS_OUTCOME_*: what became of the step itself."""

    DONE = "done"
    STARTED = "started"
    REFUSED = "refused"
    HUNG = "hung"
    LOST = "lost"
    UNSUPPORTED = "unsupported"


_OUTCOMES = tuple(Outcome)


@cache
def _op_names() -> dict[int, str]:
    prefix = "KSHS_OP_"
    return {
        value: name.removeprefix(prefix).lower()
        for name, value in load().constants.items()
        if name.startswith(prefix)
    }


@dataclass(frozen=True, slots=True)
class StatusBlock:
    """What came back of one step; the attributes are those of `kshs_record` unless said otherwise.

    `pointer_size` is that of the side which sent the request, `output` its first kept bytes; `seen` what
    the target or, for `counters` steps, the client reported; `disclosed` how many bytes of the output are
    nobody's (`harness.running.disclosure`), None where that is not known; the pointers are 0 on user routes.
    """

    op: str
    outcome: Outcome
    detail: int
    flags: RecordFlag
    returned: int
    raw_status: int
    raw_information: int
    completions: int
    changed_bytes: int
    changed_first: int | None
    changed_last: int | None
    irql_after: int
    begin_ns: int
    duration_ns: int
    thread: int
    repeats: int
    output: bytes
    pointer_size: int = 8
    seen: dict[str, Any] | None = None
    in_pointer: int = 0
    out_pointer: int = 0
    disclosed: int | None = None

    @classmethod
    def from_record(cls, record: Record, *, pointer_size: int = 8) -> StatusBlock:
        """From a record as the agent sent it.

        Args:
            record: the fields of `kshs_record` and the data behind it.
            pointer_size: of the side that sent the request, 4 or 8.

        Raises:
            ValueError: an outcome that the ABI does not define.
        """
        if not 0 <= record.outcome < len(_OUTCOMES):
            raise ValueError(f"the record's outcome {record.outcome} is not defined by the ABI")
        nowhere = 0xFFFFFFFF
        return cls(
            op=_op_names().get(record.op, f"op {record.op}"),
            outcome=_OUTCOMES[record.outcome],
            detail=record.detail,
            flags=RecordFlag(record.flags),
            returned=record.returned,
            raw_status=record.status,
            raw_information=record.information,
            completions=record.completions,
            changed_bytes=record.changed_bytes,
            changed_first=None if record.changed_first == nowhere else record.changed_first,
            changed_last=None if record.changed_last == nowhere else record.changed_last,
            irql_after=record.irql_after,
            begin_ns=record.begin_ns,
            duration_ns=record.duration_ns,
            thread=record.thread,
            repeats=record.repeats,
            output=record.data,
            pointer_size=pointer_size,
            in_pointer=record.in_pointer,
            out_pointer=record.out_pointer,
        )

    # ---- what the flags mean ---------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the step was carried out, so that the status fields hold."""
        return self.outcome is Outcome.DONE

    @property
    def came_back(self) -> bool:
        """Whether the call is known to have returned, so that `returned` and `pending` hold.

        Of a step that hung they may be all that was written: then its driver said STATUS_PENDING and
        never completed the request.
        """
        written = self.returned != load().constants["KSHS_POISON_STATUS"]
        return self.done or (self.outcome is Outcome.HUNG and written)

    @property
    def iosb_visible(self) -> bool:
        """Whether the route shows an IO_STATUS_BLOCK at all."""
        return RecordFlag.IOSB_VISIBLE in self.flags

    @property
    def status(self) -> int | None:
        """IoStatus.Status, None where it is not visible or still the poison."""
        return self.raw_status if RecordFlag.STATUS_WRITTEN in self.flags else None

    @property
    def information(self) -> int | None:
        """IoStatus.Information (route call: BytesReturned), None where nobody wrote it."""
        return self.raw_information if RecordFlag.INFO_WRITTEN in self.flags else None

    @property
    def answer(self) -> int:
        """The request's status: IoStatus.Status where it was written, else what the call returned.

        On a synchronous error Windows leaves a caller's IO_STATUS_BLOCK alone, and route `call` has
        none to show; the returned status is then the whole answer.
        """
        status = self.status
        return self.returned if status is None else status

    @property
    def pending(self) -> bool:
        """Whether the call returned STATUS_PENDING."""
        return RecordFlag.PENDING in self.flags

    @property
    def pending_returned(self) -> bool:
        """Whether Irp->PendingReturned was set at completion (route irp)."""
        return RecordFlag.PENDING_RETURNED in self.flags

    @property
    def out_visible(self) -> bool:
        """Whether changed bytes, guards and output describe a real output buffer."""
        return RecordFlag.OUT_VISIBLE in self.flags

    @property
    def guards(self) -> tuple[bool, bool] | None:
        """Guard bytes before and after the output buffer intact; None without a real buffer."""
        if not self.out_visible:
            return None
        return RecordFlag.GUARD_LOW in self.flags, RecordFlag.GUARD_HIGH in self.flags

    @property
    def input_intact(self) -> bool:
        """Whether the input buffer is as it was."""
        return RecordFlag.IN_INTACT in self.flags

    @property
    def cancelled(self) -> bool:
        """Whether a cancel step reached the request before it was complete."""
        return RecordFlag.CANCELLED in self.flags

    @property
    def native(self) -> bool | None:
        """open_pin: True by its native name, False by the fallback, None where neither is said.

        open_filter: False where Wine's fallback made it, else None.
        """
        if RecordFlag.NATIVE in self.flags:
            return True
        return False if RecordFlag.MADE in self.flags else None

    @property
    def handshake(self) -> HandshakeData | None:
        """The output as a KSHANDSHAKE (rule H10), None where there is not enough of it."""
        return HandshakeData.unpack(self.output, self.pointer_size) if self.out_visible else None

    # ---- for people and files --------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """For results.jsonl (docs/results.md): plain values, statuses as names with their number.

        `status` and `information` are None where the route does not show them and ``"untouched"``
        where it does and nobody wrote them.  What the guest never wrote, because the step did not come
        back or was not carried out, is None, whatever the record holds in its place.
        """
        handshake, done, back = self.handshake, self.done, self.came_back
        return {
            "op": self.op,
            "outcome": self.outcome.value,
            "detail": ntstatus.name(self.detail) if self.detail else None,
            "answer": ntstatus.name(self.answer) if done else None,
            "returned": ntstatus.name(self.returned) if back else None,
            "status": self._visible(ntstatus.name(self.raw_status), RecordFlag.STATUS_WRITTEN),
            "information": self._visible(self.raw_information, RecordFlag.INFO_WRITTEN),
            "pending": self.pending if back else None,
            "pending_returned": self.pending_returned if done else None,
            "completions": self.completions if done else None,
            "signalled": RecordFlag.SIGNALLED in self.flags if done else None,
            "cancelled": self.cancelled,
            "irql_after": self.irql_after if back else None,
            "output_visible": self.out_visible,
            "changed_bytes": self.changed_bytes if self.out_visible else None,
            "changed_first": self.changed_first if self.out_visible else None,
            "changed_last": self.changed_last if self.out_visible else None,
            "guards_intact": None if self.guards is None else all(self.guards),
            "input_intact": self.input_intact if done else None,
            "output": self.output.hex(),
            "handshake": None
            if handshake is None
            else {
                "protocol": str(handshake.protocol),
                "argument1": f"0x{handshake.argument1:X}",
                "argument2": f"0x{handshake.argument2:X}",
            },
            "native": self.native,
            "flags": [flag.name for flag in RecordFlag if flag in self.flags],
            "begin_ns": self.begin_ns,
            "duration_ns": self.duration_ns,
            "thread": self.thread,
            "repeats": self.repeats,
            "seen": self.seen,
            "numbers": self.numbers(),
        }

    def numbers(self) -> dict[str, int | None]:
        """What `as_dict` says in words as the numbers that came: to be compared, not to be read.

        None where there is none: not visible, untouched, not carried out.  Nothing that differs from run to
        run by its nature (times, threads) is among them.
        """
        handshake, done, back = self.handshake, self.done, self.came_back
        visible = self.out_visible
        return {
            "detail": self.detail,
            "answer": self.answer if done else None,
            "returned": self.returned if back else None,
            "status": self.status if done else None,
            "information": self.information if done else None,
            "pending": int(self.pending) if back else None,
            "pending_returned": int(self.pending_returned) if done else None,
            "completions": self.completions if done else None,
            "irql_after": self.irql_after if back else None,
            "changed_bytes": self.changed_bytes if visible else None,
            "changed_first": self.changed_first if visible else None,
            "changed_last": self.changed_last if visible else None,
            "disclosed_bytes": self.disclosed,
            "guards_intact": None if self.guards is None else int(all(self.guards)),
            "input_intact": int(self.input_intact) if done else None,
            "argument1": None if handshake is None else handshake.argument1,
            "argument2": None if handshake is None else handshake.argument2,
            "repeats": self.repeats,
            "flags": int(self.flags),
        }

    def _visible(self, value: int | str, written: RecordFlag) -> int | str | None:
        if not self.done:
            return None
        if written in self.flags:
            return value
        return "untouched" if self.iosb_visible else None
