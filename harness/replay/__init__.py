# SPDX-License-Identifier: Apache-2.0
"""Failures recorded once, and replayed instruction by instruction (docs/field-bugs.md, "Exact replay")."""
