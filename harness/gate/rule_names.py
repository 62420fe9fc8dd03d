# SPDX-License-Identifier: Apache-2.0
"""The rules of the gate by name."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RuleName(StrEnum):
    """The rules of the gate, in the order in which they are told."""

    CANDIDATE = "candidate"
    CLOCK = "clock"
    COVERAGE = "coverage"
    EVIDENCE = "evidence"
    SELFTEST = "selftest"
    IMAGES = "images"
    FAILURES = "failures"
    COMPARISON = "comparison"
    FLAKES = "flakes"
    KNOWN = "known"
    WAIVERS = "waivers"


#: What each of them asks, for people.
TITLES: Mapping[RuleName, str] = {
    RuleName.CANDIDATE: "the package is whole, and what was tested, byte for byte",
    RuleName.CLOCK: "no time on record is still to come",
    RuleName.COVERAGE: "every guest, kernel build, suite and repeat of the policy was run",
    RuleName.EVIDENCE: "what the runs have left is there, and is what they wrote",
    RuleName.SELFTEST: "the self-test beside each run has passed",
    RuleName.IMAGES: "no guest's image was expired or too old",
    RuleName.FAILURES: "nothing failed, crashed or hung that is not let through",
    RuleName.COMPARISON: "nothing is new or unknown against the released package",
    RuleName.FLAKES: "scenarios are as reliable as the policy wants, at the upper end of the interval",
    RuleName.KNOWN: "no known issue and no quarantine is past its date",
    RuleName.WAIVERS: "what is waived a second time has its second signer",
}
