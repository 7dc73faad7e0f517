"""Each option shows in what etcd, etcdutl and systemd say."""

import json
import re

ENVIRONMENT = "set -a; . /etc/elephant/etcdctl.env;"


def test_the_binaries_are_the_archives(host):
    assert not host.package("etcd-server").is_installed
    running = host.check_output("readlink /proc/$(systemctl show etcd --value --property=MainPID)/exe")
    assert re.fullmatch(r"/opt/etcd/[0-9a-f]{16}/etcd", running)
    assert host.check_output("etcdctl version").startswith("etcdctl version: 3.")
    assert host.check_output("stat -c %U /proc/$(systemctl show etcd --value --property=MainPID)") == "etcd"


def test_one_member_of_its_own_name_with_its_own_settings(host):
    (member,) = json.loads(host.check_output(f"{ENVIRONMENT} etcdctl member list -w json"))["members"]
    assert member["name"] == "alpha"
    said = host.check_output("journalctl --unit etcd --output cat --no-pager")
    assert '"level":"info"' not in said, "log-level: warn is not in force"
    metrics = host.check_output(
        'python3 -c \'import ssl,urllib.request as u; d="/etc/other/certificates/"; t=ssl.create_default_context(cafile=d+"ca.crt"); '
        't.load_cert_chain(d+"admin.crt",d+"admin.key"); print(u.urlopen("https://10.89.15.11:2379/metrics",context=t).read().decode())\''
    )
    assert "etcd_server_quota_backend_bytes 1.073741824e+09" in metrics
    assert host.file("/srv/etcd/alpha/member/wal").is_directory and not host.file("/var/lib/etcd/data").exists


def test_users_are_those_that_were_asked_for(host):
    assert set(json.loads(host.check_output(f"{ENVIRONMENT} etcdctl user list -w json"))["users"]) == {"root", "app"}


def test_two_snapshots_are_kept_and_made_every_hour(host):
    for _ in range(3):
        host.check_output("systemctl start etcd-snapshot.service")
    assert len(host.file("/srv/snapshots").listdir()) == 2
    assert "*-*-* *:00:00" in host.check_output("systemctl show etcd-snapshot.timer --value --property=TimersCalendar")


def test_another_archive_is_rolled_out_and_its_checksum_is_asked_for(host, converge):
    checksum = host.check_output("sha256sum /root/etcd-two.tar.gz").split()[0]
    url = ["--extra-vars", "etcd_archive=http://127.0.0.1:8099/etcd-two.tar.gz", "--extra-vars"]
    before = host.check_output("systemctl show etcd --value --property=ExecMainStartTimestampMonotonic")
    refused = converge(*url, f"etcd_archive_sha256={'0' * 64}")
    assert refused.status != 0 and "checksum" in refused.output
    done = converge(*url, f"etcd_archive_sha256={checksum}")
    assert done.status == 0 and ("host-1", "The member runs with what is on the disk") in done.changed, done.output
    assert checksum[:16] in host.check_output("readlink /proc/$(systemctl show etcd --value --property=MainPID)/exe")
    assert host.check_output("systemctl show etcd --value --property=ExecMainStartTimestampMonotonic") != before
    # The first one again, which the scenario declares.
    assert converge().status == 0
