# SPDX-License-Identifier: Apache-2.0
"""Provokes crashes, hangs and losses for real: are verdict, evidence and continuation right?"""
