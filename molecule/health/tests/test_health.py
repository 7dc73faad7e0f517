"""Conditions that are made to happen on a real host; judged by exit codes, systemd and the files that others read."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import testinfra

PROGRAM = "/usr/local/sbin/elephant-health"
CERTIFICATES = "/etc/elephant/certificates"
TOLD = "/var/lib/elephant-health/told"
PROM = "/var/lib/prometheus/node-exporter/elephant.prom"


@pytest.fixture(scope="module")
def host():
    """The one that has nothing but the role."""
    return testinfra.get_host("docker://elephant-health-plain")


def names(told: dict[str, Any]) -> set[str]:
    return {it["condition"] for it in told["problems"]}


@pytest.fixture
def health(host) -> Callable[[], dict[str, Any]]:
    """What the program says now, with its exit code."""

    def ask() -> dict[str, Any]:
        done = host.run(f"{PROGRAM} --json")
        return json.loads(done.stdout) | {"code": done.rc}

    return ask


@pytest.fixture
def certificate(host):
    """A folder of certificates like the cluster's, one of them ending in so many days."""

    def make(days: int) -> None:
        host.check_output(f"mkdir -p {CERTIFICATES}")
        # The authority last: it lets the timer's unit run.
        for name in ("postgresql", "ca"):
            host.check_output(
                "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=test -keyout /dev/null "
                f"-days {days if name != 'ca' else 3000} -out {CERTIFICATES}/{name}.crt 2>/dev/null"
            )

    yield make
    host.check_output(f"rm -rf {CERTIFICATES} {TOLD} /var/lib/elephant-health/alarmed; systemctl reset-failed")


def service(host) -> str:
    """Run the timer's unit; how it ended, once the alarm has been told too."""
    host.run("systemctl start elephant-health.service")
    host.run("systemctl start elephant-health-alarm.service")
    return host.check_output("systemctl show --property=Result --value elephant-health.service")


def test_a_host_with_nothing_wrong(host, health):
    told = health()
    assert (told["code"], told["level"], told["problems"]) == (0, "OK", [])
    assert host.check_output(PROGRAM).startswith("OK: ")


def test_the_timer_runs(host):
    assert host.service("elephant-health.timer").is_running
    assert host.service("elephant-health.timer").is_enabled
    assert "elephant-health-alarm.service" in host.check_output("systemctl show --property=OnFailure elephant-health.service")


def test_a_certificate_near_its_end(health, certificate):
    certificate(20)
    assert (health()["code"], names(health())) == (1, {"certificates"})
    certificate(5)
    assert health()["code"] == 2
    certificate(40)
    assert health()["code"] == 0


def test_a_full_disk(host, health):
    size, used = (int(it) for it in host.check_output("df --output=size,used --block-size=1K /dev/shm | tail -n 1").split())
    host.check_output(f"head -c {(size * 8 // 10 - used) * 1024} /dev/zero > /dev/shm/filler")
    try:
        assert (health()["code"], names(health())) == (1, {"disk"})
    finally:
        host.check_output("rm /dev/shm/filler")
    assert health()["code"] == 0


def test_a_failed_unit_of_ours(host, health):
    host.run("systemd-run --unit=elephant-backup-test --wait /bin/false")
    try:
        assert health()["code"] == 1
        assert "elephant-backup-test.service" in health()["line"]
    finally:
        host.check_output("systemctl reset-failed")


def test_a_stopped_timer_and_a_firewall_that_is_not_loaded(host, health):
    """Neither is a failed unit."""
    host.check_output("systemctl stop elephant-health.timer")
    settings = "/etc/elephant/health.json"
    host.check_output(f"cp {settings} /tmp/kept")
    host.check_output(f'sed -i \'s/"firewall": false/"firewall": true/\' {settings}; nft add table inet elephant')
    try:
        told = health()
        assert names(told) == {"units"} and "stopped: elephant-health.timer" in told["line"]
        host.check_output("systemctl start elephant-health.timer; nft delete table inet elephant")
        assert names(health()) == {"firewall"}
    finally:
        host.check_output(f"mv /tmp/kept {settings}; systemctl start elephant-health.timer")
    assert health()["code"] == 0


def test_the_alarm_is_raised_once_and_again_when_more_is_wrong(host, certificate):
    certificate(20)
    host.check_output("mkdir -p /var/lib/prometheus/node-exporter")
    assert service(host) == "exit-code"
    assert names(json.loads(host.file(TOLD).content_string)) == {"certificates"}
    assert re.search(r'^elephant_health_problem\{condition="certificates"\} 1$', host.file(PROM).content_string, re.MULTILINE)
    host.check_output(f"rm {TOLD}")
    service(host)
    assert not host.file(TOLD).exists
    host.run("systemd-run --unit=elephant-backup-test --wait /bin/false")
    service(host)
    assert names(json.loads(host.file(TOLD).content_string)) == {"certificates", "units"}
    host.check_output(f"systemctl reset-failed; rm {TOLD}")
    certificate(400)
    assert service(host) == "success"
    assert not host.file("/var/lib/elephant-health/alarmed").exists
    assert re.search(r'^elephant_health_problem\{condition="certificates"\} 0$', host.file(PROM).content_string, re.MULTILINE)


def test_a_look_that_could_not_be_kept_is_told_and_not_the_one_before(host, certificate):
    certificate(400)
    assert service(host) == "success"
    host.check_output("rm /var/lib/elephant-health/health.json; mkdir /var/lib/elephant-health/health.json")
    try:
        host.run("systemctl start elephant-health.service")
        host.check_output(f"timeout 60 sh -c 'until [ -e {TOLD} ]; do sleep 0.2; done'")
        told = json.loads(host.file(TOLD).content_string)
        assert (told["level"], names(told)) == ("CRITICAL", {"answers"}) and "it ended with 3" in told["line"]
        assert host.check_output("systemctl show --property=ExecMainStatus --value elephant-health.service") == "3"
    finally:
        host.check_output("rmdir /var/lib/elephant-health/health.json")


def test_what_does_not_answer_is_critical():
    done = testinfra.get_host("docker://elephant-health-dead").run(f"{PROGRAM} --json")
    told = json.loads(done.stdout)
    assert (done.rc, told["level"]) == (2, "CRITICAL")
    assert set(told["trouble"]) == {"patroni", "server", "writes", "etcd", "backup"}


def test_a_misused_program_says_how_it_is_used(host):
    done = host.run(f"{PROGRAM} --wrong")
    assert done.rc == 3
    assert "elephant-health [--json" in done.stdout
