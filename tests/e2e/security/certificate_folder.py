# SPDX-License-Identifier: Apache-2.0
"""Certificates in files, as an operator has them."""
import pathlib

from certificates import Authority


class CertificateFolder:
    """The files that the server is started with; `replace` renews them as certificate managers do, by renaming."""

    def __init__(self, folder: pathlib.Path, authority: Authority, clients: Authority | None = None):
        self.folder = folder
        self.authority = authority
        self.certificate, self.key, self.client_ca = (folder / name for name in ("tls.crt", "tls.key", "clients.crt"))
        self.flags = ["--tls-certificate", self.certificate, "--tls-key", self.key]
        self.replace(*authority.issue())
        if clients is not None:
            self.replace_client_ca(clients)
            self.flags += ["--tls-client-ca", self.client_ca]

    def replace(self, key: bytes, certificate: bytes):
        for path, content in ((self.key, key), (self.certificate, certificate)):
            self._replace(path, content)

    def replace_client_ca(self, clients: Authority):
        self._replace(self.client_ca, clients.certificate)

    @staticmethod
    def _replace(path: pathlib.Path, content: bytes):
        new = path.with_suffix(".new")
        new.write_bytes(content)
        new.rename(path)
