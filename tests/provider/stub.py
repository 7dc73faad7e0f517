"""A few hundred requests' worth of Vultr: an HTTPS proxy on loopback that answers as api.vultr.com from memory.

It records every request, and faults can be put in the way of any of them. It knows nothing about being strict or real: that
is the business of the local Vultr and its own tests.
"""

import ipaddress
import json
import re
import ssl
import threading
import time
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

KEY = "stub-key-never-to-be-seen"
CATALOG: dict[str, list[dict[str, Any]]] = {
    "os": [
        {"id": 2136, "name": "Debian 12 x64 (bookworm)", "arch": "x64", "family": "debian"},
        {"id": 2625, "name": "Debian 13 x64 (trixie)", "arch": "x64", "family": "debian"},
        {"id": 2284, "name": "Ubuntu 24.04 LTS x64", "arch": "x64", "family": "ubuntu"},
    ],
    "plans": [
        {
            **{"id": "vhf-1c-2gb", "vcpu_count": 1, "ram": 2048, "disk": 64, "disk_count": 1, "bandwidth": 2048, "monthly_cost": 12},
            **{"type": "vhf", "locations": ["ams", "fra"]},
        },
        {
            **{"id": "vc2-1c-1gb", "vcpu_count": 1, "ram": 1024, "disk": 25, "disk_count": 1, "bandwidth": 1024, "monthly_cost": 5.5},
            **{"type": "vc2", "locations": ["ams"]},
        },
    ],
    "regions": [
        {"id": "ams", "city": "Amsterdam", "country": "NL", "continent": "Europe", "options": ["kubernetes"], "connectivity": []},
        {"id": "fra", "city": "Frankfurt", "country": "DE", "continent": "Europe", "options": [], "connectivity": []},
    ],
    "clusters": [
        {"id": 6, "region": "ams", "name": "Amsterdam 1", "hostname": "ams1.vultrobjects.com", "deploy": "yes"},
        {"id": 2, "region": "ewr", "name": "New Jersey 1", "hostname": "ewr1.vultrobjects.com", "deploy": "yes"},
    ],
}
TIERS = [
    {"id": 3, "slug": "tier_010k_5000m", "price": 36, "ratelimit_ops_bytes": 5000, "ratelimit_ops_secs": 10000, "locations": []},
    {
        **{"id": 2, "slug": "tier_004k_2500m", "price": 18, "ratelimit_ops_bytes": 2500, "ratelimit_ops_secs": 4000},
        "locations": [{"id": 6, "region": "ams", "hostname": "ams1.vultrobjects.com", "name": "Amsterdam 1"}],
    },
]
COLLECTIONS = {
    "vpcs": ("vpc", "Invalid VPC ID", 201),
    "ssh-keys": ("ssh_key", "Invalid ssh key", 201),
    "firewalls": ("firewall_group", "Invalid firewall group", 201),
    "instances": ("instance", "instance not found", 202),
    "object-storage": ("object_storage", "Invalid object storage", 202),
    "load-balancers": ("load_balancer", "Invalid load balancer", 202),
    "reserved-ips": ("reserved_ip", "Invalid reserved-ip ID", 201),
    "blocks": ("block", "Invalid block storage ID", 202),
}


class Refused(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, error: str):
        super().__init__(error)
        self.status = status


class Vultr:
    """The proxy with its memory.

    `requests` has (method, path, body) of what arrived; `answers` and `times` go with it. `faults` is worked off in order.
    """

    def __init__(self, folder: Path):
        self.ca = folder / "ca.pem"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(self.ca))
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: list[Any] = []
        self.times: list[float] = []
        self.agents: set[str] = set()
        self.faults: list[dict[str, Any]] = []
        self.objects: dict[str, dict[str, dict[str, Any]]] = {name: {} for name in COLLECTIONS}
        self.pending_polls = 1
        self.page = 2
        self.lock = threading.Lock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"vultr": self, "context": context}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What steers a client here."""
        proxy = f"http://127.0.0.1:{self.server.server_port}"
        return {"HTTPS_PROXY": proxy, "SSL_CERT_FILE": str(self.ca), "VULTR_API_KEY": KEY}

    def close(self) -> None:
        """Stop serving."""
        self.server.shutdown()
        self.server.server_close()

    def fault(self, method: str, pattern: str, status: int, body: str = "", after: bool = False, times: int = 1, **headers: str) -> None:
        """Answer the next requests that match with `status` and `body`; `after`: once the request has had its effect."""
        self.faults.append(
            {"method": method, "pattern": pattern, "status": status, "body": body, "after": after, "times": times, "headers": headers}
        )

    def only(self, collection: str) -> dict[str, Any]:
        """The one object of a collection."""
        (found,) = self.objects[collection].values()
        return found

    def answer(self, method: str, path: str, query: str, body: Any) -> tuple[int, Any]:
        """Status and body for a request."""
        parts = path.removeprefix("/v2/").split("/")
        if parts[0] in CATALOG and len(parts) == 1:
            return 200, _page(parts[0], CATALOG[parts[0]], query, self.page)
        if parts == ["object-storage", "clusters"]:
            return 200, _page("clusters", CATALOG["clusters"], query, self.page)
        if parts == ["object-storage", "tiers"]:
            return 200, {"tiers": TIERS}
        if parts[0] not in COLLECTIONS:
            raise Refused(404, f"No such route: {path}")
        key, missing, created = COLLECTIONS[parts[0]]
        store = self.objects[parts[0]]
        if len(parts) == 1 and method == "POST":
            made = self._make(parts[0], body)
            store[made["id"]] = made
            return created, {key: _shown(made)}
        if len(parts) == 1:
            return 200, _page(key + "s", [_shown(item) for item in store.values()], query)
        if parts[1] not in store:
            raise Refused(404, missing)
        found = store[parts[1]]
        if len(parts) > 2:
            return self._part(parts[0], found, parts[2:], method, body)
        if method == "GET":
            shown = _shown(found)
            if "_polls" in found:
                if found["_polls"] <= 0:
                    found["status"], found["power_status"] = "active", "running"
                    shown = _shown(found)
                found["_polls"] -= 1
            return 200, {key: shown}
        if method in ("PATCH", "PUT"):
            self._change(parts[0], found, body)
            return (202, {key: _shown(found)}) if parts[0] in ("instances", "reserved-ips") else (204, None)
        if parts[0] == "vpcs" and any(parts[1] in server["_vpcs"] for server in self.objects["instances"].values()):
            raise Refused(400, "The following servers are attached to this VPC network: x")
        del store[parts[1]]
        return 204, None

    def _make(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        made = {"id": str(uuid.uuid4()), "date_created": "2026-11-23T09:19:27+00:00", **body}
        if collection == "vpcs":
            made |= {"v4_subnet": body["v4_subnet"] or "10.10.96.0", "v4_subnet_mask": body["v4_subnet_mask"] or 20}
        elif collection == "firewalls":
            made |= {"date_modified": made["date_created"], "_rules": {}}
        elif collection == "instances":
            made |= {"tags": body["tags"] or [], "status": "pending", "power_status": "stopped", "server_status": "none"}
            made |= {
                "main_ip": "203.0.113.7",
                "internal_ip": "10.1.0.3",
                "os": "Debian",
                "default_password": "pässword",
                "kvm": "https://x",
            }
            made |= {"ram": 2048, "disk": 64, "vcpu_count": 1, "allowed_bandwidth": 2048, "features": [], "_polls": self.pending_polls}
            made |= {"_vpcs": body.get("attach_vpc", []), "_schedule": {"enabled": False}}
            if body["backups"] == "enabled":
                made["features"] = ["auto_backups"]
        elif collection == "object-storage":
            made |= {"status": "pending", "region": "ams", "location": "Amsterdam", "s3_hostname": "ams1.vultrobjects.com", "_buckets": []}
            made |= {"s3_access_key": "access", "s3_secret_key": "secret", "tier": {"OBJSTORETIERID": made.pop("tier_id")}}
            made["_polls"] = self.pending_polls
        elif collection == "load-balancers":
            made |= {
                "status": "pending",
                "ipv4": "198.51.100.7",
                "ipv6": "2001:db8::7",
                "has_ssl": False,
                "auto_ssl": {},
                "generic_info": {},
            }
            made |= {"_polls": self.pending_polls, "health_check": {}}
            self._change(collection, made, body)
        elif collection == "reserved-ips":
            made |= {"subnet": "198.51.100.9", "subnet_size": 32, "instance_id": body.get("instance_id", "")}
        elif collection == "blocks":
            made |= {"status": "pending", "cost": 4.5, "pending_charges": 0.1, "mount_id": "ams-1", "attached_to_instance": ""}
            made |= {"_polls": self.pending_polls}
        return made

    def _change(self, collection: str, found: dict[str, Any], body: dict[str, Any]) -> None:
        body = {name: value for name, value in body.items() if value is not None}
        if collection == "instances":
            gone = body.pop("detach_vpc", [])
            found["_vpcs"] = [vpc for vpc in [*found["_vpcs"], *body.pop("attach_vpc", [])] if vpc not in gone]
        if collection == "load-balancers":
            info = found["generic_info"]
            for name in ("balancing_algorithm", "ssl_redirect", "proxy_protocol", "vpc"):
                info[name] = body.pop(name, info.get(name))
            info["sticky_sessions"] = body.pop("sticky_session", info.get("sticky_sessions", {}))
            for name in ("forwarding_rules", "firewall_rules"):
                if name in body:
                    body[name] = [{"id": uuid.uuid4().hex[:16], **rule} for rule in body[name]]
        found |= body

    def _part(self, collection: str, found: dict[str, Any], parts: list[str], method: str, body: Any) -> tuple[int, Any]:
        if collection == "firewalls":
            rules = found["_rules"]
            if method == "POST":
                rules[str(len(rules) + 1)] = {"id": len(rules) + 1, "port": "", "notes": "", "source": "", "action": "accept", **body}
                return 201, {"firewall_rule": rules[str(len(rules))]}
            if parts[1] not in rules:
                raise Refused(404, "Firewall rule ID not found")
            return (200, {"firewall_rule": rules[parts[1]]}) if method == "GET" else (204, rules.pop(parts[1]) and None)
        if collection == "object-storage":
            if method == "POST":
                found["_buckets"].append({"name": body["name"], "date_created": "2026-11-23"})
            if method == "DELETE":
                found["_buckets"] = [bucket for bucket in found["_buckets"] if bucket["name"] != parts[1]]
            return (200, {"buckets": found["_buckets"]}) if method == "GET" else (204, None)
        if parts == ["backup-schedule"]:
            if method == "POST":
                found["_schedule"] = {"enabled": True, **body}
            return 200, {"backup_schedule": found["_schedule"]}
        if parts == ["vpcs"]:
            return 200, _page("vpcs", [{"id": vpc, "ip_address": "10.1.0.3", "mac_address": "5a:00"} for vpc in found["_vpcs"]], "")
        if parts == ["vpc2"]:
            return 200, {"vpcs": []}
        if parts == ["attach"]:
            found["instance_id" if collection == "reserved-ips" else "attached_to_instance"] = body["instance_id"]
            return 204, None
        if parts == ["detach"]:
            found["instance_id" if collection == "reserved-ips" else "attached_to_instance"] = ""
            return 204, None
        raise Refused(404, f"No such route: {collection}/{parts}")


def _shown(found: dict[str, Any]) -> dict[str, Any]:
    hidden = {"backups", "attach_vpc", "block_devices", "sshkey_id", "user_data", "activation_email"}
    return {name: value for name, value in found.items() if name[0] != "_" and name not in hidden}


def _page(key: str, items: list[dict[str, Any]], query: str, size: int = 100) -> dict[str, Any]:
    start = int(query.removeprefix("cursor=")) if query else 0
    following = str(start + size) if start + size < len(items) else ""
    return {key: items[start : start + size], "meta": {"total": len(items), "links": {"next": following, "prev": ""}}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    vultr: Vultr
    context: ssl.SSLContext

    def do_CONNECT(self) -> None:
        assert self.path == "api.vultr.com:443", self.path
        self.send_response(200)
        self.end_headers()
        self.wfile.flush()
        self.connection = self.context.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        self.close_connection = False

    def answer(self) -> None:
        vultr = self.vultr
        text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(text) if text else None
        path, _, query = self.path.partition("?")
        with vultr.lock:
            vultr.agents.add(self.headers["User-Agent"])
            fault = next(
                (f for f in vultr.faults if f["times"] > 0 and f["method"] == self.command and re.search(f["pattern"], path)), None
            )
            status, answer = 0, None
            if fault is None or fault["after"]:
                try:
                    if self.headers["Authorization"] != f"Bearer {KEY}":
                        raise Refused(401, "Invalid API token.")
                    status, answer = vultr.answer(self.command, path, query, body)
                except Refused as refused:
                    status, answer = refused.status, {"error": str(refused), "status": refused.status}
            sent = b"" if answer is None else json.dumps(answer, separators=(",", ":")).encode()
            vultr.requests.append((self.command, self.path, body))
            vultr.answers.append(answer)
            vultr.times.append(time.monotonic())
            headers: dict[str, str] = {}
            if fault is not None:
                fault["times"] -= 1
                status, sent, headers = fault["status"], fault["body"].encode(), fault["headers"]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the recorder is enough."""


def _certificate(ca: Path) -> Path:
    """A certificate for api.vultr.com that is its own authority, written to `ca`; the path of it with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "api.vultr.com")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("api.vultr.com"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    ).public_bytes(serialization.Encoding.PEM)
    ca.write_bytes(made)
    both = ca.with_name("server.pem")
    plain = serialization.NoEncryption()
    both.write_bytes(made + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    both.chmod(0o600)
    return both
