# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of several nodes on this machine."""

import pytest

STORE_BYTES = 80 << 20  # Ray's least is 75 MB


@pytest.fixture(scope="package")
def cluster():
    """A head that does no work, and two nodes that do."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()
