# SPDX-License-Identifier: Apache-2.0
"""Runs planned scenarios on guests, compares and attributes what comes back."""
