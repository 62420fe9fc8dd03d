"""kshs: drivers."""
