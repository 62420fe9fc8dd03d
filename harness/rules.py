# SPDX-License-Identifier: Apache-2.0
"""The text of every rule, for those who read a verdict: word for word that of docs/contract.md."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """What a judgement rests on: a rule of docs/contract.md, or one of our own.

    `ARGUMENTS` is what the target file says of a protocol's arguments (docs/scenarios.md).
    `IO` are the invariants that hold for every completed request whatever it was (docs/scenarios.md);
    `SETUP` judges the steps that merely prepare a scenario; `EXPECTATION` is a field that the scenario
    itself asked for; `CHARACTERISTIC` is never judged.
    """

    H1 = "H1"
    H2 = "H2"
    H3 = "H3"
    H4 = "H4"
    H5 = "H5"
    H6 = "H6"
    H7 = "H7"
    H8 = "H8"
    H9 = "H9"
    H10 = "H10"
    ARGUMENTS = "arguments"
    IO = "IO"
    SETUP = "setup"
    EXPECTATION = "expectation"
    CHARACTERISTIC = "characteristic"


CLAUSES: dict[Rule, str] = {
    Rule.H1: (
        "The request is IRP_MJ_DEVICE_CONTROL with IOCTL_KS_HANDSHAKE: 0x002F001F, that is "
        "FILE_DEVICE_KS 0x2F, function 7, METHOD_NEITHER, FILE_ANY_ACCESS"
    ),
    Rule.H2: (
        "The input buffer points to a KSHANDSHAKE and InLength equals sizeof(KSHANDSHAKE): 32 on "
        "64-bit, 24 on 32-bit"
    ),
    Rule.H3: "The output buffer points to a KSHANDSHAKE and OutLength equals sizeof(KSHANDSHAKE)",
    Rule.H4: (
        "If the lengths are not both sizeof(KSHANDSHAKE), Status is STATUS_INVALID_BUFFER_SIZE (0xC0000206)"
    ),
    Rule.H5: "Kernel mode only: from user mode, Status is STATUS_INVALID_DEVICE_REQUEST (0xC0000010)",
    Rule.H6: ("On success Information is sizeof(KSHANDSHAKE) and the output holds the handshake information"),
    Rule.H7: (
        "It negotiates between pins that are not connected. For a connected pin the call is "
        "KsPinHandshake, which hands the request to the connected pin and returns STATUS_SUCCESS "
        "if that pin accepts, else an error; PASSIVE_LEVEL"
    ),
    Rule.H8: (
        "AVStream calls the callback that the pin registered with KsPinRegisterHandshakeCallback "
        "for a protocol that AVStream does not handle itself"
    ),
    Rule.H9: (
        "The callback returns STATUS_SUCCESS if the pin supports the protocol, else "
        "STATUS_INVALID_DEVICE_REQUEST"
    ),
    Rule.H10: "KSHANDSHAKE is { GUID ProtocolId; PVOID Argument1; PVOID Argument2; }",
    Rule.ARGUMENTS: (
        "What a protocol's arguments point at, and who holds which reference for how long, is as the target "
        "file says (docs/scenarios.md, Arguments that are pointers)"
    ),
    Rule.IO: (
        "Whatever a request answers, it is completed once, at the caller's IRQL, with a final "
        "status that the call and the IRP agree on; nothing is written outside the output buffer, "
        "no memory of others into it, and nothing that was taken for it is kept (docs/scenarios.md)"
    ),
    Rule.SETUP: "The scenario's preparation must work before anything can be said",
    Rule.EXPECTATION: "The scenario itself asks for it",
    Rule.CHARACTERISTIC: "The contract says nothing here: recorded, never judged",
}
"""`ARGUMENTS`, `IO`, `SETUP`, `EXPECTATION` and `CHARACTERISTIC` are our own (docs/scenarios.md)."""
