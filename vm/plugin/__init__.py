# SPDX-License-Identifier: Apache-2.0
"""Coverage from below the machine: a plugin of QEMU's that counts blocks, and the file that it counts in."""
