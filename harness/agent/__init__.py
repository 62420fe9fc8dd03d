# SPDX-License-Identifier: Apache-2.0
"""The agent's session: frames, structures, journal and status blocks."""
