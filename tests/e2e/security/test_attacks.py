# SPDX-License-Identifier: Apache-2.0
"""What anybody who reaches the port can do to the transport; whatever it is, others are served meanwhile and after."""
import contextlib
import resource
import socket
import threading

import grpc
import h2.config
import h2.connection
import h2.events
import h2.settings
import psutil
import pytest
from real_server import wait_until
from secure_channel import open_channel

MODELS = ["policy", "reference"]
MIB = 1 << 20
NUM_IDLE = 10_000
NUM_RESETS = 20_000
MAX_CALLS = 1024  # of one connection, at the same time
QUOTA = (256 + 16 * 64) * MIB  # of all connections: --max-queued-bytes, and 16 of --max-message-bytes
NUM_NEVER_READ = 200_000  # pairs; what the sockets' buffers hold of their results is some ten thousand


@pytest.fixture(scope="module")
def server(start_server, demo_flags):
    with start_server(*demo_flags) as server:
        assert server.address, server.log
        yield server


@pytest.fixture(autouse=True)
def others_are_served(server, ask):
    """Before and after each attack, on connections of their own."""
    assert ask(server.address) == MODELS
    yield
    assert server.process.poll() is None, server.log
    assert ask(server.address) == MODELS


def connect(server):
    host, port = server.address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=60)


def resident_bytes(server):
    return psutil.Process(server.process.pid).memory_info().rss


def test_metadata_over_the_limit_is_refused_and_the_server_goes_on(server, api):
    """gRPC refuses the call or, now and then, ends the connection that it came by."""
    with contextlib.closing(open_channel(server.address)) as channel:
        call = api.Models(channel).ListModels
        fits, too_large = (("x-padding", "a" * 12_000),), (("x-padding", "a" * 20_000),)
        assert len(call(api.models.ListModelsRequest(), timeout=60, metadata=fits).models) == 2
        for metadata in (too_large, tuple((f"x-{i}", "a" * 100) for i in range(500))):
            with pytest.raises(grpc.RpcError) as caught:
                call(api.models.ListModelsRequest(), timeout=60, metadata=metadata)
            assert caught.value.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
    # By a connection of its own: the one before may be about to end.
    with contextlib.closing(open_channel(server.address)) as channel:
        assert len(api.Models(channel).ListModels(api.models.ListModelsRequest(), timeout=60, metadata=fits).models) == 2


@pytest.mark.parametrize("garbage", [
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),  # the start of a TLS handshake
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 4096,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\x00\x10\x00\x01\x05\x00\x00\x00\x01",
    bytes(1 << 16),
], ids=["http1", "tls", "broken frames", "cut headers", "zeros"])
def test_garbage_ends_its_own_connection_only(server, garbage):
    with connect(server) as plain:
        with contextlib.suppress(OSError):
            plain.sendall(garbage)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(1 << 16):
                pass


def test_idle_connections_by_the_thousand(server, ask):
    """Silent ones, and ones that have greeted; closed by neither side, and each costs little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = 500
    num_idle = min(NUM_IDLE, hard - spare) if hard != resource.RLIM_INFINITY else NUM_IDLE
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, num_idle + spare), hard))
    greeting = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    greeting.initiate_connection()
    hello = greeting.data_to_send()
    before = resident_bytes(server)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = []
        for i in range(num_idle):
            idle.append(stack.enter_context(connect(server)))
            if i % 2:
                idle[-1].sendall(hello)
            if i % 1000 == 999:
                assert ask(server.address) == MODELS
        process = psutil.Process(server.process.pid)
        wait_until("all are accepted", lambda: process.num_fds() > num_idle)
        assert ask(server.address) == MODELS
        grown = (resident_bytes(server) - before) / num_idle
        print(f"{num_idle} idle connections, {grown:.0f} bytes each")
        assert grown < 128 << 10


def test_a_server_out_of_file_descriptors_serves_again_once_it_has_some(start_server, demo_flags, ask):
    with start_server(*demo_flags) as server:
        process = psutil.Process(server.process.pid)
        limit = process.num_fds() + 100
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(connect(server)) for _ in range(150)]
            with contextlib.suppress(ConnectionError):
                assert waiting[-1].recv(1) == b"", "there is no room for it: it is closed"
            assert process.num_fds() < limit, "some are spared for files"
        assert 1 <= server.log.count(" warning new connections are closed until others go") < 50, "now and then"
        wait_until("the others have gone", lambda: process.num_fds() < limit - 64)
        assert ask(server.address) == MODELS


def test_resets_in_bulk(server, ask):
    """CVE-2023-44487: streams that are opened and reset at once, on one connection."""
    before = resident_bytes(server)
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", server.address), ("te", "trailers"),
               (":path", "/prefscore.v1.ScoringService/ScorePairs"), ("content-type", "application/grpc")]
    headers.sort(key=lambda header: not header[0].startswith(":"))
    num_sent = 0
    while num_sent < NUM_RESETS:  # the server may end a connection that does so
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        with connect(server) as attacker, contextlib.suppress(ConnectionError):
            drain = threading.Thread(target=read_all, args=(attacker,))
            drain.start()
            try:
                while num_sent < NUM_RESETS:
                    for _ in range(100):
                        stream_id = client.get_next_available_stream_id()
                        client.send_headers(stream_id, headers)
                        client.reset_stream(stream_id)
                        num_sent += 1
                    attacker.sendall(client.data_to_send())
                    if num_sent % 5000 == 0:
                        assert ask(server.address) == MODELS
            finally:
                attacker.shutdown(socket.SHUT_RDWR)
                drain.join(60)
    grown = resident_bytes(server) - before
    print(f"{num_sent} resets, {grown / MIB:.1f} MiB more memory")
    assert grown < QUOTA


def read_all(plain):
    with contextlib.suppress(OSError):
        while plain.recv(1 << 16):
            pass


def test_calls_at_the_same_time_on_one_connection_are_bounded(server):
    """A client that ignores the bound, which the server announces, loses its connection."""
    headers = [(":method", "POST"), (":scheme", "http"), (":authority", server.address),
               (":path", "/prefscore.v1.ModelService/ListModels"), ("te", "trailers"), ("content-type", "application/grpc")]
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    with connect(server) as greedy:
        greedy.sendall(client.data_to_send())
        while not (announced := client.remote_settings).max_concurrent_streams < 1 << 31:
            client.receive_data(greedy.recv(1 << 16))
        assert announced.max_concurrent_streams == MAX_CALLS
        announced[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 2 * MAX_CALLS  # else this side would hold them back
        announced.acknowledge()
        for _ in range(MAX_CALLS + 1):  # calls that wait for their message
            client.send_headers(client.get_next_available_stream_id(), headers)
        with contextlib.suppress(ConnectionError):
            greedy.sendall(client.data_to_send())
            events = []
            while not events and (data := greedy.recv(1 << 16)):
                refusals = h2.events.ConnectionTerminated | h2.events.StreamReset
                events = [event for event in client.receive_data(data) if isinstance(event, refusals)]


def test_clients_that_never_read(server, ask, api, demo_pairs):
    """Each sends pairs as long as the server takes them and reads nothing: what waits for it is bounded."""
    before = resident_bytes(server)
    num_taken = [0] * 4
    done = threading.Event()

    def pairs(client):
        yield api.scoring.StreamScorePairsRequest(options=api.scoring.ScoringOptions(return_token_logps=True))
        pair = api.text_pair(demo_pairs[0])
        for i in range(NUM_NEVER_READ):
            if done.is_set():
                return
            num_taken[client] = i
            yield api.scoring.StreamScorePairsRequest(pair=pair)

    with contextlib.ExitStack() as stack:
        stack.callback(done.set)
        streams = []
        for client in range(len(num_taken)):
            channel = grpc.insecure_channel(server.address, options=[
                ("grpc.use_local_subchannel_pool", 1), ("grpc.http2.lookahead_bytes", 0),
                ("grpc.http2.bdp_probe", 0), ("grpc.http2.max_frame_size", 16384)])
            stack.callback(channel.close)
            streams.append(api.Scoring(channel).StreamScorePairs(pairs(client)))
        seen = []

        def stand_still():
            seen.append(sum(num_taken))
            return len(seen) > 300 and seen[-1] == seen[-300] > 0

        wait_until("the server takes no more", stand_still, timeout_s=120)
        assert max(num_taken) < NUM_NEVER_READ - 1, "all was taken: nothing was held back"
        assert ask(server.address) == MODELS
        grown = resident_bytes(server) - before
        print(f"{sum(num_taken)} pairs taken of clients that read nothing, {grown / MIB:.1f} MiB more memory")
        assert grown < 256 * MIB
        for stream in streams:
            stream.cancel()


@pytest.mark.parametrize("flags, is_there", [
    ((), True), (("--reflection", "off"), False), (("--listen", "0.0.0.0:0", "--allow-plaintext"), False),
    (("--listen", "0.0.0.0:0", "--allow-plaintext", "--reflection", "on"), True)],
    ids=["loopback", "off", "beyond loopback", "beyond loopback, on"])
def test_reflection(start_server, demo_flags, flags, is_there):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    with start_server(*demo_flags, *flags) as server:
        address = f"127.0.0.1:{server.address.rsplit(':', 1)[1]}"
        with contextlib.closing(open_channel(address)) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            request = reflection_pb2.ServerReflectionRequest(list_services="")
            answers = stub.ServerReflectionInfo(iter([request]), timeout=60)
            if is_there:
                services = {service.name for service in next(answers).list_services_response.service}
                assert "prefscore.v1.ScoringService" in services
            else:
                with pytest.raises(grpc.RpcError) as caught:
                    next(answers)
                assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
