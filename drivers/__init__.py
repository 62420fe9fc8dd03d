# SPDX-License-Identifier: Apache-2.0
"""What runs inside the guest, and what builds, signs and checks it."""
