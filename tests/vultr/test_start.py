"""What is told to a person who starts the local Vultr where it cannot work."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509

from local.vultr.ca import ensure_authority
from local.vultr.config import Config, ConfigError
from local.vultr.engine import EngineError
from local.vultr.machines import DockerMachines
from local.vultr.storage import DockerStorage

CHECKOUT = Path(__file__).resolve().parents[2]


def start(folder: Path, **more: str) -> str:
    """The one line with which `serve` gives up."""
    own = {"CLUSTER": "local-nowhere", "ELEPHANT_VULTR_STATE": str(folder), "ELEPHANT_VULTR_PORT": "18099"}
    command = [sys.executable, "-m", "local.vultr", "serve"]
    run = subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **own, **more}, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1 and "Traceback" not in run.stderr, run.stderr
    return run.stderr.strip()


def test_a_taken_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert start(tmp_path, ELEPHANT_VULTR_PORT=port).startswith(f"Port {port} of 127.0.0.1 cannot be had")
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_another_process_holds(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert start(tmp_path).startswith(f"Another local Vultr has {tmp_path} open")


def test_a_broken_state_file(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    assert start(tmp_path).startswith(f"{tmp_path}/state.json cannot be read")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ELEPHANT_VULTR_PORT", "http"),
        ("VULTR_VPC2", "maybe"),
        ("ELEPHANT_PUBLIC_NETWORK", "10.0.0.1/24"),
        ("ELEPHANT_PUBLIC_NETWORK", "10.0.0.0/30"),
    ],
)
def test_a_setting_that_cannot_work_is_named(variable: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"{variable} is '{value}'"):
        Config.from_environment({variable: value})


def test_defaults() -> None:
    config = Config.from_environment({"ELEPHANT_HOME": "/x"})
    assert (config.cluster, config.state, config.port, config.vpc2) == ("local", Path("/x/local/vultr"), 18080, "gone")


def test_no_engine_and_no_versitygw_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    config = Config(cluster="local-nowhere", state=tmp_path, versitygw=tmp_path / "versitygw")
    machines = DockerMachines(config, b"")
    with ThreadPoolExecutor(1) as fresh:
        # A thread of its own has no client yet.
        assert fresh.submit(machines.problems).result()[0].startswith("The Docker engine of this machine does not answer: start it")
        with pytest.raises(EngineError, match="does not answer"):
            fresh.submit(machines.running).result()
    assert DockerStorage(config, machines, ensure_authority(tmp_path, "x")).problems()[0].startswith("There is no versitygw at")


def test_the_ca_can_vouch_for_vultr_only_and_its_key_is_private(tmp_path: Path) -> None:
    authority = ensure_authority(tmp_path, "local")
    names = authority.certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert names.critical and names.value.permitted_subtrees == [x509.DNSName("api.vultr.com"), x509.DNSName("vultrobjects.com")]
    assert stat.S_IMODE((tmp_path / "mitmproxy-ca.pem").stat().st_mode) == 0o600
    assert ensure_authority(tmp_path, "local").pem == authority.pem
