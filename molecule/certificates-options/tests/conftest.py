"""The hosts by name, and the folders of their CAs on the controller."""

import os
import shlex
from pathlib import Path

import pytest
import testinfra

FOLDER = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "elephant"


@pytest.fixture(scope="session")
def nodes():
    names = ("made", "signed", "supplied")
    return {name: testinfra.get_host(f"docker://elephant-certificates-options-{name}") for name in names}


@pytest.fixture(scope="session")
def authority():
    """`authority("made")`: the folder of that host's CA."""
    return lambda name: FOLDER / name


@pytest.fixture(scope="session")
def tls():
    """`tls("made")`: the folder of the certificates on that host."""
    return lambda name: "/srv/tls/elephant" if name == "made" else "/etc/elephant/certificates"


@pytest.fixture(scope="session")
def watch():
    """`watch(host, days)`: exit code of the unit that looks every day, as it would find things `days` from now, by faketime."""

    def look(host, days):
        library = host.check_output("find /usr/lib -name libfaketime.so.1")
        folder = "/run/systemd/system/elephant-certificates.service.d"
        drop_in = f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME=+{days}d\n"
        host.check_output(f"mkdir -p {folder} && printf %s {shlex.quote(drop_in)} > {folder}/later.conf && systemctl daemon-reload")
        code = host.run("systemctl start elephant-certificates.service").rc
        host.check_output(f"rm -r {folder} && systemctl daemon-reload")
        return code

    return look
