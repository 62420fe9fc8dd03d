# SPDX-License-Identifier: Apache-2.0
"""Windows evaluation guests: from the ISO to the sealed image, unattended and offline.

What is proved here without a Windows medium, and what was never seen on Windows, is listed in
``docs/windows.md``.
"""
