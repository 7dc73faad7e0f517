"""What goes wrong goes wrong as with the real provider: in its words, with nothing lost from the state."""

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from .conftest import Root
from .stub import Vultr
from .test_life import TAGGED

GONE = '{"error":"%s","status":%d}'


@pytest.mark.parametrize("key", [None, "", "wrong"])
def test_no_key_or_a_wrong_one(root: Root, vultr: Vultr, key: str | None) -> None:
    root.write(TAGGED, 'variable "key" {\n  default = null\n}\nprovider "vultr" {\n  api_key = var.key\n}\n')
    run = root.apply(VULTR_API_KEY=key)
    assert run.code == 1
    if key:
        assert 'error creating VPC: {"error":"Invalid API token.","status":401}' in run
        assert "check the environment variable VULTR_API_KEY" in run
        assert key not in run.out
    else:
        assert "No Vultr API key: set the environment variable VULTR_API_KEY" in run
        assert not vultr.requests


def test_key_in_the_provider_block(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED, 'provider "vultr" {\n  api_key = "stub-key-never-to-be-seen"\n}\n')
    assert root.apply(VULTR_API_KEY="wrong").code == 0


@pytest.mark.parametrize("proxy", [None, "http://192.0.2.1:3128", "http://proxy.example.com:3128"])
def test_never_talks_to_the_real_vultr(root: Root, proxy: str | None) -> None:
    root.write(TAGGED)
    run = root.apply(HTTPS_PROXY=proxy)
    assert (run.code, "HTTPS_PROXY names no proxy on this machine" in run) == (1, True), run.out


def test_no_proxy_counts(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    run = root.apply(NO_PROXY="api.vultr.com")
    assert (run.code, "HTTPS_PROXY names no proxy on this machine" in run, vultr.requests) == (1, True, [])


def test_a_certificate_of_somebody_else(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    run = root.apply(SSL_CERT_FILE=None)
    assert (run.code, "SSL_CERT_FILE names the CA" in run, vultr.requests) == (1, True, [])


def test_nobody_listens(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    vultr.close()
    run = root.apply()
    assert run.code == 1
    assert "error creating VPC: gave up after 4 attempts, last error" in run
    assert "HTTPS_PROXY says that the Vultr on this machine answers at 127.0.0.1:" in run


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"status": 400, "body": GONE % ("no stock", 400)}, 'error creating server: {"error":"no stock","status":400}'),
        ({"status": 500, "body": "down", "times": 4}, 'error creating server: gave up after 4 attempts, last error: "down"'),
    ],
)
def test_a_refused_create_leaves_nothing(root: Root, vultr: Vultr, fault: dict, error: str) -> None:
    root.write(TAGGED)
    vultr.fault("POST", "/instances$", **fault)
    run = root.apply()
    assert (run.code, error in run) == (1, True), run.out
    with pytest.raises(KeyError):
        root.state("vultr_instance.this")
    run = root.apply()
    assert "1 added, 0 changed, 0 destroyed" in run


def test_a_lost_answer_creates_twice(root: Root, vultr: Vultr) -> None:
    """A known danger of the real provider, kept: the orphan holds the network, until somebody deletes it."""
    root.write(TAGGED)
    vultr.fault("POST", "/instances$", 503, after=True)
    run = root.apply()
    assert run.code == 0, run.out
    assert len(vultr.objects["instances"]) == 2
    kept = root.state("vultr_instance.this")["id"]
    (orphan,) = set(vultr.objects["instances"]) - {kept}
    process = subprocess.Popen(
        [root.tofu, "destroy", "-auto-approve", "-no-color"], cwd=root.folder, env=root.environment, stdout=subprocess.PIPE, text=True
    )
    _until(lambda: len([1 for method, path, _ in vultr.requests if method == "DELETE" and "/vpcs/" in path]) >= 2)
    del vultr.objects["instances"][orphan]
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert not any(vultr.objects.values())


def test_a_network_that_is_busy_for_a_while(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    vultr.fault("DELETE", "/vpcs/", 400, GONE % ("The following servers are attached to this VPC network: x", 400), times=2)
    run = root.destroy()
    assert run.code == 0, run.out
    assert not any(vultr.objects.values())


def test_other_refusals_of_a_delete_are_not_sat_out(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    vultr.fault("DELETE", "/vpcs/", 400, GONE % ("locked", 400))
    run = root.destroy()
    assert (run.code, "error destroying VPC (" in run, '"locked"' in run) == (1, True, True)
    assert root.state("vultr_vpc.this")["id"]
    assert root.destroy().code == 0


def test_retry_after_is_honoured(root: Root, vultr: Vultr) -> None:
    root.write('resource "vultr_vpc" "this" {\n  region = "ams"\n}\n')
    vultr.fault("POST", "/vpcs$", 429, GONE % ("slow down", 429), Retry_After="2")
    assert root.apply().code == 0
    assert [method for method, _, _ in vultr.requests[:2]] == ["POST", "POST"]
    assert vultr.times[1] - vultr.times[0] >= 2
    assert vultr.only("vpcs")


@pytest.mark.parametrize(
    ("pattern", "status", "body", "error"),
    [
        ("/backup-schedule", 400, GONE % ("boom", 400), "error getting backup schedule: "),
        ("/instances/[^/]*$", 200, '{"instance":{"status":"suspended"}}', "unexpected state 'suspended', wanted target 'active'"),
        ("/instances/[^/]*$", 404, GONE % ("gone", 404), "to be completed: "),
        ("/instances/[^/]*$", 200, "<html>", "the answer is not JSON"),
        ("/backup-schedule", 200, "{}", "the API's answer cannot be used: KeyError: 'backup_schedule'"),
    ],
)
def test_a_create_that_fails_midway_is_tainted(root: Root, vultr: Vultr, pattern: str, status: int, body: str, error: str) -> None:
    root.write(TAGGED)
    vultr.fault("GET", pattern, status, body)
    run = root.apply()
    assert (run.code, error in run) == (1, True), run.out
    state = root.state("vultr_instance.this")
    assert (state["tainted"], state["id"]) == (True, vultr.only("instances")["id"])
    assert state["default_password"] == "pässword"
    run = root.apply()
    assert "1 added, 0 changed, 1 destroyed" in run
    assert root.plan().code == 0
    assert vultr.only("instances")["id"] != state["id"]


def test_a_time_limit(root: Root, vultr: Vultr) -> None:
    vultr.pending_polls = 10_000
    root.write(TAGGED.replace('label    = "node"', 'timeouts {\n    create = "1s"\n  }'))
    run = root.apply()
    assert (run.code, "timeout while waiting for state to become 'active' (last state: 'pending', timeout: 1s)" in run) == (1, True)
    assert root.state("vultr_instance.this")["tainted"]


def test_an_interrupt_loses_nothing(root: Root, vultr: Vultr) -> None:
    vultr.pending_polls = 10_000
    root.write(TAGGED)
    process = subprocess.Popen(
        [root.tofu, "apply", "-auto-approve", "-no-color"],
        **{"cwd": root.folder, "env": root.environment, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True},
        start_new_session=True,
    )
    _until(lambda: any(method == "GET" and "/instances/" in path for method, path, _ in vultr.requests))
    # The whole group gets it, as from a keyboard: tofu and the provider.
    os.killpg(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1, out
    assert "context canceled" in out
    state = root.state("vultr_instance.this")
    assert (state["tainted"], state["id"]) == (True, vultr.only("instances")["id"])
    vultr.pending_polls = 0
    run = root.apply()
    assert run.code == 0, run.out
    assert root.plan().code == 0


def test_a_failed_update_keeps_the_old_state(root: Root, vultr: Vultr) -> None:
    root.write(TAGGED)
    assert root.apply().code == 0
    root.write(TAGGED.replace('["a", "b"]', '["c"]'))
    vultr.fault("PATCH", "/instances/", 400, GONE % ("no", 400))
    run = root.apply()
    assert (run.code, "error updating instance " in run) == (1, True)
    assert root.state("vultr_instance.this")["tags"] == ["a", "b"]
    assert "0 added, 1 changed, 0 destroyed" in root.apply()


def test_a_page_without_links_is_named(root: Root, vultr: Vultr) -> None:
    root.write('data "vultr_os" "x" {\n  filter {\n    name = "id"\n    values = ["2284"]\n  }\n}\n')
    vultr.fault("GET", "/os$", 200, '{"os":[]}')
    run = root.apply()
    assert (run.code, "no meta.links.next, without which the real provider panics" in run) == (1, True)


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
