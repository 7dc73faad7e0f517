# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""X.509 for a small private CA: what a leaf should be, whether a given one is it, and how it is made (RFC 5280).

Used on the hosts (judging, requests) and on the controller (signing). Nothing here touches a file.
"""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
    USAGES = {"serverAuth": ExtendedKeyUsageOID.SERVER_AUTH, "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH}
except ImportError:
    HAS_CRYPTOGRAPHY = False
    USAGES = {}

# The shape of one leaf, for the argument_spec of every module that takes leaves.
LEAF_OPTIONS = {
    "name": {"type": "str", "required": True},
    "common_name": {"type": "str", "required": True},
    "subject_alt_names": {"type": "list", "elements": "str", "default": []},
    "usages": {"type": "list", "elements": "str", "choices": ["serverAuth", "clientAuth"], "required": True},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "certificate": {"type": "str", "default": ""},
    "private_key": {"type": "str", "default": "", "no_log": True},
}


class LeafError(Exception):
    """What is wrong, as a sentence for the person at the keyboard."""


@dataclass(frozen=True)
class Leaf:
    """What a certificate should say. `alternatives` are "DNS:name" or "IP:address"; `certificate` and `private_key` are given, or empty."""

    name: str
    common_name: str
    alternatives: tuple[str, ...]
    usages: tuple[str, ...]
    owner: str
    group: str
    certificate: str
    private_key: str

    @classmethod
    def of(cls, options: dict) -> Leaf:
        """From a module's options (LEAF_OPTIONS)."""
        return cls(
            name=options["name"],
            common_name=options["common_name"],
            alternatives=tuple(sorted(normal_name(it) for it in options["subject_alt_names"])),
            usages=tuple(sorted(options["usages"])),
            owner=options["owner"],
            group=options["group"],
            certificate=options["certificate"],
            private_key=options["private_key"],
        )

    @property
    def supplied(self) -> bool:
        """Whether the user brought this certificate, so that it is never ours to make."""
        return bool(self.certificate)


def normal_name(name: str) -> str:
    """One spelling for each alternative name: "DNS:" in lower case, addresses as `ipaddress` prints them."""
    kind, _, value = name.partition(":")
    if kind == "IP":
        try:
            return f"IP:{ipaddress.ip_address(value)}"
        except ValueError:
            raise LeafError(f"subject_alt_names has {name}, and {value} is no IP address; write IP:192.0.2.1.") from None
    if kind == "DNS" and value:
        return f"DNS:{value.lower()}"
    raise LeafError(f"subject_alt_names has {name}; write DNS:name or IP:address.")


def _general_name(name: str) -> x509.GeneralName:
    kind, _, value = name.partition(":")
    return x509.IPAddress(ipaddress.ip_address(value)) if kind == "IP" else x509.DNSName(value)


def moment(certificate: x509.Certificate, which: str) -> datetime.datetime:
    """`not_valid_before` or `not_valid_after` in UTC, with every version of the library (the `_utc` names came with 42)."""
    aware = getattr(certificate, f"not_valid_{which}_utc", None)
    return aware or getattr(certificate, f"not_valid_{which}").replace(tzinfo=datetime.UTC)


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0)


def load_bundle(pem: str) -> list[x509.Certificate]:
    """The certificates of a CA file, first the one that signs."""
    try:
        return x509.load_pem_x509_certificates(pem.encode()) if pem.strip() else []
    except ValueError as error:
        raise LeafError(f"The CA's certificate cannot be read: {error}.") from error


def issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether the signature verifies, not merely the name."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # the library raises ValueError, TypeError or InvalidSignature: each is a no
        return False
    return True


def same_key(one: object, other: object) -> bool:
    """Compare two public keys."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return one.public_bytes(*form) == other.public_bytes(*form)


def common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def alternatives(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    return tuple(sorted(f"IP:{it.value}" if isinstance(it, x509.IPAddress) else f"DNS:{it.value}" for it in names))


def usages(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        found = set(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ()
    return tuple(sorted(name for name, oid in USAGES.items() if oid in found))


def why_due(
    leaf: Leaf,
    certificate: x509.Certificate,
    key: object,
    authorities: list[x509.Certificate],
    at: datetime.datetime,
    renew_before_days: int,
) -> str:
    """Why this leaf has to be made anew at the time `at`; empty when it has not."""
    end = moment(certificate, "after")
    if key is None or not same_key(key.public_key(), certificate.public_key()):
        return "its key is not the certificate's"
    if not issued_by(certificate, authorities[0]):
        return "another CA signed it"
    if common_name(certificate) != leaf.common_name:
        return f"its common name is {common_name(certificate)}"
    if alternatives(certificate) != leaf.alternatives:
        return f"its names are {', '.join(alternatives(certificate)) or 'none'}"
    if usages(certificate) != leaf.usages:
        return f"its usages are {', '.join(usages(certificate)) or 'none'}"
    # A leaf that ends with its CA cannot be made longer: that is the CA's renewal, and the expiry timer's business.
    if end - at < datetime.timedelta(days=renew_before_days) and end < moment(authorities[0], "after"):
        return f"it ends on {end:%Y-%m-%d}"
    return ""


def new_key() -> ec.EllipticCurvePrivateKey:
    """P-256: understood by every TLS library, and quick to sign with."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey, passphrase: str = "") -> bytes:
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)


def certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def name_of(common: str) -> x509.Name:
    """The subject; without a common name it is empty, and the alternative names alone say whose the certificate is (RFC 5280, 4.1.2.6)."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])


def request(leaf: Leaf, key: ec.EllipticCurvePrivateKey) -> str:
    """A request whose signature proves possession of the key; its names are for the reader, the signer uses its own."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name_of(leaf.common_name))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
        .decode()
    )


def _key_usage(**on: bool) -> x509.KeyUsage:
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only")
    off = dict.fromkeys((*others, "digital_signature", "key_cert_sign", "crl_sign"), False)
    return x509.KeyUsage(**(off | on))


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: object, end: datetime.datetime, at: datetime.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # An hour back: a node whose clock is a little behind must accept it at once.
        .not_valid_before(at - datetime.timedelta(hours=1))
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def self_signed(common: str, key: ec.EllipticCurvePrivateKey, days: int, at: datetime.datetime) -> x509.Certificate:
    """A CA that may sign leaves and no further CA."""
    name = name_of(common)
    return (
        _builder(name, name, key.public_key(), at + datetime.timedelta(days=days), at)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _authority_identifier(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """As the CA names itself: one that was brought along may not use the usual hash."""
    try:
        own = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)


def sign(leaf: Leaf, csr_pem: str, authority: x509.Certificate, key: object, days: int, at: datetime.datetime) -> x509.Certificate:
    """Certify the request's public key for what `leaf` says. Nothing else of the request counts: a host cannot ask for another's name."""
    csr = x509.load_pem_x509_csr(csr_pem.encode())
    if not csr.is_signature_valid:
        raise LeafError(f"The request for {leaf.name} is not signed by its own key; run the play again.")
    end = min(at + datetime.timedelta(days=days), moment(authority, "after"))
    builder = (
        _builder(name_of(leaf.common_name), authority.subject, csr.public_key(), end, at)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([USAGES[it] for it in leaf.usages]), critical=False)
        .add_extension(_authority_identifier(authority), critical=False)
    )
    if leaf.alternatives:
        names = [_general_name(it) for it in leaf.alternatives]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not leaf.common_name)
    return builder.sign(key, hashes.SHA256())
