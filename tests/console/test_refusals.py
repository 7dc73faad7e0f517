"""What the console refuses, and that each refusal says what to do."""

import ctypes
import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest
from conftest import CHECKOUT
from docker.errors import DockerException

from local import __main__ as console
from local import api, engine, environment, machine, reach, suite, tools, up, vultr_process
from local.paths import Cluster, chosen
from local.say import Refusal


def sentence(call, *args, **kwargs) -> str:
    with pytest.raises(Refusal) as refused:
        call(*args, **kwargs)
    return str(refused.value)


def test_a_world_writable_checkout(tmp_path):
    tmp_path.chmod(0o777)
    assert f"chmod o-w {tmp_path}" in sentence(machine.refuse_a_world_writable_checkout, tmp_path)
    tmp_path.chmod(0o755)
    machine.refuse_a_world_writable_checkout(tmp_path)


def test_too_little_memory():
    assert sentence(machine.refuse_too_little_memory, 2**30).startswith("1.0 GiB of memory are free, and five hosts")
    machine.refuse_too_little_memory(8 * 2**30)


def test_too_few_inotify_instances():
    said = sentence(machine.refuse_too_few_inotify_instances, 128, 100)
    assert said.startswith("100 of 128 inotify instances are in use") and said.endswith("sysctl -w fs.inotify.max_user_instances=1024")
    machine.refuse_too_few_inotify_instances(128, 98)
    assert machine.inotify_limit() > 0


@pytest.mark.skipif(os.geteuid() != 0, reason="what is counted are root's")
def test_inotify_instances_are_counted():
    own = str(os.getpid())
    before = machine.inotify_instances(own)
    descriptors = [ctypes.CDLL(None).inotify_init() for _ in range(3)]
    try:
        assert min(descriptors) >= 0
        assert machine.inotify_instances(own) == before + 3
        assert machine.inotify_instances() >= before + 3
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_too_little_disk(tmp_path):
    assert f"free on the disk of {tmp_path}/not/yet" in sentence(machine.refuse_too_little_disk, tmp_path / "not/yet", 10**9)
    machine.refuse_too_little_disk(tmp_path / "not/yet", 0.001)


def test_a_taken_port(local, monkeypatch):
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        port = somebody.getsockname()[1]
        monkeypatch.setenv("ELEPHANT_VULTR_PORT", str(port))
        said = sentence(vultr_process.refuse_a_taken_port, local)
    assert f"Port {port} on 127.0.0.1 is taken" in said and "ELEPHANT_VULTR_PORT" in said


@pytest.mark.parametrize("port", ["0", "65536", "http", "-1"])
def test_a_port_that_is_none(port, monkeypatch):
    monkeypatch.setenv("ELEPHANT_VULTR_PORT", port)
    assert f"ELEPHANT_VULTR_PORT is {port!r}" in sentence(environment.port, Cluster("local"))


@pytest.mark.parametrize("name", ["Local", "local_1", "-local", "local-", "a b", "../local", "x" * 33])
def test_a_name_that_is_none(name, monkeypatch):
    monkeypatch.setenv("CLUSTER", name)
    assert f"CLUSTER={name!r} is no cluster's name" in sentence(chosen)


@pytest.mark.parametrize("verb", ["up", "down", "env"])
def test_a_cluster_on_vultr_is_not_made_removed_or_pointed_at_here(verb, monkeypatch):
    monkeypatch.setenv("CLUSTER", "production")
    assert "production" in sentence(console.main, verb)


@pytest.mark.parametrize("verb", ["status", "psql", "ssh"])
def test_a_cluster_on_vultr_without_a_key(verb, monkeypatch):
    monkeypatch.setenv("CLUSTER", "production")
    assert "VULTR_API_KEY is not set, and cluster production is on Vultr" in sentence(console.main, verb)


@pytest.mark.parametrize("verb", ["status", "psql", "ssh", "env"])
def test_no_cluster_yet(verb):
    assert sentence(console.main, verb) == "There is no cluster local on this machine yet: make up makes it."


@pytest.mark.parametrize("verb", ["status", "psql", "ssh", "env"])
def test_a_killed_api_process(verb, local):
    assert "The local Vultr of cluster local is not running: make up starts it again" in sentence(console.main, verb)


def test_an_api_that_is_not_the_local_one(local, monkeypatch):
    """Somebody answers at the port and is not ours: nothing is sent, no key, no request but the question who it is."""

    class Answer:
        headers = httpx.Headers()

        def json(self):
            return {"instances": []}

    class Client:
        def __init__(self, **options):
            assert "headers" not in options

        def __enter__(self):
            return self

        def __exit__(self, *args):
            return None

        def get(self, url):
            assert url == "https://api.vultr.com/_emu/health"
            return Answer()

    monkeypatch.setattr(vultr_process.httpx, "Client", Client)
    monkeypatch.setattr(vultr_process.ssl, "create_default_context", lambda cafile: None)
    assert "is not the local Vultr of cluster local: nothing was sent to it" in sentence(vultr_process.insist, local)
    assert "is not the local Vultr" in sentence(api.Api, local)


def test_the_local_vultr_of_another_cluster(local, monkeypatch):
    monkeypatch.setattr(vultr_process, "environment", vultr_process.environment)

    def answer(self, url):
        return type("A", (), {"headers": {vultr_process.HEADER: "local-other"}, "json": lambda self: {"local_vultr": True}})()

    monkeypatch.setattr(vultr_process.httpx.Client, "get", answer)
    monkeypatch.setattr(vultr_process.ssl, "create_default_context", lambda cafile: True)
    assert "is not the local Vultr of cluster local" in sentence(vultr_process.insist, local)


def test_an_http_server_that_is_no_proxy(local, monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("ELEPHANT_VULTR_PORT", str(server.server_address[1]))
        monkeypatch.setattr(vultr_process.ssl, "create_default_context", lambda cafile: True)
        assert "is not running" in sentence(vultr_process.insist, local)
        server.shutdown()


def test_no_docker(monkeypatch):
    monkeypatch.setattr(engine.docker, "from_env", lambda timeout: (_ for _ in ()).throw(DockerException("no such file")))
    monkeypatch.setattr(engine.shutil, "which", lambda name: None)
    assert "apt-get install docker.io" in sentence(engine.client)


def test_docker_without_permission(monkeypatch):
    monkeypatch.setattr(
        engine.docker, "from_env", lambda timeout: (_ for _ in ()).throw(DockerException("PermissionError(13, 'Permission denied')"))
    )
    assert "usermod -aG docker" in sentence(engine.client)


def test_docker_that_does_not_run_and_may_not_be_started(monkeypatch):
    monkeypatch.setattr(engine.docker, "from_env", lambda timeout: (_ for _ in ()).throw(DockerException("no such file")))
    monkeypatch.setattr(engine.shutil, "which", lambda name: "/usr/sbin/dockerd")
    monkeypatch.setattr(engine.os, "geteuid", lambda: 1000)
    assert "systemctl start docker" in sentence(engine.provide)


def test_a_home_too_long_for_sockets(monkeypatch, tmp_path):
    monkeypatch.setenv("ELEPHANT_HOME", f"/tmp/{'x' * 90}")
    assert "set ELEPHANT_HOME to a shorter one" in sentence(lambda: Cluster("local").sockets)


@pytest.mark.parametrize(
    ("node", "said"), [(None, "Which node? make ssh NODE=…"), ("x", "NODE=x is no node of cluster local; there are: a, b")]
)
def test_a_node_that_is_none(node, said, local, monkeypatch, recorded):
    monkeypatch.setattr(vultr_process, "insist", lambda cluster: None)
    monkeypatch.setattr(reach, "inventory", lambda cluster, env: {"vars": {"b": {}, "a": {}}, "groups": {}})
    assert said in sentence(reach.ssh, local, node)


def test_nobody_leads(local, monkeypatch, recorded):
    monkeypatch.setattr(vultr_process, "insist", lambda cluster: None)
    monkeypatch.setattr(reach, "inventory", lambda cluster, env: {"vars": {"a": {}}, "groups": {"postgresql": ["a"]}})
    assert "make status shows what they say" in sentence(reach.psql, local)


def test_a_provider_that_is_no_program(local, monkeypatch):
    monkeypatch.setenv("VULTR_PROVIDER", "/nowhere")
    assert "VULTR_PROVIDER=/nowhere is no program" in sentence(up.tofu_files, local)


def test_a_program_that_was_not_built(monkeypatch):
    monkeypatch.setattr(tools, "_on_path", lambda name: None)
    assert "tofu is not there yet" in sentence(tools.tool, "tofu")


def test_a_scenario_that_is_none():
    assert "There is no scenario molecule/nothing" in sentence(suite.scenario, "nothing")


def test_two_at_once(local):
    from local.lock import held

    with held(local):
        code = "from local.lock import held; from local.paths import Cluster\nwith held(Cluster('local')): pass"
        second = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, env=os.environ, capture_output=True, text=True)
    assert "Another make up or make down is at work on cluster local" in second.stderr


def test_a_process_that_only_looks_like_ours_is_left_alone(local):
    """Same folder in its environment, other program; same program, other folder: neither is the local Vultr."""
    env = {**os.environ, "ELEPHANT_VULTR_STATE": str(local.vultr)}
    other = subprocess.Popen([sys.executable, "-c", "input()"], env=env, stdin=subprocess.PIPE)
    try:
        assert vultr_process.running(local) is None
        assert vultr_process.stop(local) is False
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()


def test_down_leaves_the_keys_of_a_cluster_that_up_did_not_make(local):
    shutil.rmtree(local.vultr, ignore_errors=True)
    local.make_folder()
    (local.folder / "state.key").write_text("kept")
    assert "make up did not make" in sentence(console.main, "down")
    assert (local.folder / "state.key").read_text() == "kept"


def test_down_without_an_engine_keeps_the_folder_that_says_what_there_is(local, monkeypatch):
    def gone(cluster):
        raise engine.machines.EngineError("The Docker engine of this machine does not answer: start it.")

    monkeypatch.setattr(engine.machines, "remove_all", gone)
    assert "start it" in sentence(console.main, "down")
    assert local.folder.exists()


def test_down_says_where_that_lies_which_it_leaves(local, monkeypatch, capsys):
    monkeypatch.setattr("local.down.remove_all", lambda name: [])
    (local.drills / "2026-11-23T120000Z").mkdir(parents=True)
    console.main("down")
    assert not local.folder.exists() and f"What its drills found stays: {local.drills}" in capsys.readouterr().err
    local.make_folder()
    shutil.rmtree(local.drills)
    console.main("down")
    assert "drills" not in capsys.readouterr().err


def test_tests_are_told_no_cluster(recorded, monkeypatch):
    monkeypatch.setenv("CLUSTER", "local")
    assert not {"CLUSTER", "ELEPHANT_HOME", "NODE"} & set(suite.surroundings())
