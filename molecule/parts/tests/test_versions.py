"""The versions that the README and docs/versions.md give for Debian 13 are those that its apt would install."""

import os
import re
from pathlib import Path

import pytest
import testinfra

ROOT = Path(os.environ["MOLECULE_PROJECT_DIRECTORY"])


@pytest.mark.parametrize(("package", "column"), [("postgresql-17", 2), ("patroni", 3), ("etcd-server", 4), ("pgbackrest", 5)])
def test_apt_has_what_the_table_says(package, column):
    host = testinfra.get_host("docker://elephant-parts-node-1")
    assert host.check_output(". /etc/os-release && echo $VERSION_ID") == "13"
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| 13 | `distribution` |"))
    candidate = re.search(r"Candidate: ([\d.]+)", host.check_output(f"apt-cache policy {package}"))[1]
    assert f"{candidate}.".startswith(row.strip("| ").split(" | ")[column] + "."), candidate
    name = {"postgresql-17": "PostgreSQL", "etcd-server": "etcd", "pgbackrest": "pgBackRest"}.get(package, "Patroni")
    told = re.search(rf"^\| {name} \| ([\d.]+) \|", (ROOT / "docs/versions.md").read_text(), flags=re.MULTILINE)[1]
    assert f"{candidate}.".startswith(f"{told}."), candidate
