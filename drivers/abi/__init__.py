"""The ABI between host, agent, client and sample target, read from ``kshs_abi.h``."""
