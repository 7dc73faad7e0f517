"""Each option shows in what etcd, etcdutl and systemd say."""

import json
import re

ENVIRONMENT = "set -a; . /etc/elephant/etcdctl.env;"
START = "systemctl show etcd --value --property=ExecMainStartTimestampMonotonic"
# Its arguments, for who may read /proc/.../exe of another user's process depends on the container.
RUNNING = "tr '\\0' ' ' < /proc/$(systemctl show etcd --value --property=MainPID)/cmdline"


def test_the_binaries_are_the_archives(host):
    assert not host.package("etcd-server").is_installed
    assert re.match(r"/opt/etcd/[0-9a-f]{16}/etcd ", host.check_output(RUNNING))
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


def test_a_binary_that_was_replaced_is_run(host, converge):
    binary = host.check_output(RUNNING).split()[0]
    before = host.check_output(START)
    host.check_output(f"cp --preserve=all {binary} {binary}.new && mv {binary}.new {binary}")
    done = converge()
    assert done.status == 0 and done.changed == {("host-1", "The member runs with what is on the disk")}, done.output
    assert host.check_output(START) != before


def test_another_archive_is_rolled_out_after_its_checksum_and_its_version(host, converge):
    (archive,) = host.check_output("ls /root/two/*.tar.gz").splitlines()
    checksum = host.check_output("sha256sum %s", archive).split()[0]
    version = re.search(r"v([\d.]+)-", archive)[1]

    def other(**variables):
        asked = {"etcd_archive": f"http://127.0.0.1:8099/{archive.split('/')[-1]}", "etcd_archive_sha256": checksum} | variables
        return converge("--extra-vars", json.dumps(asked))

    before = (host.check_output(START), host.check_output("sha256sum /etc/systemd/system/etcd.service"))
    for variables, sentence in (
        ({"etcd_archive_sha256": "0" * 64}, "checksum"),
        ({"etcd_archive_version": "3.4.9"}, "3.4.9 cannot read the data of a later minor version"),
        ({"etcd_archive_version": "3.6.14"}, "before 3.6 etcd asks for 3.5.32 or later"),
        ({"etcd_archive_version": "3.7.1"}, "give an etcd_archive of 3.6"),
        # The first time as it is unpacked, the second time as it lies there.
        ({"etcd_archive_version": version + "9"}, f"not etcd_archive_version {version}9"),
        ({"etcd_archive_version": version + "9"}, f"not etcd_archive_version {version}9"),
    ):
        refused = other(**variables)
        assert refused.status != 0 and sentence in re.sub(r"\s+", " ", refused.output), refused.output
        assert before == (host.check_output(START), host.check_output("sha256sum /etc/systemd/system/etcd.service"))
    done = other()
    assert done.status == 0 and ("host-1", "The member runs with what is on the disk") in done.changed, done.output
    assert checksum[:16] in host.check_output(RUNNING)
    assert host.check_output(START) != before[0]
    # The first one again, which the scenario declares.
    assert converge().status == 0
