# SPDX-License-Identifier: Apache-2.0
"""What users write: scenarios and target files, their model, positions and schema."""
