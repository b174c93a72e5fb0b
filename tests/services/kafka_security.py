"""A Kafka that lets nobody in without TLS: certificates, logins and tokens, made anew for each.

Beside the listener that the broker itself uses it has one for each way of security: TLS, mutual TLS, and SASL over TLS
with PLAIN, SCRAM-SHA-512 and OAUTHBEARER. Tokens are signed by a key whose public half the broker reads from a JWKS
file, as an identity provider would publish it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import shutil
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from services.kafka import Kafka, KafkaProcess, kafka_process
from services.service import free_ports

USER: Final = "alice"
PASSWORD: Final = "correct-horse-7"  # noqa: S105 - of a broker that lives as long as a test
KEY_PASSWORD: Final = "battery-staple-7"  # noqa: S105 - as above
AUDIENCE: Final = "onepipe-tests"

_SCRAM: Final = "SCRAM-SHA-512"
_JAAS: Final = "org.apache.kafka.common.security"
_JWKS_HANDLER: Final = f"{_JAAS}.oauthbearer.OAuthBearerValidatorCallbackHandler"
_TOKEN_SECONDS: Final = 600
_DAY: Final = dt.timedelta(days=1)


@attrs.frozen
class Identity:
    """A key, and the certificate of its holder.

    Attributes:
        key: the private key.
        certificate: who holds it, by the word of the authority that signed it.
    """

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def write(self, folder: Path, name: str, password: str | None = None) -> tuple[Path, Path]:
        """Write certificate and key as PEM files, the key encrypted where a password is given; their paths."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        key.write_bytes(_private_pem(self.key, password))
        return certificate, key


class Authority:
    """Signs certificates of servers and clients.

    Attributes:
        identity: its own.
    """

    def __init__(self, name: str) -> None:
        key = _new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)  # signs, and nothing else
        unsigned = _certificate(self._name, self._name, key).add_extension(basic, True).add_extension(usage, True)
        unsigned = unsigned.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        self.identity = Identity(key, unsigned.sign(key, hashes.SHA256()))

    def issue(self, common_name: str, address: str | None = None) -> Identity:
        """An identity of a client, or of a server at an IP address, by which it is then to be called."""
        key = _new_key()
        issuer = self.identity.key
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        unsigned = _certificate(subject, self._name, key)
        unsigned = unsigned.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        known = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
        unsigned = unsigned.add_extension(known, False)
        uses = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if address is not None:
            uses = [ExtendedKeyUsageOID.SERVER_AUTH]
            called = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
            unsigned = unsigned.add_extension(called, False)
        unsigned = unsigned.add_extension(x509.ExtendedKeyUsage(uses), False)
        return Identity(key, unsigned.sign(issuer, hashes.SHA256()))


class TokenIssuer:
    """Signs JSON Web Tokens (RFC 7519) by RS256, as an identity provider does."""

    def __init__(self) -> None:
        self._key = _new_key()

    def key_set(self) -> str:
        """Its public key, as a JSON Web Key Set (RFC 7517)."""
        numbers = self._key.public_key().public_numbers()
        key = {"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "1", "n": _whole(numbers.n), "e": _whole(numbers.e)}
        return json.dumps({"keys": [key]})

    def token(self, seconds: int = _TOKEN_SECONDS) -> tuple[str, float]:
        """A token for USER that is good for so long, and the second since 1970 at which it ends."""
        ends = int(time.time()) + seconds
        claims = {"sub": USER, "aud": AUDIENCE, "iat": ends - _TOKEN_SECONDS, "exp": ends, "scope": "kafka"}
        signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': '1'})}.{_part(claims)}"
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}", ends


@attrs.frozen
class SecureKafka:
    """A running Kafka and what its clients need to be let in.

    Attributes:
        process: the broker; its own address is that of the listener for itself.
        tls: `host:port` where TLS alone is wanted.
        mutual: `host:port` where clients show a certificate.
        sasl: `host:port` where clients log in, over TLS.
        authority: who signed the certificates.
        ca: its certificate, a PEM file.
        client: certificate and encrypted key of a client, PEM files; KEY_PASSWORD decrypts the key.
        tokens: whose tokens the broker takes.
    """

    process: KafkaProcess
    tls: str
    mutual: str
    sasl: str
    authority: Authority
    ca: Path
    client: tuple[Path, Path]
    tokens: TokenIssuer


@contextlib.contextmanager
def secure_kafka_process() -> Iterator[SecureKafka]:
    """A broker with TLS, running; its folder and keys go with it.

    Raises:
        Missing: Java, or what fetches the jars, is not there.
    """
    folder = Path(tempfile.mkdtemp(prefix="onepipe-kafka-keys-"))
    try:
        authority, tokens = Authority("onepipe tests"), TokenIssuer()
        ca, _ = authority.identity.write(folder, "ca")
        server = authority.issue("broker", "127.0.0.1")
        keys = folder / "keystore.pem"
        keys.write_bytes(_private_pem(server.key) + server.certificate.public_bytes(serialization.Encoding.PEM))
        key_set = folder / "jwks.json"
        key_set.write_text(tokens.key_set())
        client = authority.issue(USER).write(folder, "client", KEY_PASSWORD)
        ports = free_ports(3)
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={key_set.as_uri()}"
        with kafka_process(_settings(ports, keys, ca, key_set), [allowed]) as process:
            _add_scram_user(process)
            tls, mutual, sasl = (f"127.0.0.1:{port}" for port in ports)
            yield SecureKafka(process, tls, mutual, sasl, authority, ca, client, tokens)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _settings(ports: list[int], keys: Path, ca: Path, key_set: Path) -> Mapping[str, str]:
    tls, mutual, sasl = ports
    listeners = ["PLAINTEXT://127.0.0.1:{port}", "CONTROLLER://127.0.0.1:{controller}"]
    listeners += [f"TLS://127.0.0.1:{tls}", f"MUTUAL://127.0.0.1:{mutual}", f"LOGIN://127.0.0.1:{sasl}"]
    login = "listener.name.login."
    token_login = f"{login}oauthbearer."
    user = f'username="{USER}" password="{PASSWORD}" user_{USER}="{PASSWORD}"'
    return {
        "listeners": ",".join(listeners),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,TLS:SSL,MUTUAL:SSL,LOGIN:SASL_SSL",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keys),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.mutual.ssl.client.auth": "required",
        f"{login}sasl.enabled.mechanisms": f"PLAIN,{_SCRAM},OAUTHBEARER",
        f"{login}plain.sasl.jaas.config": f"{_JAAS}.plain.PlainLoginModule required {user};",
        f"{login}{_SCRAM.lower()}.sasl.jaas.config": f"{_JAAS}.scram.ScramLoginModule required;",
        f"{token_login}sasl.jaas.config": f"{_JAAS}.oauthbearer.OAuthBearerLoginModule required;",
        f"{token_login}sasl.server.callback.handler.class": _JWKS_HANDLER,
        f"{token_login}sasl.oauthbearer.jwks.endpoint.url": key_set.as_uri(),
        f"{token_login}sasl.oauthbearer.expected.audience": AUDIENCE,
    }


def _add_scram_user(kafka: Kafka) -> None:
    salted = f"{_SCRAM}=[password={PASSWORD}]"
    kafka.tool("kafka-configs", "--alter", "--add-config", salted, "--entity-type", "users", "--entity-name", USER)


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def _certificate(subject: x509.Name, issuer: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    named = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return (
        named.serial_number(x509.random_serial_number()).not_valid_before(now - _DAY).not_valid_after(now + 30 * _DAY)
    )


def _private_pem(key: rsa.RSAPrivateKey, password: str | None = None) -> bytes:
    sealed: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password is not None:
        sealed = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, sealed)


def _part(value: Any) -> str:
    return _base64(json.dumps(value).encode())


def _whole(number: int) -> str:
    return _base64(number.to_bytes((number.bit_length() + 7) // 8, "big"))


def _base64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
