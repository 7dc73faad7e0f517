"""What happens to a cluster after its first day. In this order: each test leaves a whole cluster to the next."""

import itertools
import json
import os
import subprocess
from pathlib import Path

MEMBERS = ("10.89.16.11", "10.89.16.12", "10.89.16.13")
DATA = "/var/lib/etcd/data"
KEY = "/etc/elephant/certificates/etcd.key"
CLIENT = """set -e; cd /root; umask 077
printf 'subjectAltName=DNS:db-1\\nextendedKeyUsage=clientAuth\\n' > client.ext
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj / -keyout client.key -out client.csr
openssl x509 -req -in client.csr -CA /root/ca.crt -CAkey /root/ca.key -days 2 -extfile client.ext -out client.crt
"""


def flat(output):
    """A sentence as it was written, not as it was folded."""
    return " ".join(output.split())


def user(name="patroni", password="a-password", prefix="/service/molecule/"):
    return json.dumps({"etcd_users": [{"name": name, "password": password, "prefix": prefix}]})


def knows(cluster, account):
    """Whether etcd lets the account in, asked with a certificate that has no rights of its own."""
    key = "/etc/elephant/certificates/etcd"
    said = cluster.sh(
        "etcd-1",
        f"set -a; . /etc/elephant/etcdctl.env; ETCDCTL_CERT={key}.crt ETCDCTL_KEY={key}.key ETCDCTL_USER={account}"
        " etcdctl --command-timeout=30s --dial-timeout=20s get /service/molecule/ --prefix 2>&1",
        ok=False,
    )
    return "Error" not in said


def test_a_rerun_touches_neither_users_nor_processes(cluster, converge):
    before = (cluster.etcdctl("auth status")["authRevision"], cluster.started())
    again = converge()
    assert (again.status, again.changed) == (0, set()), again.output
    assert (cluster.etcdctl("auth status")["authRevision"], cluster.started()) == before


def test_a_stopped_member_is_started_and_nothing_else(cluster, converge):
    cluster.sh("etcd-2", "systemctl stop etcd")
    others = {name: at for name, at in cluster.started().items() if name != "etcd-2"}
    again = converge()
    assert (again.status, again.changed) == (0, {("etcd-2", "A member that has its data runs")}), again.output
    assert {name: at for name, at in cluster.started().items() if name != "etcd-2"} == others
    cluster.wait_healthy()


def test_edited_files_and_loosened_modes_are_put_right(cluster, converge):
    """On each host another drift, and exactly that is repaired; only what etcd reads at its start makes it restart."""
    before = cluster.started()
    cluster.sh("etcd-1", "echo >> /usr/local/sbin/etcd-snapshot; systemctl disable --now etcd-snapshot.timer")
    cluster.sh("etcd-2", f"chmod 644 {KEY}; chmod 755 {DATA} /var/backups/etcd")
    cluster.sh("etcd-3", "sed -i 's/heartbeat-interval: 100/heartbeat-interval: 300/' /etc/elephant/etcd.yml")
    again = converge()
    assert again.changed == {
        ("etcd-1", "The units are in place"),
        ("etcd-1", "The member starts after a boot, and the timer of the snapshots runs"),
        ("etcd-2", "What is due is known, and has a new key"),
        ("etcd-2", "The directories of root are there"),
        ("etcd-2", "The data directory is there and closed to others"),
        ("etcd-3", "The configuration is in place"),
        ("etcd-3", "The member runs with what is on the disk"),
    }, again.output
    assert cluster.sh("etcd-2", f"stat -c %a {KEY} {DATA} /var/backups/etcd").split() == ["600", "700", "700"]
    assert cluster.sh("etcd-1", "systemctl is-active etcd-snapshot.timer") == "active"
    assert {name for name, at in cluster.started().items() if before[name] != at} == {"etcd-3"}


def test_an_edited_unit_is_put_right_and_run(cluster, converge):
    before = cluster.started()
    cluster.sh("etcd-1", "sed -i 's/^NoNewPrivileges=true/NoNewPrivileges=false/' /etc/systemd/system/etcd.service")
    cluster.sh("etcd-1", "systemctl daemon-reload; systemctl restart etcd")
    again = converge()
    assert again.changed == {("etcd-1", "The units are in place"), ("etcd-1", "The member runs with what is on the disk")}, again.output
    assert cluster.sh("etcd-1", "systemctl show etcd --value --property=NoNewPrivileges") == "yes"
    assert {name for name, at in cluster.started().items() if before[name] != at} == {"etcd-1"}


def test_a_changed_password_converges(cluster, converge):
    again = converge("--extra-vars", user(password="n0t-said"))
    assert again.changed == {("etcd-1", "Authentication is on, and the users are as declared")}, again.output
    assert "n0t-said" not in again.output
    assert knows(cluster, "patroni:n0t-said") and not knows(cluster, "patroni:a-password")
    assert converge("--extra-vars", user()).status == 0
    assert knows(cluster, "patroni:a-password") and not knows(cluster, "patroni:n0t-said")


def downs(cluster, name):
    """When etcd was down on a host: (stopped, ready again) in seconds, from the journal of systemd."""
    rows = cluster.sh(name, "journalctl --unit etcd --output json --no-pager _PID=1").splitlines()
    said = [(int(it["__REALTIME_TIMESTAMP"]) / 1e6, it["MESSAGE"]) for it in map(json.loads, rows)]
    stops = [at for at, what in said if what.startswith("Stopping etcd.service")]
    starts = [at for at, what in said if what.startswith("Started etcd.service")]
    return [(at, min(it for it in starts if it > at)) for at in stops if any(it > at for it in starts)]


def test_a_changed_setting_rolls_while_writers_write(cluster, converge, tmp_path):
    home = Path(os.environ["ELEPHANT_HOME"]) / "molecule/ca"
    for file in (home / "ca.crt", home / "ca.key", Path(__file__).with_name("writer.py")):
        subprocess.run(["docker", "cp", "-q", file, f"{cluster.container('etcd-1')}:/root/{file.name}"], check=True, capture_output=True)
    assert converge("--extra-vars", user()).status == 0
    cluster.sh("etcd-1", CLIENT + "touch /root/writing")
    before = {name: len(downs(cluster, name)) for name in cluster.names}
    writing = [
        "docker",
        "exec",
        cluster.container("etcd-1"),
        "python3",
        "/root/writer.py",
        "/root/writing",
        "patroni",
        "a-password",
        "/service/molecule/",
    ]
    with subprocess.Popen([*writing, *MEMBERS], stdout=subprocess.PIPE, text=True) as writer:
        try:
            slower = {"heartbeat-interval": 150, "election-timeout": 1500}
            again = converge("--extra-vars", user(), "--extra-vars", json.dumps({"etcd_settings": slower}))
        finally:
            cluster.sh("etcd-1", "rm /root/writing /root/ca.key")
        result = json.loads(writer.communicate(timeout=60)[0])
    assert again.status == 0, again.output
    assert {host for host, task in again.changed if task == "The member runs with what is on the disk"} == set(cluster.names)
    print(result)
    # Each write goes from member to member with a client's patience, in which an election fits; none may find no member in that time.
    assert result["lost"] == 0 and result["taken"] > 20, result
    # An election is over in twice its timeout; of the writer's tries, 2 s each, one goes with the member and one begins before its end.
    assert result["longest"] < 2 * slower["election-timeout"] / 1000 + 2 * 2, result
    new = sorted(it for name in cluster.names for it in downs(cluster, name)[before[name] :])
    assert len(new) == 3
    assert all(ready <= stopped for (_, ready), (stopped, _) in itertools.pairwise(new)), "two members were down at a time"


def test_a_setting_that_no_member_can_run_with_stops_the_first_and_no_other(cluster, converge):
    before = cluster.started()
    again = converge("--extra-vars", json.dumps({"etcd_settings": {"log-level": "nonsense"}}))
    assert again.status != 0 and "is not restarted while others are not healthy" in again.output, again.output
    after = cluster.started()
    assert len([name for name in cluster.names if after[name] != before[name]]) == 1
    again = converge()
    assert again.status == 0, again.output
    cluster.wait_healthy()


def test_after_a_power_cut_the_cluster_comes_back_by_itself(cluster):
    users = cluster.etcdctl("user list")["users"]
    cluster.docker("kill", *cluster.names)
    cluster.docker("start", *cluster.names)
    cluster.sh("etcd-1", "timeout 60 systemctl is-system-running --wait", ok=False)
    cluster.wait_healthy()
    assert cluster.etcdctl("user list")["users"] == users


def test_status_says_who_does_not_answer_and_a_gone_host_is_not_replaced_yet(cluster, playbook):
    whole = playbook("etcd/status.yml", "--limit", "etcd-2")
    assert whole.returncode == 0 and "as etcd-2 sees it" in whole.stdout and "no answer" not in whole.stdout, whole.stdout
    cluster.docker("kill", "etcd-3")
    status = playbook("etcd/status.yml")
    assert status.returncode == 0 and "no answer: etcd-3" in status.stdout and "10.89.16.12" in status.stdout, status.stdout
    replaced = playbook("etcd/replace_member.yml", "-e", "etcd_replaced_member=etcd-3")
    assert replaced.returncode != 0 and "etcd-3 does not answer" in flat(replaced.stdout), replaced.stdout
    assert "etcd-3" in cluster.voters(), "it was taken out before its successor was there"
    cluster.docker("start", "etcd-3")
    cluster.wait_healthy()


def test_a_snapshot_now(cluster, playbook):
    before = {name: cluster.sh(name, "ls /var/backups/etcd").split() for name in cluster.names}
    assert playbook("etcd/snapshot.yml").returncode == 0
    for name in cluster.names:
        (new,) = set(cluster.sh(name, "ls /var/backups/etcd").split()) - set(before[name])
        assert json.loads(cluster.sh(name, f"etcdutl snapshot status /var/backups/etcd/{new} --write-out=json"))["totalKey"] > 0


def test_an_address_that_comes_late_is_waited_for(cluster):
    network = cluster.sh("etcd-3", "ip -4 -o address show scope global | awk '{print $2, $4}'").split()
    cluster.sh("etcd-3", f"systemctl stop etcd; ip address del {network[1]} dev {network[0]}; systemctl start --no-block etcd")
    cluster.sh(
        "etcd-3", "timeout 60 sh -c 'until journalctl -u etcd -n 30 | grep -q \"cannot assign requested address\"; do sleep 0.5; done'"
    )
    cluster.sh("etcd-3", f"ip address add {network[1]} dev {network[0]}")
    cluster.wait_healthy()


def test_a_member_that_lost_its_disk_is_refused_and_then_replaced(cluster, converge, playbook):
    cluster.sh("etcd-2", f"systemctl stop etcd; rm -r {DATA}; systemctl start etcd")
    assert cluster.sh("etcd-2", "systemctl is-active etcd", ok=False) == "inactive", "an empty member began by itself"
    refused = converge()
    assert refused.status != 0 and "playbooks/etcd/replace_member.yml -e etcd_replaced_member=etcd-2" in refused.output, refused.output
    before = cluster.voters()
    for arguments, sentence in (
        ((), "Say which member is replaced"),
        (("-e", "etcd_replaced_member=etcd-2", "--limit", "etcd-2"), "--limit leaves none of them"),
    ):
        limited = playbook("etcd/replace_member.yml", *arguments)
        assert limited.returncode != 0 and sentence in flat(limited.stdout), limited.stdout
    empty = playbook("etcd/snapshot.yml", "--limit", "etcd-2")
    assert empty.returncode != 0 and "etcd-2 has nothing to save" in empty.stdout, empty.stdout
    healthy = playbook("etcd/replace_member.yml", "-e", "etcd_replaced_member=etcd-1")
    assert healthy.returncode != 0 and "etcd-1, which is healthy" in healthy.stdout, healthy.stdout
    replaced = playbook("etcd/replace_member.yml", "-e", "etcd_replaced_member=etcd-2")
    assert replaced.returncode == 0, replaced.stdout
    after = cluster.voters()
    assert set(after) == set(before) and {name for name in after if after[name] != before[name]} == {"etcd-2"}
    cluster.wait_healthy()
    again = converge()
    assert (again.status, again.changed) == (0, set()), again.output


def test_a_lost_cluster_is_rebuilt_only_by_its_name(cluster, converge, playbook):
    record = Path(os.environ["ELEPHANT_HOME"]) / "molecule/etcd-molecule.id"
    lost = record.read_text().strip()
    assert playbook("etcd/rebuild.yml", "-e", f"etcd_lost_cluster={lost}").returncode != 0, "a living cluster was thrown away"
    for name in cluster.names:
        cluster.sh(name, f"systemctl stop etcd; rm -r {DATA}")
    refused = converge()
    assert refused.status != 0 and f"etcd_lost_cluster={lost}" in refused.output, refused.output
    status = playbook("etcd/status.yml")
    assert status.returncode != 0 and "speaks for the cluster" in flat(status.stdout), status.stdout
    for arguments, sentence in (
        (("-e", "etcd_lost_cluster=cdf818194e3a8c32"), f"say so: -e etcd_lost_cluster={lost}"),
        ((), f"say so: -e etcd_lost_cluster={lost}"),
        (("-e", f"etcd_lost_cluster={lost}", "--limit", "etcd-1"), "etcd-2, etcd-3 is not in this run: run it without --limit"),
    ):
        wrong = playbook("etcd/rebuild.yml", *arguments)
        assert wrong.returncode != 0 and sentence in flat(wrong.stdout), wrong.stdout
    rebuilt = playbook("etcd/rebuild.yml", "-e", f"etcd_lost_cluster={lost}")
    assert rebuilt.returncode == 0, rebuilt.stdout
    assert record.read_text().strip() not in ("", lost)
    assert cluster.etcdctl("auth status")["enabled"] and set(cluster.voters()) == set(cluster.names)
    status = playbook("etcd/status.yml")
    assert status.returncode == 0 and "etcd-3" in status.stdout
