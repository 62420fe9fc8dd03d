# SPDX-License-Identifier: Apache-2.0
"""What runs inside the guest, and what builds, signs and checks it.

PYTEST_DONT_REWRITE: who uses it with pytest may import it before.
"""
