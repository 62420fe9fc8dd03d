"""kshs: vm."""
