"""kshs: harness."""
