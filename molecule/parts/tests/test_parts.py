"""playbooks/<part>/configure.yml on fresh hosts: checked, run, judged by the part's own tools, run again."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import testinfra
import yaml

SCENARIO = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"])
HOSTS = yaml.safe_load((SCENARIO / "inventory/hosts.yml").read_text())["all"]["hosts"]

# Part: its groups, and what its user has set.
PARTS = {
    "node": ({"etcd": ["node-1"]}, {}),
    "firewall": (
        {"postgresql": ["firewall-1"]},
        {"cluster_admin_cidrs": ["10.89.60.1"], "cluster_client_cidrs": ["10.89.60.11"]},
    ),
    "certificates": ({"etcd": ["certificates-1"], "postgresql": ["certificates-2"]}, {}),
    "postgresql": ({"postgresql": ["postgresql-1"]}, {"postgresql_parameters": {"work_mem": "12MB"}}),
    "databases": (
        {"etcd": ["databases-1"], "postgresql": ["databases-2"]},
        {
            "etcd_single_member": True,
            "patroni_single_member": True,
            "pgbackrest_enabled": False,
            "cluster_users": [{"name": "shop", "password": "given-1"}],
            "cluster_databases": [{"name": "shop", "owner": "shop"}],
        },
    ),
}


def node(name):
    return testinfra.get_host(f"docker://elephant-parts-{name}")


def play(part, folder, *options):
    """The part's playbook with an inventory and a folder of its own."""
    groups, settings = PARTS[part]
    children = {group: {"hosts": {name: HOSTS[name] for name in names}} for group, names in groups.items()}
    inventory = folder / "hosts.yml"
    inventory.write_text(
        yaml.safe_dump({"all": {"vars": {"ansible_connection": "community.docker.docker"} | settings, "children": children}})
    )
    return subprocess.run(
        ["ansible-playbook", "--inventory", inventory, *options, f"playbooks/{part}/configure.yml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=os.environ["MOLECULE_PROJECT_DIRECTORY"],
        env=os.environ | {"ELEPHANT_HOME": str(folder / "home"), "CLUSTER": part, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """`done(part)`: the folder of the part, whose playbook has been checked, run, and run again."""
    folders = {}

    def run(part):
        if part in folders:
            return folders[part]
        folder = folders[part] = tmp_path_factory.mktemp(part)
        checked = play(part, folder, "--check", "--diff")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        assert not (folder / "home").exists(), "a check must leave nothing behind"
        first = play(part, folder)
        assert first.returncode == 0, first.stdout + first.stderr
        again = play(part, folder)
        assert again.returncode == 0, again.stdout + again.stderr
        assert set(re.findall(r"changed=(\d+)", again.stdout)) == {"0"}, again.stdout
        return folder

    return run


def test_node(done):
    done("node")
    assert "permitrootlogin without-password" in node("node-1").check_output("sshd -T")
    assert node("node-1").service("chrony").is_enabled


def reaches(source, port):
    return node(source).run(f"timeout 3 bash -c '</dev/tcp/10.89.60.12/{port}'").rc == 0


def test_firewall(done):
    host = node("firewall-1")
    for port in (5432, 9000):
        host.check_output(f"systemd-run --quiet --collect --unit listen-{port} python3 -m http.server {port}")
        host.check_output(f"timeout 60 sh -c 'until ss -Hltn sport = :{port} | grep -q LISTEN; do :; done'")
    assert reaches("certificates-1", 9000), "before the firewall it must be reached"
    done("firewall")
    # Of the two neighbours one is a client.
    assert reaches("node-1", 5432) and not reaches("certificates-1", 5432)
    assert not reaches("node-1", 9000) and not reaches("node-1", 22)
    assert "ip saddr 10.89.60.1 tcp dport 22 accept" in host.check_output("nft list table inet elephant")


def test_certificates(done):
    folder = done("certificates")
    for name, leaf in (("certificates-1", "etcd"), ("certificates-2", "postgresql")):
        verify = f"openssl verify -x509_strict -purpose sslserver -verify_ip {HOSTS[name]['cluster_address']}"
        tls = "/etc/elephant/certificates"
        assert node(name).run(f"{verify} -CAfile {tls}/ca.crt {tls}/{leaf}.crt").rc == 0
        assert node(name).check_output(f"cat {tls}/ca.crt").strip() == (folder / "home/certificates/ca/ca.crt").read_text().strip()
    # Their owners came with packages that start nothing.
    assert node("certificates-1").run("pgrep -x etcd").rc == 1
    assert node("certificates-2").run("pgrep -x postgres").rc == 1


def test_postgresql(done):
    done("postgresql")
    host = node("postgresql-1")
    said = "runuser -u postgres -- /usr/lib/postgresql/17/bin/postgres -C work_mem -c config_file=/etc/elephant/postgresql.conf -D /tmp"
    assert host.check_output(f"cd /tmp && {said} 2>/dev/null") in ("12MB", "12288")
    assert host.check_output("pg_lsclusters --no-header") == "" and host.run("pgrep -x postgres").rc == 1


def test_databases(done):
    folder = done("databases")
    host = node("databases-2")
    assert "Leader" in host.check_output("patronictl list")
    secrets = yaml.safe_load((folder / "home/databases/secrets.yml").read_text())
    tls = "host=10.89.60.17 sslmode=verify-full sslrootcert=/etc/elephant/certificates/ca.crt target_session_attrs=read-write"
    # A password that was generated, and one that was given.
    for user, password in (("app", secrets["database_app_password"]), ("shop", "given-1")):
        assert host.check_output(f"PGPASSWORD={password} psql -XAtc 'SELECT current_user' '{tls} dbname={user} user={user}'") == user
        assert host.run(f"PGPASSWORD=made-by-the-first-run psql -XAtc 'SELECT 1' '{tls} dbname={user} user={user}'").rc != 0
