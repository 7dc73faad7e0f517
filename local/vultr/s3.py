"""A very small S3 client: the four bucket calls that the API needs, signed with AWS signature version 4.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html describes the signature.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import socket
import ssl
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

REGION = "us-east-1"
EMPTY = hashlib.sha256(b"").hexdigest()


class S3Error(Exception):
    """The S3 server refused; `code` is S3's word for why."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{code or status}: {message}")
        self.status = status
        self.code = code


@dataclass(frozen=True)
class S3:
    """One account on one S3 server, reached at `address` and known by `hostname` (path style, TLS checked against `ca`)."""

    hostname: str
    address: str
    ca: str
    access_key: str
    secret_key: str

    def create_bucket(self, name: str, *, object_lock: bool = False) -> None:
        """Make a bucket, which then belongs to this account."""
        self._call("PUT", f"/{name}", headers={"x-amz-bucket-object-lock-enabled": "true"} if object_lock else {})

    def enable_versioning(self, name: str) -> None:
        """Keep former versions of objects from now on."""
        body = (
            b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>'
        )
        self._call("PUT", f"/{name}", query="versioning=", body=body)

    def list_buckets(self) -> list[tuple[str, str]]:
        """Name and creation time of this account's buckets."""
        root = ET.fromstring(self._call("GET", "/"))
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        return [
            (bucket.findtext(f"{space}Name", ""), bucket.findtext(f"{space}CreationDate", "")) for bucket in root.iter(f"{space}Bucket")
        ]

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Store an object."""
        self._call("PUT", f"/{bucket}/{quote(key)}", body=data)

    def get(self, bucket: str, key: str) -> bytes:
        """Read an object."""
        return self._call("GET", f"/{bucket}/{quote(key)}")

    def _call(self, method: str, path: str, query: str = "", body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
        digest = hashlib.sha256(body).hexdigest() if body else EMPTY
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        signed = {"host": self.hostname, "x-amz-content-sha256": digest, "x-amz-date": stamp, **(headers or {})}
        signed["authorization"] = self._signature(method, path, query, signed, digest, stamp)
        connection = _Connection(self.address, self.hostname, self.ca)
        try:
            connection.request(method, f"{path}?{query}" if query else path, body=body or None, headers=signed)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise _error(response.status, data)
        return data

    def _signature(self, method: str, path: str, query: str, headers: dict[str, str], digest: str, stamp: str) -> str:
        names = ";".join(sorted(headers))
        canonical = "\n".join([method, path, query, *(f"{name}:{headers[name]}" for name in sorted(headers)), "", names, digest])
        scope = f"{stamp[:8]}/{REGION}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        key = f"AWS4{self.secret_key}".encode()
        for part in scope.split("/"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.new(key, text.encode(), "sha256").hexdigest()
        return f"AWS4-HMAC-SHA256 Credential={self.access_key}/{scope}, SignedHeaders={names}, Signature={signature}"


class _Connection(http.client.HTTPSConnection):
    """Connects to an address, and asks for the certificate of a name."""

    def __init__(self, address: str, hostname: str, ca: str) -> None:
        super().__init__(hostname, 443, timeout=20)
        self._address = address
        self._tls = ssl.create_default_context(cadata=ca)

    def connect(self) -> None:
        raw = socket.create_connection((self._address, 443), timeout=20)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


def _error(status: int, data: bytes) -> S3Error:
    try:
        root = ET.fromstring(data)
    except ET.ParseError:
        return S3Error(status, "", data.decode(errors="replace")[:200])
    return S3Error(status, root.findtext("Code", ""), root.findtext("Message", ""))
