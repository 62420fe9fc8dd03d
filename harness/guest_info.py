# SPDX-License-Identifier: Apache-2.0
"""What a guest says of itself, typed: `kshsctl info`, device facts and crash records (docs/agent.md).

None of it is trusted to be what it should be: a member of another type than is documented counts as not
said (None, or left out of its list), and unknown members are passed over.  The judgements that need one
say that the guest does not tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictBool,
    StrictStr,
    ValidationError,
    WrapValidator,
)

from harness.guest_text import clean

#: Entries of the guest's lists that are looked at.
_MAX_LIST = 512


def _or_none(value: Any, handler: Any) -> Any:
    try:
        return handler(value)
    except ValidationError:
        return None


def _whole_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("no whole number")
    return value


def _known_members(value: Any) -> Any:
    return value if isinstance(value, Mapping) else {}


def _address(value: Any) -> Any:
    """Numbers that may need 64 bits come as hexadecimal text, small ones as numbers."""
    if isinstance(value, str):
        number = int(value, 16)
        if value[:2].lower() != "0x" or not 0 <= number < 1 << 64:
            raise ValueError("no hexadecimal number of 64 bits")
        return number
    return _whole_number(value)


Text = Annotated[StrictStr | None, WrapValidator(_or_none)]
Number = Annotated[int | None, BeforeValidator(_whole_number), WrapValidator(_or_none)]
Truth = Annotated[StrictBool | None, WrapValidator(_or_none)]
Address = Annotated[int | None, BeforeValidator(_address), WrapValidator(_or_none)]


def _texts(value: Any) -> Any:
    entries = value[:_MAX_LIST] if isinstance(value, (list, tuple)) else []
    return tuple(item for item in entries if isinstance(item, str))


def _tables(value: Any) -> Any:
    entries = value[:_MAX_LIST] if isinstance(value, (list, tuple)) else []
    return tuple(item for item in entries if isinstance(item, Mapping))


Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]


class GuestModel(BaseModel):
    """Base of everything here: unknown members are passed over, nothing changes afterwards."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def of(cls, said: Any) -> Self:
        """From what the guest said; never raises."""
        return said if isinstance(said, cls) else cls.model_validate(_known_members(clean(said)))


class Kernel(GuestModel):
    """The guest's kernel."""

    major: Number = None
    minor: Number = None
    build: Number = None
    ubr: Number = None
    name: Text = None
    arch: Text = None


class WineFacts(GuestModel):
    """The guest's Wine, where its kernel is that."""

    version: Text = None


class AgentFacts(GuestModel):
    """The agent itself; `pointer_size` in bytes."""

    version: Text = None
    abi: Number = None
    pointer_size: Number = None


class Client(GuestModel):
    """ksclient.sys."""

    loaded: Truth = None
    abi: Number = None


class Ks(GuestModel):
    """The guest's ks.sys; `ours`: it is the reference class driver."""

    present: Truth = None
    ours: Truth = None
    version: Text = None
    sha256: Text = None
    unimplemented_calls: Texts = ()


class DriverFile(GuestModel):
    """A driver service and its file."""

    service: Text = None
    state: Text = None
    path: Text = None
    version: Text = None
    sha256: Text = None


class VerifiedDriver(GuestModel):
    """A driver on Driver Verifier's list; `loads`: how often it was loaded since."""

    name: Text = None
    loads: Number = None


class VerifierPart(GuestModel):
    """What verifier.exe says: of the settings, or of what is in force."""

    flags: Number = None
    drivers: Annotated[tuple[VerifiedDriver, ...], BeforeValidator(_tables)] = ()


Table = BeforeValidator(_known_members)
MaybePart = Annotated[VerifierPart | None, WrapValidator(_or_none)]


class VerifierFacts(GuestModel):
    """Driver Verifier: the registry's `flags` and `drivers`, then verifier.exe's own words."""

    flags: Number = None
    drivers: Texts = ()
    settings: MaybePart = None
    active: MaybePart = None

    @property
    def says_active(self) -> bool:
        """Whether the guest has a word about what is in force at all; older agents do not."""
        return "active" in self.model_fields_set


class GuestInfo(GuestModel):
    """The answer of `kshsctl info`."""

    family: Text = None
    wine: Annotated[WineFacts, Table] = WineFacts()
    kernel: Annotated[Kernel, Table] = Kernel()
    agent: Annotated[AgentFacts, Table] = AgentFacts()
    client: Annotated[Client, Table] = Client()
    ks: Annotated[Ks, Table] = Ks()
    drivers: Annotated[tuple[DriverFile, ...], BeforeValidator(_tables)] = ()
    test_signing: Truth = None
    secure_boot: Truth = None
    hvci: Truth = None
    verifier: Annotated[VerifierFacts | None, WrapValidator(_or_none)] = None

    @property
    def is_wine(self) -> bool:
        """Whether the kernel is Wine's."""
        return self.family == "wine"

    @property
    def is_windows(self) -> bool:
        """Whether the kernel is Microsoft's."""
        return self.family == "windows"


class DeviceFacts(GuestModel):
    """The answer of `kshsctl device`, or what a failed `install-device` says of its device."""

    instance: Text = None
    service: Text = None
    inf: Text = None
    version: Text = None
    started: Truth = None
    problem: Number = None
    problem_status: Address = None


class Place(GuestModel):
    """An address, as module and offset where it lies in one."""

    address: Address = None
    module: Text = None
    offset: Address = None


class CrashRecord(Place):
    """One line of the crash recorder (docs/agent.md, "Crashes")."""

    kind: Text = None
    process: Text = None
    code: Address = None
    access: Text = None
    target: Address = None
    driver: Text = None
    fault: Annotated[Place | None, WrapValidator(_or_none)] = None
    stack: Annotated[tuple[Place, ...], BeforeValidator(_tables)] = ()
    unwound: Truth = None
