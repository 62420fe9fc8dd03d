# SPDX-License-Identifier: Apache-2.0
"""Guests: hosts, images, templates, leases and what is seen of them from outside.

This room knows nothing of handshakes and imports nothing of the project.
"""
