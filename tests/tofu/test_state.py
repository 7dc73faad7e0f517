"""The state's encryption, with tofu itself: the project's state.tf and key program beside one resource that needs no provider."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from conftest import ROOT, Tofu

SECRET = "a-root-password"
MAIN = f"""
variable "cluster_name" {{
  default = "elephant"
}}
variable "secret" {{
  default = "{SECRET}"
}}
resource "terraform_data" "server" {{
  input = var.secret
}}
output "secret" {{
  value = terraform_data.server.output
}}
"""


@pytest.fixture
def tofu(tmp_path: Path, program: str, home: Path) -> Tofu:
    """A root whose state is encrypted as the project's is, before its first command."""
    folder = tmp_path / "root"
    folder.mkdir()
    (folder / "main.tf").write_text(MAIN)
    for name in ("state.tf", "state_key.py"):
        shutil.copy(ROOT / name, folder)
    return Tofu(program, folder, home, {"TF_CLI_CONFIG_FILE": "/dev/null"})


def outputs(tofu: Tofu, *arguments: str, **more: str | None) -> str:
    return json.loads(tofu.ok("output", "-json", *arguments, **more).out)["secret"]["value"]


def test_nothing_is_written_in_clear_and_nothing_has_to_be_typed(tofu):
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    tofu.ok("plan", "-out=saved", "-var=secret=another-root-password")
    tofu.ok("apply", "saved")
    written = [path for path in tofu.folder.iterdir() if path.name.startswith(("terraform.tfstate", "saved"))]
    assert {path.name for path in written} == {"terraform.tfstate", "terraform.tfstate.backup", "saved"}
    for path in written:
        assert b"root-password" not in path.read_bytes()
        assert tofu.key.read_text().strip().encode() not in path.read_bytes()
    assert not zipfile.is_zipfile(tofu.folder / "saved")  # what a plan in clear is, and compression hides words as well
    assert outputs(tofu) == "another-root-password"
    assert tofu("plan", "-detailed-exitcode", "-var=secret=another-root-password").code == 0


def test_from_another_folder_with_settings_in_a_file(tofu, tmp_path):
    settings = tmp_path / "mine.tfvars"
    settings.write_text('secret = "from a file"')
    chdir = f"-chdir={tofu.folder}"
    tofu.ok(chdir, "init", folder=tmp_path)
    tofu.ok(chdir, "apply", "-auto-approve", f"-var-file={settings}", folder=tmp_path)
    assert outputs(tofu) == "from a file"


def test_with_the_state_and_the_data_elsewhere(tofu, tmp_path):
    state = f"-state={tmp_path / 'elsewhere.tfstate'}"
    data = str(tmp_path / "data")
    tofu.ok("init", TF_DATA_DIR=data)
    tofu.ok("apply", "-auto-approve", state, TF_DATA_DIR=data)
    assert outputs(tofu, state, TF_DATA_DIR=data) == SECRET
    assert not (tofu.folder / "terraform.tfstate").exists()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_lost_key_stops_every_command_and_stays_lost(tofu, tmp_path, elsewhere):
    state = (f"-state={tmp_path / 'elsewhere.tfstate'}",) if elsewhere else ()
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve", *state)
    kept = tofu.key.rename(tmp_path / "kept.key")
    for command in (("plan",), ("apply", "-auto-approve"), ("output",), ("destroy", "-auto-approve")):
        done = tofu(*command, *state)
        assert done.code == 1, done.out
        assert "the key that opens it is gone" in done
    assert not tofu.key.exists()
    kept.rename(tofu.key)
    assert outputs(tofu, *state) == SECRET


def test_another_key_does_not_open_the_state(tofu):
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    before = (tofu.folder / "terraform.tfstate").read_bytes()
    tofu.key.write_text("A" * 43 + "=\n")
    done = tofu("apply", "-auto-approve", "-var=secret=new")
    assert done.code == 1
    assert "not the one that this state of the cluster elephant was encrypted with" in done
    assert (tofu.folder / "terraform.tfstate").read_bytes() == before


def test_a_shell_for_another_cluster_leaves_the_states_key_alone(tofu):
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    tofu.ok("apply", "-auto-approve", "-var=secret=new", CLUSTER="local")
    assert [path.name for path in tofu.key.parents[1].iterdir()] == ["elephant"]
    assert outputs(tofu) == "new"


def test_another_clusters_state_beside_ones_own_keeps_its_key(tofu, tmp_path):
    """As in a shell that points at the local cluster, in the folder that holds the user's own state."""
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    before = (tofu.folder / "terraform.tfstate").read_bytes()
    state = f"-state={tmp_path / 'local.tfstate'}"
    local = {"CLUSTER": "local", "TF_VAR_cluster_name": "local", "TF_CLI_ARGS_apply": state, "TF_CLI_ARGS_output": state}
    tofu.ok("apply", "-auto-approve", "-var=secret=local", **local)
    tofu.ok("apply", "-auto-approve", "-var=secret=local again", **local)
    assert outputs(tofu, **local) == "local again"
    shutil.rmtree(tofu.key.parents[1] / "local")
    assert outputs(tofu) == SECRET
    assert (tofu.folder / "terraform.tfstate").read_bytes() == before


def test_two_people_share_a_state_by_its_key(tofu, tmp_path):
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    theirs = Tofu(tofu.program, tofu.folder, tmp_path / "colleague", tofu.environment)
    assert "the key that opens it is gone" in theirs("plan")
    theirs.key.parent.mkdir(parents=True)
    shutil.copy(tofu.key, theirs.key)
    theirs.ok("apply", "-auto-approve", "-var=secret=theirs")
    assert outputs(tofu) == "theirs"


def test_the_manuals_way_to_another_key(tofu):
    tofu.ok("init")
    tofu.ok("apply", "-auto-approve")
    old = tofu.key.read_text()
    plain = tofu.folder / "plain.tfstate"
    plain.write_text(tofu.ok("state", "pull").out)
    assert SECRET in plain.read_text()
    (tofu.folder / "terraform.tfstate").rename(tofu.folder / "terraform.tfstate.old")
    tofu.key.rename(tofu.key.with_suffix(".key.old"))
    tofu.ok("state", "push", "plain.tfstate")
    assert tofu.key.read_text() != old
    assert tofu("plan", "-detailed-exitcode").code == 0
    assert SECRET not in (tofu.folder / "terraform.tfstate").read_text()
