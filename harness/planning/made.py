# SPDX-License-Identifier: Apache-2.0
"""A block or an interface that a handshake carries or brings, as a plan knows it, and what is due of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.contract.callbacks import OpenObject
from harness.language.model import Rule
from harness.language.model.arguments import (
    AnswerInterface,
    AnswerPointer,
    AnyAnswer,
    AnyArgument,
    Interface,
    Pointer,
)
from harness.planning.planned import ExpectedField, NotApplicable

#: What every interface of the client's must show at any time to be 0.
_NEVER = ("excess", "stale", "strangers")


@dataclass(slots=True)
class Made:
    """A block or interface of the client's, or the place for one of a driver's.

    `place` is the key of the target file that it stands on; `handed` are the pins that got it and are not
    closed yet; `times` counts the requests that carry it, `in_flight` those of them that are under way, and
    `accepted` those that the contract predicts to succeed; `mine` are references of the client's to a
    driver's interface; `device_gone` says that the device was restarted or removed since, `closed` that the
    pin is closed that it came from.
    """

    number: int
    claim: Pointer | Interface | AnswerPointer | AnswerInterface
    place: tuple[str, ...]
    name: str | None = None
    handed: list[OpenObject] = field(default_factory=list)
    times: int = 0
    in_flight: int = 0
    accepted: int = 0
    vanished: bool = False
    owner: OpenObject | None = None
    mine: int = 0
    device_gone: bool = False
    closed: bool = False

    @property
    def may_be_gone(self) -> bool:
        """Whether a driver's interface is nobody's any more, as far as the client is concerned."""
        return not self.mine and (self.closed or getattr(self.claim, "reference", None) == "given")

    def check_kernel(self, pointer_size: int) -> None:
        """That the client can implement it on a kernel of these pointers (drivers/ksclient/made.c).

        Raises:
            NotApplicable: on x86 a function itself takes its parameters off the stack (__stdcall), and the
                target file does not say how many its further functions have.
        """
        if pointer_size == 4 and isinstance(self.claim, Interface) and self.claim.returns:
            raise NotApplicable(
                f"{self.called} has further functions ({self.key}.functions), which a client on an x86 kernel"
                " cannot implement: their parameters are not known; without them it can"
            )

    @property
    def index(self) -> int:
        """Which argument it is: 0 or 1."""
        return int(self.place[-1][-1]) - 1

    @property
    def key(self) -> str:
        """The key of the target file, as it is written."""
        return ".".join(self.place)

    @property
    def called(self) -> str:
        """What messages call it."""
        whose = "the driver's" if isinstance(self.claim, AnswerPointer | AnswerInterface) else "the client's"
        kind = "interface" if isinstance(self.claim, Interface | AnswerInterface) else "block"
        return f"{whose} {kind}{f' {self.name}' if self.name else ''} ({self.key})"

    @property
    def patience(self) -> int:
        """Milliseconds that a driver may take to give the last reference back."""
        return self.claim.within_ms if isinstance(self.claim, Interface) else 0

    @property
    def lent_for_the_call(self) -> bool:
        """Whether the driver has no business with it once the callback has returned."""
        return isinstance(self.claim, Pointer | Interface) and self.claim.until == "call"

    @property
    def is_back(self) -> bool:
        """Whether the driver must have let go of it by now."""
        if self.in_flight or not isinstance(self.claim, Pointer | Interface):
            return False
        if not self.times or self.claim.until == "call":
            return True
        return not self.handed and (self.claim.until == "close" or self.device_gone)

    def due(self, pointer_size: int) -> tuple[ExpectedField, ...]:
        """What the target file says of it at this moment of the plan."""
        claim = self.claim
        wanted: dict[str, int | str | bool] = {}
        match claim:
            case Interface():
                wanted |= dict.fromkeys(_NEVER, 0) | {"intact": True}
                if self.is_back:
                    wanted["held"] = 0
                elif claim.holds is not None and self.times == self.accepted == 1 and not self.in_flight:
                    wanted["held"] = claim.holds
            case Pointer() if not self.vanished and not claim.writes:
                wanted["intact"] = True
            case AnswerPointer() if not self.closed:
                wanted["readable"] = True
                if claim.hex is not None:
                    wanted["data"] = claim.hex.hex()
            case AnswerInterface() if not self.may_be_gone:
                wanted |= {"readable": True, "size": claim.size_of(pointer_size)}
                if claim.version is not None:
                    wanted["version"] = claim.version
                if not claim.elsewhere:
                    wanted["inside"] = True
        return tuple(ExpectedField(name, (value,), Rule.ARGUMENTS) for name, value in wanted.items())


@dataclass(frozen=True, slots=True)
class Handed:
    """What a handshake carries: two numbers, and what was made in their place.

    `counted` says whether each further thread's first argument is one higher.
    """

    numbers: tuple[int, int] = (0, 0)
    made: tuple[Made | None, Made | None] = (None, None)
    counted: bool = True

    @property
    def things(self) -> list[Made]:
        """Those of its arguments that are no numbers."""
        return [item for item in self.made if item is not None]

    @property
    def words(self) -> str:
        """For the name of the step."""
        return "".join(f", handing over {thing.called}" for thing in self.things)


Taken = tuple[Made | None, Made | None]
"""The places for what one answer brings."""


def is_given(claim: AnswerPointer | AnswerInterface) -> bool:
    """Whether the client owns a reference with each answer."""
    return isinstance(claim, AnswerInterface) and claim.reference == "given"


def kind_of(claim: AnyArgument | AnyAnswer) -> str:
    """With an article, for people."""
    return {"number": "a number", "null": "NULL", "pointer": "a pointer", "interface": "an interface"}[
        claim.kind
    ]
