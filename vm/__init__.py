# SPDX-License-Identifier: Apache-2.0
"""Guests: hosts, images, templates, leases and what is seen of them from outside.

This room knows nothing of handshakes and imports nothing of the project.

PYTEST_DONT_REWRITE: who uses it with pytest may import it before.
"""

from __future__ import annotations

import os

# Read by libvirt when it is first loaded.  What it has to say to us comes as exceptions; its warnings
# (every domain of ours is "tainted") would end up in the user's terminal.
os.environ.setdefault("LIBVIRT_LOG_OUTPUTS", "3:file:/dev/null")
