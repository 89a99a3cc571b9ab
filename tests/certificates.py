# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests: an authority that signs for 127.0.0.1, with keys made anew."""
import datetime
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def _pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """`certificate`: its own, PEM."""

    def __init__(self, name="test authority"):
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        signed = self._sign(self._name, self._key.public_key(), [], days=1, is_authority=True)
        self.certificate = signed.public_bytes(serialization.Encoding.PEM)

    def _sign(self, subject, public_key, names, days, is_authority=False):
        now = datetime.datetime.now(datetime.timezone.utc)
        end = now + datetime.timedelta(days=days)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(min(now, end) - datetime.timedelta(days=1))
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, *, host="127.0.0.1", days=1):
        """(key, certificate), PEM. days: until its end; negative: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        try:
            names = [x509.IPAddress(ipaddress.ip_address(host))]
        except ValueError:
            names = [x509.DNSName(host)]
        signed = self._sign(_name(host), key.public_key(), names, days)
        return _pem(key), signed.public_bytes(serialization.Encoding.PEM)
