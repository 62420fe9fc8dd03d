# SPDX-License-Identifier: Apache-2.0
"""One module a step; they are never changed once they were released."""
