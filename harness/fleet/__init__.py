# SPDX-License-Identifier: Apache-2.0
"""Many hosts, one night: what is sent where, fenced leases, and what came of them (docs/hosts.md).

dask.distributed is the engine: who is there, encrypted messages, resources.  It is imported in
`harness.fleet.engine`, `harness.fleet.worker` and `harness.fleet.scheduler` alone, and nothing imports these
before somebody names a scheduler: without one kshs neither has nor needs it.
"""
