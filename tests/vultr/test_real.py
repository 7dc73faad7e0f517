"""The local Vultr as it is used: its own process, mitmproxy in front, real containers behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from local.vultr import s3
from local.vultr.engine import LABEL, remove_all
from local.vultr.s3 import S3

from .conftest import until

pytestmark = pytest.mark.docker
CHECKOUT = Path(__file__).resolve().parents[2]
CLUSTER = "local-vultrtest"
# Of the range kept for benchmarks: out of the way of any cluster that this machine may have.
PUBLIC = "198.19.77.0/24"
PLAN = {"region": "ams", "plan": "vhp-1c-2gb-amd", "os_id": 2625}


class Process:
    """One `python -m local.vultr serve`, and a client of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / "state"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        clean = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
        own = {"CLUSTER": CLUSTER, "ELEPHANT_VULTR_STATE": str(self.state), "ELEPHANT_VULTR_PORT": str(self.port)}
        self.environment = {**clean, **own, "ELEPHANT_PUBLIC_NETWORK": PUBLIC}
        self.log = folder / "log"

    def start(self) -> None:
        """Start it and wait until it is healthy."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "local.vultr", "serve"]
            self.process = subprocess.Popen(command, cwd=CHECKOUT, env=self.environment, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or self._listens(), 60)
        assert self.process.poll() is None, self.log.read_text()
        self.ca = self.state / "proxy/mitmproxy-ca-cert.pem"
        self.key = (self.state / "api_key").read_text().strip()
        context = ssl.create_default_context(cafile=self.ca)
        self.client = httpx.Client(
            proxy=f"http://127.0.0.1:{self.port}",
            verify=context,
            base_url="https://api.vultr.com",
            headers={"Authorization": f"Bearer {self.key}"},
            timeout=60,
            trust_env=False,
        )
        health = self.client.get("/_emu/health").json()
        assert health["healthy"], health["problems"]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        self.client.close()
        self.process.send_signal(how)
        self.process.wait(30)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self.client.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def settled(self, instance_id: str) -> dict[str, Any]:
        """The instance once SSH answers."""

        def look() -> dict[str, Any] | None:
            one = self.call("GET", f"/v2/instances/{instance_id}")["instance"]
            assert not one["status"].startswith("failed"), one["status"]
            return one if one["server_status"] == "ok" else None

        return until(look, 120)

    def ssh(self, address: str, *command: str, stdin: str = "") -> str:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "IdentitiesOnly=yes", "BatchMode=yes"]
        line = [
            "ssh",
            "-i",
            str(self.folder / "key"),
            *(part for option in options for part in ("-o", option)),
            f"root@{address}",
            *command,
        ]
        return subprocess.run(line, input=stdin, text=True, capture_output=True, check=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def vultr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    remove_all(CLUSTER)
    process = Process(tmp_path_factory.mktemp("vultr"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", process.folder / "key"], check=True)
    try:
        process.start()
        yield process
        process.stop()
    finally:
        remove_all(CLUSTER)


@pytest.fixture(scope="module")
def vpc(vultr: Process) -> str:
    body = {"region": "ams", "description": "t", "v4_subnet": "10.254.77.0", "v4_subnet_mask": 24}
    return vultr.call("POST", "/v2/vpcs", body)["vpc"]["id"]


@pytest.fixture(scope="module")
def nodes(vultr: Process, vpc: str) -> list[dict[str, Any]]:
    """Two booted machines, in the order of their addresses."""
    public = (vultr.folder / "key.pub").read_text().strip()
    key = vultr.call("POST", "/v2/ssh-keys", {"name": "k", "ssh_key": public})["ssh_key"]["id"]
    made = []
    for name in ("one", "two"):
        tags = [f"cluster={CLUSTER}", "role=etcd"]
        body = {**PLAN, "label": f"t-{name}", "hostname": name, "tags": tags, "attach_vpc": [vpc], "sshkey_id": [key]}
        made.append(vultr.call("POST", "/v2/instances", body)["instance"]["id"])
    return [vultr.settled(instance_id) for instance_id in made]


@pytest.fixture(scope="module")
def storage(vultr: Process) -> dict[str, Any]:
    return subscribe(vultr, "first")


def subscribe(vultr: Process, label: str) -> dict[str, Any]:
    made = vultr.call("POST", "/v2/object-storage", {"cluster_id": 2, "tier_id": 2, "label": label})["object_storage"]
    path = f"/v2/object-storage/{made['id']}"
    until(lambda: vultr.call("GET", path)["object_storage"]["status"] != "pending", 60)
    one = vultr.call("GET", path)["object_storage"]
    assert one["status"] == "active"
    return one


def account(vultr: Process, one: dict[str, Any]) -> S3:
    """The subscription's S3 client; the server's address is the one that the public network gives its name."""
    gateway = json.loads((vultr.state / "state.json").read_text())["gateways"][one["s3_hostname"]]
    return S3(one["s3_hostname"], gateway["address"], vultr.ca.read_text(), one["s3_access_key"], one["s3_secret_key"])


def container(instance: dict[str, Any]) -> docker.models.containers.Container:
    return docker.from_env().containers.list(all=True, filters={"label": [f"elephant.instance={instance['id']}", f"{LABEL}={CLUSTER}"]})[0]


def test_a_machine_is_reached_by_ssh_and_is_wired_as_on_vultr(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    assert [(one["main_ip"], one["internal_ip"]) for one in nodes] == [("198.19.77.10", "10.254.77.3"), ("198.19.77.11", "10.254.77.4")]
    for one, name in zip(nodes, ("one", "two"), strict=True):
        asked = [
            "hostname",
            "ip -brief -4 address show scope global",
            "ip route show default",
            "systemctl is-system-running --wait || true",
        ]
        said = vultr.ssh(one["main_ip"], "; ".join(asked))
        lines = said.splitlines()
        assert lines[0] == name
        assert lines[1].split()[0].startswith("eth0") and one["main_ip"] in lines[1]
        assert lines[2].split()[0].startswith("eth1") and one["internal_ip"] in lines[2]
        assert lines[3].startswith("default via 198.19.77.1 dev eth0")
        # The host image decides which units can work in a container; booted to the end is what counts here.
        assert lines[4] in ("running", "degraded")
    vultr.ssh(nodes[0]["main_ip"], "timeout", "5", "bash", "-c", "'</dev/tcp/10.254.77.4/22'")


def test_machines_share_no_host_key_and_are_not_privileged(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    client = docker.from_env()
    public = ["/bin/sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub; true"]
    image = client.containers.run("elephant-node:13", public, remove=True)
    keys = [vultr.ssh(one["main_ip"], "cut -d' ' -f2 /etc/ssh/ssh_host_*_key.pub").split() for one in nodes]
    assert len(keys[0]) == 3 and len({*keys[0], *keys[1]}) == 6
    assert not set(image.decode().split()) & {key for pair in keys for key in pair if not key.startswith("ssh-")}
    for one in nodes:
        made = container(one)
        assert made.labels[LABEL] == CLUSTER
        assert made.attrs["HostConfig"]["Privileged"] is False
        assert sorted(made.attrs["HostConfig"]["CapAdd"]) == ["NET_ADMIN", "SYS_ADMIN"]


def test_a_halt_is_a_power_cut_and_a_start_keeps_address_and_disk(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    one = nodes[1]
    vultr.ssh(one["main_ip"], "echo kept > /root/disk; echo lost > /run/memory; sync")
    vultr.call("POST", f"/v2/instances/{one['id']}/halt")
    assert vultr.call("GET", f"/v2/instances/{one['id']}")["instance"]["power_status"] == "stopped"
    assert container(one).status == "exited"
    vultr.call("POST", f"/v2/instances/{one['id']}/start")
    again = vultr.settled(one["id"])
    assert (again["main_ip"], again["internal_ip"]) == (one["main_ip"], one["internal_ip"])
    said = vultr.ssh(one["main_ip"], "cat /root/disk; ls /run/memory 2>&1; ip -brief -4 address show eth1").splitlines()
    assert said[0] == "kept" and "No such file" in said[1] and one["internal_ip"] in said[2]


def test_a_killed_api_process_loses_nothing(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    before = vultr.call("GET", "/v2/instances")["instances"]
    vultr.stop(signal.SIGKILL)
    vultr.start()
    assert vultr.call("GET", "/v2/instances")["instances"] == before


def test_a_container_that_dies_or_is_removed_shows_as_stopped_and_starts_again(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    one = nodes[1]
    path = f"/v2/instances/{one['id']}"
    container(one).kill()
    until(lambda: vultr.call("GET", path)["instance"]["power_status"] == "stopped", 60)
    container(one).remove(force=True)
    assert vultr.call("GET", "/_emu/health")["lost"] == ["t-two"]
    vultr.call("POST", f"{path}/start")
    assert vultr.settled(one["id"])["main_ip"] == one["main_ip"]
    assert vultr.ssh(one["main_ip"], "hostname; ls /root/disk 2>/dev/null; true") == "two"


def test_object_storage_from_a_machine_with_its_own_trust_store(
    vultr: Process, nodes: list[dict[str, Any]], storage: dict[str, Any]
) -> None:
    vultr.call("POST", f"/v2/object-storage/{storage['id']}/bucket", {"name": "backups", "enable_bucket_versioning": True})
    assert [row["name"] for row in vultr.call("GET", f"/v2/object-storage/{storage['id']}/bucket")["buckets"]] == ["backups"]
    keys = f"{storage['s3_access_key']!r}, {storage['s3_secret_key']!r}"
    script = f"""
trust = open("/etc/ssl/certs/ca-certificates.crt").read()
client = S3({storage["s3_hostname"]!r}, {storage["s3_hostname"]!r}, trust, {keys})
client.put("backups", "a/b c.txt", b"from the machine")
print(client.get("backups", "a/b c.txt").decode())
"""
    assert vultr.ssh(nodes[0]["main_ip"], "python3", "-", stdin=Path(s3.__file__).read_text() + script) == "from the machine"
    assert account(vultr, storage).get("backups", "a/b c.txt") == b"from the machine"


def test_subscriptions_on_one_host_do_not_see_each_other(vultr: Process, storage: dict[str, Any]) -> None:
    other = subscribe(vultr, "second")
    path = f"/v2/object-storage/{other['id']}"
    vultr.call("POST", f"{path}/bucket", {"name": "others"})
    vultr.call("POST", f"{path}/bucket", {"name": "locked", "enable_object_lock": True})
    assert {row["name"] for row in vultr.call("GET", f"{path}/bucket")["buckets"]} == {"others", "locked"}
    taken = vultr.client.post(f"{path}/bucket", json={"name": "backups"})
    assert taken.status_code == 400 and "backups" in taken.json()["error"]
    with pytest.raises(s3.S3Error, match="AccessDenied"):
        account(vultr, storage).get("others", "x")
    account(vultr, other).put("others", "x", b"1")
    vultr.call("DELETE", f"{path}/bucket/others")
    vultr.call("DELETE", path)
    with pytest.raises(s3.S3Error, match="InvalidAccessKeyId"):
        account(vultr, {**other, "s3_hostname": storage["s3_hostname"]}).list_buckets()
    assert account(vultr, storage).get("backups", "a/b c.txt") == b"from the machine"


def test_the_proxy_passes_nothing_on(vultr: Process) -> None:
    proxy = f"http://127.0.0.1:{vultr.port}"
    with httpx.Client(proxy=proxy, verify=False, trust_env=False) as client:
        with pytest.raises(httpx.ProxyError, match="403"):
            client.get("https://example.org/")
        assert "passes nothing on" in client.get("http://example.org/").text
        assert client.get("http://api.vultr.com/v2/regions").status_code == 403


def test_a_foreign_key_is_refused_and_not_kept(vultr: Process) -> None:
    secret = "REAL-KEY-OF-SOMEBODY-0123456789"
    answer = vultr.client.get("/v2/instances", headers={"Authorization": f"Bearer {secret}"})
    assert (answer.status_code, answer.text) == (401, '{"error":"Invalid API token.","status":401}')
    kept = b"".join(file.read_bytes() for file in [*vultr.state.rglob("*"), vultr.log] if file.is_file())
    assert secret.encode() not in kept


def test_a_taken_port_is_a_sentence(vultr: Process) -> None:
    again = subprocess.run(
        [sys.executable, "-m", "local.vultr", "serve"], cwd=CHECKOUT, env=vultr.environment, capture_output=True, text=True, timeout=60
    )
    assert again.returncode == 1 and again.stderr.startswith(f"Port {vultr.port} of 127.0.0.1 cannot be had")


def test_the_unmodified_inventory_plugin_finds_the_machines(vultr: Process, nodes: list[dict[str, Any]], tmp_path: Path) -> None:
    inventory = tmp_path / "vultr.yml"
    inventory.write_text(
        "plugin: vultr.cloud.vultr\n"
        "api_key: \"{{ lookup('env', 'VULTR_API_KEY') }}\"\n"
        "api_results_per_page: 1\n"
        "keyed_groups:\n"
        "  - key: vultr_tags | map('regex_replace', '[^A-Za-z0-9]', '_')\n"
        "    prefix: tag\n"
        "compose: {ansible_host: vultr_main_ip, cluster_address: vultr_internal_ip}\n"
    )
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{vultr.port}", "SSL_CERT_FILE": str(vultr.ca), "VULTR_API_KEY": vultr.key}
    environment = {**vultr.environment, **proxy, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true", "ANSIBLE_LOCALHOST_WARNING": "false"}

    def listed(**more: str) -> subprocess.CompletedProcess[str]:
        command = [ansible_inventory(), "-i", inventory, "--list"]
        return subprocess.run(command, cwd=tmp_path, env={**environment, **more}, capture_output=True, text=True, timeout=120)

    answer = listed()
    assert answer.returncode == 0, answer.stderr
    found = plain(json.loads(answer.stdout))
    assert sorted(found["tag_role_etcd"]["hosts"]) == ["t-one", "t-two"]
    for one in nodes:
        variables = found["_meta"]["hostvars"][one["label"]]
        assert (variables["ansible_host"], variables["cluster_address"]) == (one["main_ip"], one["internal_ip"])
    assert listed(VULTR_API_KEY="REAL-KEY-OF-SOMEBODY").returncode != 0


def test_the_inventory_lists_one_of_the_clusters_of_an_account(vultr: Process, nodes: list[dict[str, Any]]) -> None:
    proxy = {"HTTPS_PROXY": f"http://127.0.0.1:{vultr.port}", "SSL_CERT_FILE": str(vultr.ca), "VULTR_API_KEY": vultr.key}

    def members(cluster: str) -> list[str]:
        command = [ansible_inventory(), "-i", "inventories/vultr.yml", "--list"]
        environment = {**vultr.environment, **proxy, "CLUSTER": cluster}
        answer = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=120, check=True)
        return plain(json.loads(answer.stdout)).get("etcd", {"hosts": []})["hosts"]

    def tagged(node: dict[str, Any], cluster: str) -> None:
        vultr.call("PATCH", f"/v2/instances/{node['id']}", {"tags": [f"cluster={cluster}", "role=etcd"]})

    assert sorted(members(CLUSTER)) == ["t-one", "t-two"]
    # A name that begins like another is not that other.
    tagged(nodes[1], f"{CLUSTER}-2")
    try:
        assert (members(CLUSTER), members(f"{CLUSTER}-2"), members("elephant")) == (["t-one"], ["t-two"], [])
    finally:
        tagged(nodes[1], CLUSTER)


def ansible_inventory() -> str:
    """The program, from the cache's venv or from PATH."""
    cache = os.environ.get("ELEPHANT_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'}/elephant"
    places = [Path(cache) / "venv" / venv / "bin/ansible-inventory" for venv in ("ansible", "dev")]
    return next((str(place) for place in places if place.exists()), "ansible-inventory")


def plain(value: Any) -> Any:
    """Ansible's JSON without its marks of unsafe text."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def test_a_deleted_machine_and_network_are_gone(vultr: Process, vpc: str, nodes: list[dict[str, Any]]) -> None:
    for one in nodes:
        vultr.call("PATCH", f"/v2/instances/{one['id']}", {"tags": None, "detach_vpc": [vpc], "ddos_protection": None})
        vultr.call("DELETE", f"/v2/instances/{one['id']}")
    vultr.call("DELETE", f"/v2/vpcs/{vpc}")
    client = docker.from_env()
    assert client.containers.list(all=True, filters={"label": [f"{LABEL}={CLUSTER}", "elephant.kind=instance"]}) == []
    assert client.networks.list(names=[f"elephant-{CLUSTER}-vpc-{vpc[:8]}"]) == []


def test_remove_all_takes_what_is_ours_and_nothing_else(vultr: Process, storage: dict[str, Any]) -> None:
    client = docker.from_env()
    bystander = client.volumes.create(labels={LABEL: f"{CLUSTER}-other"})
    try:
        removed = remove_all(CLUSTER)
        assert {line.split()[0] for line in removed} == {"container", "network", "volume"}
        assert remove_all(CLUSTER) == []
        assert bystander.id in {volume.id for volume in client.volumes.list()}
    finally:
        bystander.remove()
