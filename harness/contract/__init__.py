# SPDX-License-Identifier: Apache-2.0
"""The documented rules (docs/contract.md) as predictions, and what a guest must have to show them."""
