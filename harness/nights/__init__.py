# SPDX-License-Identifier: Apache-2.0
"""What is new, against what is known: runs compared, baselines, known issues, flakiness (docs/nights.md).

Nothing here runs anything: it reads the store.
"""
