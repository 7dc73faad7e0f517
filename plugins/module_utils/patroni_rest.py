# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Speaks with Patroni's REST API, and with etcd's JSON gateway, over mutual TLS. Standard library only: it runs on the hosts."""

from __future__ import annotations

import base64
import json
import ssl
import urllib.error
import urllib.request
from typing import Any

# The options by which a module speaks with a member and with etcd; documented by the fragment elephant.ha.patroni in its parts.
FILE_OPTIONS: dict[str, dict[str, Any]] = {
    "ca_file": {"type": "path", "required": True},
    "certificate_file": {"type": "path", "required": True},
    "key_file": {"type": "path", "required": True, "no_log": False},
}
REST_OPTIONS: dict[str, dict[str, Any]] = {"url": {"type": "str", "required": True}, **FILE_OPTIONS}
ETCD_OPTIONS: dict[str, dict[str, Any]] = {
    "etcd_urls": {"type": "list", "elements": "str", "required": True},
    "etcd_username": {"type": "str", "default": "patroni"},
    "etcd_password": {"type": "str", "required": True, "no_log": True},
}

# Roles that a member of /cluster may have.
LEADERS = ("leader", "standby_leader")
SYNCHRONOUS = ("sync_standby", "quorum_standby")


class Unreachable(Exception):
    """Nothing that speaks the protocol answered."""


class Https:
    """One HTTPS server, verified by our own CA; we show our own certificate."""

    def __init__(self, base: str, ca: str, certificate: str, key: str, timeout: float = 5) -> None:
        """`base` is `https://host:port`; raises Unreachable when the files cannot be read."""
        self.base = base
        self.timeout = timeout
        try:
            context = ssl.create_default_context(cafile=ca)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(f"the certificates cannot be used ({certificate}, {key}, {ca}): {error}") from error
        # A proxy of the environment must not stand between a host and its own members.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The status and the parsed body (text where it is not JSON); raises Unreachable."""
        request = urllib.request.Request(self.base + path, method=method, data=None if body is None else json.dumps(body).encode())
        try:
            with self.opener.open(request, timeout=self.timeout) as answer:
                status, text = answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        except (OSError, ValueError) as error:
            raise Unreachable(f"{method} {self.base}{path}: {error}") from error
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def ask(self, path: str) -> dict[str, Any]:
        """The document at `path`, whatever its status; empty while nothing answers."""
        try:
            _, answer = self.call("GET", path)
        except Unreachable:
            return {}
        return answer if isinstance(answer, dict) else {}


def members_own_words(cluster: dict[str, Any], ca: str, certificate: str, key: str) -> dict[str, dict[str, Any]]:
    """What each member of `cluster` (GET /cluster) says of itself (GET /patroni); empty for one that does not answer."""
    places = {it["name"]: it["api_url"].rsplit("/", 1)[0] for it in cluster.get("members", []) if it.get("api_url")}
    return {name: Https(base, ca, certificate, key).ask("/patroni") for name, base in places.items()}


def etcd_read(servers: list[Https], username: str, password: str, prefix: str) -> tuple[str, dict[str, str]]:
    """etcd's version and every key under `prefix` with its value, from the first server that answers; raises Unreachable."""
    last = Unreachable("no etcd member was given")
    for server in servers:
        try:
            _, version = server.call("GET", "/version")
            status, answer = server.call("POST", "/v3/auth/authenticate", {"name": username, "password": password})
            if status != 200:
                raise Unreachable(f"{server.base} does not let the user {username} in: {answer}")
            request = urllib.request.Request(
                server.base + "/v3/kv/range",
                method="POST",
                headers={"Authorization": answer["token"]},
                data=json.dumps({"key": _b64(prefix), "range_end": _b64(_after(prefix))}).encode(),
            )
            with server.opener.open(request, timeout=server.timeout) as response:
                found = json.loads(response.read())
            return version["etcdserver"], {_plain(kv["key"]): _plain(kv.get("value", "")) for kv in found.get("kvs", [])}
        except Unreachable as error:
            last = error
        except (OSError, ValueError, KeyError, TypeError) as error:
            last = Unreachable(f"{server.base}: {error}")
    raise last


def etcd_replace(servers: list[Https], username: str, password: str, prefix: str, values: dict[str, str]) -> None:
    """Make `values` (names without the prefix) all that is under `prefix`, in one transaction; raises Unreachable."""
    # A key that is put must be in no range that is removed in the same transaction (etcd refuses that), so the ranges lie around the keys.
    keys = sorted(prefix + name for name in values)
    begins = [prefix, *(key + "\0" for key in keys)]
    ranges = [{"key": _b64(begin), "range_end": _b64(end)} for begin, end in zip(begins, [*keys, _after(prefix)], strict=True)]
    operations: list[dict[str, Any]] = [{"request_delete_range": it} for it in ranges]
    operations += [{"request_put": {"key": _b64(prefix + name), "value": _b64(value)}} for name, value in values.items()]
    last = Unreachable("no etcd member was given")
    for server in servers:
        try:
            status, answer = server.call("POST", "/v3/auth/authenticate", {"name": username, "password": password})
            if status != 200:
                raise Unreachable(f"{server.base} does not let the user {username} in: {answer}")
            request = urllib.request.Request(
                server.base + "/v3/kv/txn",
                method="POST",
                headers={"Authorization": answer["token"]},
                data=json.dumps({"success": operations}).encode(),
            )
            with server.opener.open(request, timeout=server.timeout) as response:
                response.read()
            return
        except Unreachable as error:
            last = error
        except urllib.error.HTTPError as error:
            last = Unreachable(f"{server.base}: {error.read().decode(errors='replace')}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            last = Unreachable(f"{server.base}: {error}")
    raise last


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _plain(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")


def _after(prefix: str) -> str:
    """The end of etcd's half-open range that holds exactly the keys with this prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
