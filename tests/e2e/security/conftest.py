# SPDX-License-Identifier: Apache-2.0
"""Certificates in files, as an operator has them, and ways to talk to a server behind them."""
import contextlib

import pytest
from certificate_folder import CertificateFolder
from certificates import Authority
from secure_channel import open_channel


@pytest.fixture(scope="session")
def authority():
    return Authority()


@pytest.fixture(scope="session")
def client_authority():
    return Authority("authority of clients")


@pytest.fixture
def certificate_folder(tmp_path, authority):
    return CertificateFolder(tmp_path, authority)


@pytest.fixture(scope="session")
def tls_server(start_server, demo_flags, authority, tmp_path_factory):
    """A server with TLS; clients need no certificate."""
    folder = CertificateFolder(tmp_path_factory.mktemp("tls"), authority)
    with start_server(*demo_flags, *folder.flags) as server:
        assert server.address, server.log
        yield server


@pytest.fixture(scope="session")
def mutual_tls_server(start_server, demo_flags, authority, client_authority, tmp_path_factory):
    """A server with TLS that takes certificates of `client_authority` only."""
    folder = CertificateFolder(tmp_path_factory.mktemp("mutual-tls"), authority, clients=client_authority)
    with start_server(*demo_flags, *folder.flags) as server:
        assert server.address, server.log
        yield server


@pytest.fixture(scope="session")
def ask(api):
    """ask(address, credentials): the names of the hosted models; credentials None: plain text."""

    def ask(address, credentials=None, metadata=(), timeout_s=60):
        with contextlib.closing(open_channel(address, credentials)) as channel:
            call = api.Models(channel).ListModels
            response = call(api.models.ListModelsRequest(), timeout=timeout_s, metadata=metadata)
            return [model.name for model in response.models]

    return ask

