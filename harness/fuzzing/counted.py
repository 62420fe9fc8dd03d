# SPDX-License-Identifier: Apache-2.0
"""The coverage of guests whose hypervisor counts what they execute: of the target's drivers and of ks.sys."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.agent import modules
from harness.agent.encode import Encoder
from harness.coverage.images import CodeImage
from harness.coverage.map import CoverageMap
from harness.coverage.recorder import KS
from harness.errors import UsageError
from harness.guest_info import GuestInfo
from harness.guests import CountsBlocks, Guest, GuestProvider, KnowsFiles

if TYPE_CHECKING:
    from drivers.abi import Abi
    from harness.agent.modules import DriverProcess
    from harness.agent.session import AgentSession

_LOG = logging.getLogger(__name__)


class Counted:
    """Gives the coverage of a provider's guests (`harness.fuzzing.feedback.CoverageSource`).

    Args:
        provider: of guests that count; prepared.
        abi: of this harness.
    """

    def __init__(self, provider: GuestProvider, abi: Abi) -> None:
        self._provider = provider
        self._encoder = Encoder(abi)
        self._images: dict[str, CodeImage] | None = None
        self._processes: tuple[DriverProcess, ...] | None = None

    def of(self, guest: Guest, session: AgentSession, info: Mapping[str, Any]) -> CoverageMap | None:
        """Begins counting in a guest; None where nobody counts, or no image is known of what it runs.

        Raises:
            HarnessError: the guest does not say where its drivers are, or QEMU does not begin to count.
            AgentError, StepHungError: its agent does not answer.
        """
        if not isinstance(guest, CountsBlocks) or guest.counters is None:
            return None
        if self._images is None:
            self._images = self._known(info)
        if not self._images:
            return None
        processes = self._processes if guest.addresses_stay else None
        if processes is None:
            processes = self._processes = modules.ask(session, self._encoder)
        names = tuple(self._images)
        return CoverageMap.begin(guest.counters, session, self._encoder, names, self._images, processes)

    def _known(self, info: Mapping[str, Any]) -> dict[str, CodeImage]:
        """The images that were deployed; a ks.sys of the guest's own is not among them."""
        if not isinstance(self._provider, KnowsFiles):
            return {}
        files = self._provider.driver_files()
        deployed = {name.lower(): path for name, path in files.images.items()}
        if not GuestInfo.of(info).ks.ours:
            deployed.pop(KS, None)
        found = {}
        for name in (*sorted(files.targets), KS):
            if name not in deployed:
                continue
            try:
                found[name] = CodeImage(deployed[name])
            except UsageError as error:
                _LOG.warning("%s is not counted: %s", name, error)
        return found
