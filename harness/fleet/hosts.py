# SPDX-License-Identifier: Apache-2.0
"""What hosts say of themselves, read strictly."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from harness.fleet.policy import Load
from harness.fleet.shards import Kind


class Taken(BaseModel):
    """What a lease that is at work takes of its host, whoever has sent it."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    lease: str
    cores: int
    memory_mib: int
    guest: str


class HostFacts(BaseModel):
    """A host as its worker says it is.

    `session` is another one in each life of its worker, `code` the digest of its kshs, `images` those of its
    sealed images; `quarantined` says why it takes no lease, and `at_work` what is taken of it.  `twin`:
    another worker is called so, too.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")
    session: str = Field(pattern=r"^[0-9a-f]{12}$")
    accelerator: Kind
    cores: int = Field(ge=1, le=65536)
    memory_mib: int = Field(ge=0)
    disk_mib: int = Field(ge=0)
    images: list[str] = Field(max_length=10_000)
    busy: int = 0
    at_work: list[Taken] = Field(default_factory=list)
    code: str
    version: str
    uri: str
    quarantined: str | None = Field(default=None, max_length=4000)
    draining: bool = False
    twin: bool = False

    def closed(self, code: str | None = None) -> str | None:
        """Why it takes no lease; None where it does.  ``code``: of the one who asks."""
        if self.quarantined is not None:
            return f"quarantined: {self.quarantined}"
        if self.twin:
            return "two workers are called so: each needs a name of its own, as hosts.this"
        if self.draining:
            return "draining"
        if code is not None and self.code != code:
            return f"another kshs ({self.version}, sources {self.code[:8]}, here {code[:8]})"
        return None

    def load(self, code: str | None = None) -> Load:
        """As the policy sees it."""
        return Load(
            self.name,
            self.cores,
            self.memory_mib,
            self.disk_mib,
            self.accelerator,
            set(self.images),
            closed=self.closed(code),
        )
