"""Judged by etcdctl, etcdutl, openssl, systemd and etcd's own metrics, not by the files that the role wrote."""

import json
import re

import pytest

CERTIFICATES = "/etc/elephant/certificates"


def members(host):
    return {it["name"]: it["address"] for it in host.ansible.get_variables()["etcd_members"]}


def test_runs_now_and_after_a_boot(host):
    service = host.service("etcd")
    assert service.is_running, host.check_output("journalctl --unit etcd --no-pager --lines 20")
    assert service.is_enabled
    assert host.service("etcd-snapshot.timer").is_running


def test_all_declared_members_and_nobody_else_vote(host, etcdctl):
    rows = etcdctl("member list")["members"]
    assert {it["name"]: it["clientURLs"] for it in rows} == {name: [f"https://{address}:2379"] for name, address in members(host).items()}
    assert not [it for it in rows if it.get("isLearner")]
    assert {it["health"] for it in etcdctl("endpoint health --cluster")} == {True}


def test_the_members_hold_the_same_data(etcdctl):
    assert len({it["HashKV"]["hash"] for it in etcdctl("endpoint hashkv --cluster")}) == 1


def test_the_distributions_member_never_started(host):
    assert not host.file("/var/lib/etcd/default").exists
    started = host.check_output("journalctl --unit etcd --output cat --no-pager | grep -c 'starting an etcd server'")
    assert started == "1", "etcd was started more than once by a first run"


def test_listens_only_on_its_own_address(host):
    address = host.ansible.get_variables()["cluster_address"]
    listening = {row.split()[3] for row in host.check_output("ss -Hltn").splitlines()}
    # 127.0.0.11 is Docker's resolver.
    assert {it for it in listening if not it.endswith(":22") and not it.startswith("127.0.0.11:")} == {f"{address}:2379", f"{address}:2380"}


@pytest.mark.parametrize("port", [2379, 2380])
def test_tls_is_1_3_and_mutual(host, port):
    address = host.ansible.get_variables()["cluster_address"]
    # The request makes s_client wait for the answer: in TLS 1.3 a client is refused after its own handshake is done.
    request = "printf 'GET /health HTTP/1.0\\r\\n\\r\\n'"
    connect = f"{request} | timeout 30 openssl s_client -connect {address}:{port} -CAfile {CERTIFICATES}/ca.crt -ign_eof"
    identity = f"-cert {CERTIFICATES}/etcd.crt -key {CERTIFICATES}/etcd.key"
    good = host.run(f"{connect} {identity} -verify_return_error -verify_ip {address}")
    assert "TLSv1.3" in good.stdout and "Verify return code: 0 (ok)" in good.stdout and "HTTP/1.0" in good.stdout, good.stdout + good.stderr
    old = host.run(f"{connect} {identity} -tls1_2")
    assert "HTTP/1.0" not in old.stdout and "protocol version" in old.stderr
    stranger = host.run(connect)
    assert "HTTP/1.0" not in stranger.stdout and "certificate required" in stranger.stderr


def test_only_root_and_etcd_read_the_keys(host):
    assert (host.file(f"{CERTIFICATES}/etcd-root.key").mode, host.file(f"{CERTIFICATES}/etcd-root.key").user) == (0o600, "root")
    assert (host.file("/var/lib/etcd/data").mode, host.file("/var/lib/etcd/data").user) == (0o700, "etcd")


def test_the_certificate_of_root_is_root_and_no_other_is(etcdctl):
    assert etcdctl("auth status")["enabled"] is True
    assert etcdctl("user get root")["roles"] == ["root"]
    assert "permission denied" in etcdctl("user list", leaf="etcd", ok=False) or "not found" in etcdctl("user list", leaf="etcd", ok=False)
    assert "authentication failed" in etcdctl("user list", leaf="patroni", user="root:root", ok=False)


def test_a_certificate_without_the_password_reads_nothing(etcdctl, gateway):
    for leaf in ("patroni", "etcd"):
        assert etcdctl("get / --prefix", leaf=leaf, ok=False)
    status, answer = gateway("/v3/kv/range", {"key": "/service/one/"})
    assert (status, "permission denied" in answer["message"]) == (403, True)
    status, answer = gateway("/v3/auth/authenticate", {"name": "patroni", "password": "guessed"})
    assert status == 400 and "invalid user ID or password" in answer["message"]


def test_a_user_reads_and_writes_its_prefix_and_no_more(host, etcdctl, gateway):
    for user in host.ansible.get_variables()["etcd_users"]:
        mine, account = user["prefix"], f"{user['name']}:{user['password']}"
        etcdctl(f"put {mine}key value", leaf="patroni", user=account)
        assert etcdctl(f"get {mine} --prefix", leaf="patroni", user=account)["count"] >= 1
        for theirs in ("/", f"{mine[:-1]}0"):
            assert "permission denied" in etcdctl(f"get {theirs} --prefix", leaf="patroni", user=account, ok=False)
            assert "permission denied" in etcdctl(f"put {theirs}key x", leaf="patroni", user=account, ok=False)
        _, answer = gateway("/v3/auth/authenticate", {"name": user["name"], "password": user["password"]})
        token = answer["token"]
        assert gateway("/v3/kv/range", {"key": mine, "range_end": f"{mine[:-1]}0"}, token=token)[0] == 200
        assert gateway("/v3/kv/range", {"key": "/service/", "range_end": "/service0"}, token=token)[0] == 403
        assert gateway("/v3/auth/user/add", {"name": "mallory", "password": "x"}, token=token)[0] == 403


def test_the_gateway_takes_no_certificate_with_a_name(gateway):
    """A trap for whoever gives Patroni a common name: the reason why its certificate has none."""
    status, answer = gateway("/v3/kv/range", {"key": "/service/one/"}, leaf="etcd")
    assert status == 400 and "CommonName" in answer


def test_etcd_runs_with_the_limits_and_checks(host):
    metrics = host.check_output(
        "python3 -c '" + 'import ssl,sys,urllib.request as u; t=ssl.create_default_context(cafile=sys.argv[1]+"/ca.crt"); '
        't.load_cert_chain(sys.argv[1]+"/etcd-root.crt",sys.argv[1]+"/etcd-root.key"); '
        'print(u.urlopen("https://"+sys.argv[2]+":2379/metrics",context=t).read().decode())\' '
        + f"{CERTIFICATES} {host.ansible.get_variables()['cluster_address']}"
    )
    assert re.search(r"^etcd_server_quota_backend_bytes 2\.147483648e\+09$", metrics, flags=re.MULTILINE)
    said = host.check_output("journalctl --unit etcd --output cat --no-pager | grep -m1 'starting an etcd server'")
    started = json.loads(said)
    assert (started["initial-corrupt-check"], started["compact-check-time-enabled"]) == (True, True)
    assert (started["auto-compaction-mode"], started["auto-compaction-interval"]) == ("periodic", "1h0m0s")
    assert (started["heartbeat-interval"], started["election-timeout"], started["pre-vote"]) == ("100ms", "1s", True)


def test_a_snapshot_is_made_and_can_be_read(host):
    host.check_output("systemctl start etcd-snapshot.service")
    (newest,) = host.check_output("ls -1t /var/backups/etcd/*.db | head -1").splitlines()
    assert json.loads(host.check_output(f"etcdutl snapshot status {newest} --write-out=json"))["totalKey"] > 0
    assert (host.file(newest).mode, host.file("/var/backups/etcd").mode) == (0o600, 0o700)


def test_another_process_goes_when_memory_is_out(host):
    # Of the process itself a container says nothing: lowering it takes CAP_SYS_RESOURCE, without which systemd goes on.
    assert host.check_output("systemctl show etcd --value --property=OOMScoreAdjust") == "-900"


def test_the_units_are_valid_and_confined(host):
    files = "etcd.service etcd-snapshot.service etcd-snapshot.timer"
    assert host.run(f"cd /etc/systemd/system && systemd-analyze verify {files}").stderr == ""
    for unit, most in (("etcd.service", 2), ("etcd-snapshot.service", 2.5)):
        exposure = host.check_output(f"systemd-analyze security {unit} --no-pager | tail -1")
        assert float(re.search(r": ([\d.]+)", exposure)[1]) <= most, exposure
