"""Time passes, for the hosts and for the controller alike: what is due is renewed, and who forgets is told."""

import shlex
import sys

import pytest

# A module's Python on the controller: its calendar is DAYS ahead. On the hosts the real faketime does the same.
LATER = """
import datetime, os
class Later(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(days=int(os.environ["DAYS"]))
datetime.datetime = Later
"""


@pytest.fixture
def later(nodes, converge, tmp_path):
    """`later(days)` converges the host `made` with every clock moved; the interpreter's path is the same here and there."""

    def run(days):
        (tmp_path / "sitecustomize.py").write_text(LATER)
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\nDAYS={days} PYTHONPATH={tmp_path} exec {sys.executable} "$@"\n')
        python.chmod(0o755)
        there = f'#!/bin/sh\nexec faketime -f +{days}d /usr/bin/python3 "$@"\n'
        nodes["made"].check_output(f"mkdir -p {tmp_path} && printf %s {shlex.quote(there)} > {python} && chmod 755 {python}")
        return converge("--limit", "made", "--extra-vars", f"ansible_python_interpreter={python}")

    return run


def test_the_watch_fails_when_the_days_are_fewer_than_asked(nodes, watch):
    # 500 days, of which the watch wants 50.
    assert watch(nodes["made"], 440) == 0
    assert watch(nodes["made"], 455) != 0
    said = nodes["made"].check_output("journalctl --unit elephant-certificates --no-pager --lines 20")
    assert "/srv/tls/elephant/server.crt: notAfter=" in said
    assert watch(nodes["made"], 0) == 0


def test_the_watch_looks_every_day(nodes):
    timers = nodes["made"].check_output("systemctl list-timers --all elephant-certificates.timer")
    assert "elephant-certificates.service" in timers
    calendar = nodes["made"].check_output("systemctl show --value --property TimersCalendar elephant-certificates.timer")
    assert "OnCalendar=*-*-* 00:00:00" in calendar


def test_a_run_renews_when_the_time_has_come_and_not_before(nodes, tls, later):
    before = nodes["made"].check_output(f"sha256sum {tls('made')}/*")
    run = later(395)
    assert run.status == 0, run.output
    assert run.changed == set(), run.output
    assert nodes["made"].check_output(f"sha256sum {tls('made')}/*") == before

    run = later(405)
    assert run.status == 0, run.output
    assert "server is due: it ends on" in run.output
    # As far as the real clock goes it is not valid yet; 500 days from then it still is.
    assert nodes["made"].run(f"openssl x509 -noout -checkend {900 * 86400} -in {tls('made')}/server.crt").rc == 0
    assert nodes["made"].run(f"openssl x509 -noout -checkend {910 * 86400} -in {tls('made')}/server.crt").rc == 1
    assert later(405).changed == set()
