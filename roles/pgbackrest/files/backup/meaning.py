"""What pgBackRest's errors mean to a person."""

from __future__ import annotations

import re

# Signs and sentences; the first that fits. pgBackRest doubts the encryption of whatever it could not read, so the passphrase comes last.
MEANINGS = (
    ("certificate has expired", "the storage's certificate has expired; nothing is archived until it is renewed"),
    ("verify certificate|TLS error", "the storage's certificate is not accepted; look at its names, and at the repository's ca_file"),
    ("failed with 403|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch", "the storage refuses its keys"),
    ("NoSuchBucket|bucket does not exist", "there is no such bucket"),
    ("DbConnectError", "a PostgreSQL that has to be asked does not answer"),
    ("HostConnectError|unable to connect|timeout connecting|unable to get address", "the storage cannot be reached"),
    (
        "unable to load info file.*(CryptoError|FormatError)",
        "the passphrase does not open it; needed is that of secrets.yml when the backups were made",
    ),
)


def error_of(message: str) -> str:
    """pgBackRest's error on one line."""
    # Its warnings come first, of a peer that is down for instance; what ended it stands behind them.
    message = message[max(0, message.find("ERROR:")) :]
    # A wrong passphrase makes noise of a file, and pgBackRest quotes it.
    return re.sub(r"[^\x20-\x7e]+", "?", " ".join(message.split()))[:600]


def meaning(message: str) -> str:
    """pgBackRest's error with what it means before it."""
    said = error_of(message)
    found = next((words for signs, words in MEANINGS if re.search(signs, said)), "")
    return f"{found} (pgBackRest says: {said[:200]})" if found else said
