# SPDX-License-Identifier: Apache-2.0
"""A Ray cluster of several nodes on this machine, for tests and benchmarks."""

import contextlib


@contextlib.contextmanager
def ray_cluster(cpus_per_node, store_bytes):
    """A head that does no work, and two nodes that do; this process is connected to it.

    store_bytes: of each object store; Ray's least is 75 MB.
    """
    import ray
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "object_store_memory": store_bytes, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=cpus_per_node, object_store_memory=store_bytes)
    cluster.wait_for_nodes()
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
