# SPDX-License-Identifier: Apache-2.0
"""The pages that a team looks at each morning, made from the store (docs/site.md).

Static files that need no server and no network.  Nothing in them is trusted: texts are escaped, names of
files come of dates and digests, and each page's own policy forbids whatever it does not bring along.
"""
