# SPDX-License-Identifier: Apache-2.0
import grpc


def open_channel(address, credentials=None):
    """A channel with a connection of its own; credentials None: plain text."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if credentials is None:
        return grpc.insecure_channel(address, options=options)
    return grpc.secure_channel(address, credentials, options=options)
