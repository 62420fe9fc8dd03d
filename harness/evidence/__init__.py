# SPDX-License-Identifier: Apache-2.0
"""What a crash leaves behind, read on this host: memory dumps, symbols, signatures."""
