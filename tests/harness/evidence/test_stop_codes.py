# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from harness.evidence import stop_codes
from harness.evidence.stop_codes import explain

#: Codes that driver people meet, by their public names.
MET = {
    0x0A: "IRQL_NOT_LESS_OR_EQUAL",
    0x18: "REFERENCE_BY_POINTER",
    0x19: "BAD_POOL_HEADER",
    0x1A: "MEMORY_MANAGEMENT",
    0x1E: "KMODE_EXCEPTION_NOT_HANDLED",
    0x24: "NTFS_FILE_SYSTEM",
    0x3B: "SYSTEM_SERVICE_EXCEPTION",
    0x44: "MULTIPLE_IRP_COMPLETE_REQUESTS",
    0x50: "PAGE_FAULT_IN_NONPAGED_AREA",
    0x7E: "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED",
    0x7F: "UNEXPECTED_KERNEL_MODE_TRAP",
    0x9F: "DRIVER_POWER_STATE_FAILURE",
    0xBE: "ATTEMPTED_WRITE_TO_READONLY_MEMORY",
    0xC1: "SPECIAL_POOL_DETECTED_MEMORY_CORRUPTION",
    0xC2: "BAD_POOL_CALLER",
    0xC4: "DRIVER_VERIFIER_DETECTED_VIOLATION",
    0xC5: "DRIVER_CORRUPTED_EXPOOL",
    0xC9: "DRIVER_VERIFIER_IOMANAGER_VIOLATION",
    0xCE: "DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS",
    0xD1: "DRIVER_IRQL_NOT_LESS_OR_EQUAL",
    0xD5: "DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL",
    0xE6: "DRIVER_VERIFIER_DMA_VIOLATION",
    0xEF: "CRITICAL_PROCESS_DIED",
    0xFC: "ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY",
    0x133: "DPC_WATCHDOG_VIOLATION",
    0x139: "KERNEL_SECURITY_CHECK_FAILURE",
}


@pytest.mark.parametrize("code", MET, ids=hex)
def test_names_and_four_meanings(code: int) -> None:
    stop = explain(code, (1, 2, 3, 4))
    assert stop.name == MET[code]
    assert len(stop.parameters) == 4
    assert all(one.meaning for one in stop.parameters)


def test_a_code_that_nobody_has_documented() -> None:
    stop = explain(0x7777, (1, 2))
    assert (stop.name, stop.rule, stop.matters) == (None, None, ())
    assert [one.value for one in stop.parameters] == [1, 2, None, None]
    assert stop_codes.titled(0x7777) == "0x7777"
    assert stop_codes.titled(0xD1) == "DRIVER_IRQL_NOT_LESS_OR_EQUAL (0xD1)"


@pytest.mark.parametrize(
    ("code", "parameters", "index", "words"),
    [
        (0xD1, (0, 2, 0, 0), 2, "read"),
        (0xD1, (0, 2, 1, 0), 2, "write"),
        (0xD1, (0, 2, 8, 0), 2, "execute"),
        (0x50, (0, 0x10, 0, 2), 1, "execute"),
        (0x3B, (0xC0000005, 1, 2, 0), 0, "STATUS_ACCESS_VIOLATION (0xC0000005)"),
        (0x7E, (0xFFFFFFFF80000003, 1, 2, 3), 0, "STATUS_BREAKPOINT (0x80000003)"),
        (0x9F, (3, 1, 2, 3), 0, "a device object has held an IRP for too long"),
        (0x133, (0, 1, 2, 3), 0, "one DPC or ISR ran too long"),
        (0x139, (3, 1, 2, 0), 0, "a LIST_ENTRY is corrupted (removed twice?)"),
        (0xC2, (0x7, 1, 2, 3), 0, "pool is freed a second time"),
        (0xD1, (None, 2, 8, 0), 0, "not written"),
    ],
)
def test_what_values_mean(code: int, parameters: tuple[int | None, ...], index: int, words: str) -> None:
    assert explain(code, parameters).parameters[index].words == words


def test_the_meaning_of_the_others_goes_by_the_first() -> None:
    assert explain(0x9F, (3, 1, 2, 3)).parameters[3].meaning == "the IRP"
    assert explain(0x9F, (0x77, 1, 2, 3)).parameters[3].meaning == "depends on the kind"


@pytest.mark.parametrize(
    ("code", "first", "rule"),
    [
        (0xC4, 0x81005, "rule KsCallbackReturn"),
        (0xC4, 0x62, "the driver is unloaded with pool that it has not freed"),
        (0xC4, 0xE2, "an IRP of KernelMode holds an address of user mode"),
        (0x1C4, 0x20004, "rule IrqlExAllocatePool"),
        (0xC9, 0x7, "IoCompleteRequest with the cancel routine still set"),
        (0xC9, 0x224, "a dispatch routine returned another status than the IRP has"),
        (0xC4, 0x7777777, None),
        (0xD1, 0x62, None),
    ],
)
def test_what_verifier_found(code: int, first: int, rule: str | None) -> None:
    assert explain(code, (first, 0, 0, 0)).rule == rule


def test_only_kinds_tell_crashes_apart() -> None:
    assert explain(0xD1, (0x1234, 2, 1, 0xFFFFF801)).matters == ("write",)
    assert explain(0x3B, (0xFFFFFFFFC0000005, 1, 2, 3)).matters == ("0xc0000005",)
    assert explain(0x44, (0x1234, 0, 0, 0)).matters == ()
    assert explain(0xC4, (None, 0, 0, 0)).matters == ("-",)
