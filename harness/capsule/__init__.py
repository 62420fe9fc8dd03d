# SPDX-License-Identifier: Apache-2.0
"""A failure as one file: target, kernel build, scenario and the status blocks seen (docs/field-bugs.md)."""
