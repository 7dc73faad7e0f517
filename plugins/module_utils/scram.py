"""SCRAM-SHA-256 verifiers as PostgreSQL stores them (RFC 5802, RFC 7677), so that no password in clear ever reaches the server."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import stringprep
import unicodedata

# PostgreSQL's own defaults: src/include/common/scram-common.h.
ITERATIONS = 4096
SALT_BYTES = 16
VERIFIER = re.compile(r"SCRAM-SHA-256\$(\d+):([A-Za-z0-9+/=]+)\$([A-Za-z0-9+/=]+):([A-Za-z0-9+/=]+)")

PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def saslprep(password: str) -> str:
    """Normalise as libpq and the server do (RFC 4013); what the RFC forbids is used as it is, as they do too."""
    if password.isascii():
        return password
    mapped = "".join(" " if stringprep.in_table_c12(it) else it for it in password if not stringprep.in_table_b1(it))
    if not mapped or any(forbidden(it) for it in mapped for forbidden in PROHIBITED):
        return password
    if any(stringprep.in_table_d1(it) for it in mapped):
        right_to_left_throughout = stringprep.in_table_d1(mapped[0]) and stringprep.in_table_d1(mapped[-1])
        if not right_to_left_throughout or any(stringprep.in_table_d2(it) for it in mapped):
            return password
    return unicodedata.normalize("NFKC", mapped)


def make_verifier(password: str, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """The text for pg_authid.rolpassword; a new random salt unless one is given."""
    salt = os.urandom(SALT_BYTES) if salt is None else salt
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password).encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encode = [base64.b64encode(it).decode() for it in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${iterations}:{encode[0]}${encode[1]}:{encode[2]}"


def is_verifier(text: str) -> bool:
    """Whether the text is a ready verifier and not a password."""
    return VERIFIER.fullmatch(text) is not None


def matches(password: str, stored: str | None) -> bool:
    """Whether the password (or ready verifier) is the one that the stored verifier was made from."""
    found = VERIFIER.fullmatch(stored or "")
    if stored is None or found is None:
        return False
    if is_verifier(password):
        return hmac.compare_digest(password, stored)
    try:
        salt = base64.b64decode(found[2], validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(make_verifier(password, salt, int(found[1])), stored)
