# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of several nodes on this machine."""

import pytest
from ray_cluster import ray_cluster

STORE_BYTES = 80 << 20


@pytest.fixture(scope="package")
def cluster():
    pytest.importorskip("ray")
    with ray_cluster(cpus_per_node=1, store_bytes=STORE_BYTES) as cluster:
        yield cluster
