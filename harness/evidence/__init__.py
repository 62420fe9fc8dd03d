# SPDX-License-Identifier: Apache-2.0
"""What is kept of crashes, hangs and lost guests."""
