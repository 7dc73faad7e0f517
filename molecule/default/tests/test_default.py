"""The cluster that ha.yml built, judged by patronictl, etcdctl and psql."""

import json
import shlex
import subprocess
import sys

from cluster import until

CA = "/etc/elephant/certificates/ca.crt"


def variables(host):
    return host.ansible.get_variables()


def is_database(host):
    return host.backend.get_hostname().startswith("postgresql")


def sql(host, query):
    """The answer of the local server, asked through its socket as postgres."""
    return host.check_output("su postgres -c %s", f'psql -Atc "{query}"')


def test_patroni_sees_one_leader_and_a_synchronous_standby(host):
    if not is_database(host):
        return
    members = json.loads(host.check_output("patronictl list --format json"))
    assert sorted(member["Role"] for member in members) == ["Leader", "Sync Standby"], members
    assert {member["State"] for member in members} == {"running", "streaming"}, members


def test_every_etcd_member_is_healthy(host):
    if is_database(host):
        return
    leaf = "/etc/elephant/certificates/etcd-root"
    address = variables(host)["cluster_address"]
    identity = f"--cacert={CA} --cert={leaf}.crt --key={leaf}.key"
    answer = host.check_output(f"etcdctl --endpoints=https://{address}:2379 {identity} --write-out=json endpoint health --cluster")
    assert [member["health"] for member in json.loads(answer)] == [True, True, True]


def test_no_connection_between_members_is_unencrypted(host):
    if not is_database(host) or sql(host, "select pg_is_in_recovery()") == "t":
        return
    streams = sql(host, "select r.sync_state, s.ssl, s.version, s.client_dn from pg_stat_replication r join pg_stat_ssl s using (pid)")
    assert streams.split("|")[:3] == ["sync", "t", "TLSv1.3"], streams
    assert "replicator" in streams


def test_nothing_listens_on_every_address_but_ssh(host):
    # By address: 127.0.0.11 is Docker's resolver, 22 is SSH.
    listening = {row.split()[3] for row in host.check_output("ss -Hltn").splitlines()}
    open_to_all = {it for it in listening if it.startswith(("0.0.0.0:", "[::]:", "*:")) and not it.endswith(":22")}
    assert not open_to_all


def test_no_trust_line_lets_anybody_in(host):
    if not is_database(host):
        return
    methods = sql(host, "select distinct auth_method from pg_hba_file_rules").split()
    assert set(methods) <= {"peer", "cert", "scram-sha-256", "reject"}, methods


def test_every_host_is_watched_and_well(host):
    def look():
        told = json.loads(host.run("elephant-health --json").stdout)
        # The machine that runs the test may be fuller than a host should be.
        return told if not [it for it in told["problems"] if it["condition"] != "disk"] else None

    told = until("nothing is wrong but the disk", look, 60)
    assert ("patroni" in told, "etcd" in told) == (is_database(host), not is_database(host))
    assert host.service("elephant-health.timer").is_running


# What comes in is answered, by a server or by a refusal; what a firewall drops is silent, and five seconds of silence are an answer.
TRY = """
import concurrent.futures, json, socket, sys
def arrives(target):
    try:
        socket.create_connection((target[0], target[1]), 5, (sys.argv[1], 0)).close()
    except ConnectionRefusedError:
        pass
    except OSError:
        return None
    return target
targets = json.loads(sys.argv[2])
with concurrent.futures.ThreadPoolExecutor(len(targets)) as pool:
    print(json.dumps([target for target in pool.map(arrives, targets) if target]))
"""
PORTS = (2379, 2380, 5432, 8008, 8432)
STRANGER = "198.51.100.7"
# Every host of the VPC is a client, unless cluster_client_cidrs says otherwise; the controller has an address there too.
REACHED = {
    ("etcd-1", "etcd-2"): {2379, 2380},
    ("postgresql-1", "etcd-2"): {2379},
    ("controller", "etcd-2"): set(),
    ("stranger", "etcd-2"): set(),
    ("etcd-1", "postgresql-2"): {5432},
    ("postgresql-1", "postgresql-2"): {5432, 8008, 8432},
    ("controller", "postgresql-2"): {5432},
    ("stranger", "postgresql-2"): set(),
}


def test_each_port_is_reached_by_whom_it_is_for_and_nobody_else(hosts):
    targets = {hosts.addresses[name]: name for name in ("etcd-2", "postgresql-2")}
    asked = json.dumps([(address, port) for address in targets for port in PORTS])
    sources = {name: (name, hosts.addresses[name]) for name in ("etcd-1", "postgresql-1")} | {"stranger": ("etcd-1", STRANGER)}
    said = {}
    try:
        # From outside the VPC, but with a way back: otherwise its silence would say nothing.
        hosts.sh("etcd-1", f"ip address add {STRANGER}/32 dev eth0")
        for name in targets.values():
            hosts.sh(name, f"ip route replace {STRANGER}/32 dev eth0")
        for source, (name, address) in sources.items():
            said[source] = hosts.sh(name, f"python3 -c {shlex.quote(TRY)} {address} {shlex.quote(asked)}")
        words = [sys.executable, "-c", TRY, "", asked]
        said["controller"] = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    finally:
        hosts.sh("etcd-1", f"ip address del {STRANGER}/32 dev eth0", ok=False)
        for name in targets.values():
            hosts.sh(name, f"ip route del {STRANGER}/32 dev eth0", ok=False)
    came = {source: json.loads(answer) for source, answer in said.items()}
    found = {
        (source, name): {port for target, port in came[source] if target == address} for source in came for address, name in targets.items()
    }
    assert found == REACHED
