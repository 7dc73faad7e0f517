"""Files that are as they should be are told from others without the module elephant.ha.files; whatever else is left to it."""

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.elephant.ha.plugins.action.files import ActionModule
from ansible_collections.elephant.ha.plugins.modules import files

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}


def on_this_host(command: str, in_data: bytes) -> dict[str, Any]:
    run = subprocess.run(["sh", "-c", command], input=in_data, capture_output=True, check=False)
    return {"rc": run.returncode, "stdout": run.stdout.decode(), "stderr": run.stderr.decode()}


def all_match(files: Any, python: str = sys.executable) -> bool:
    action = object.__new__(ActionModule)
    action._task = SimpleNamespace(args={"files": files}, delegate_to=None)
    action._low_level_execute_command = on_this_host
    return action._all_match({"ansible_python_interpreter": python})


@pytest.fixture(name="there")
def there_fixture(tmp_path: Path) -> dict[str, str]:
    """A file that is as it should be."""
    path = tmp_path / "it's there"
    path.write_text("größer\n")
    path.chmod(0o640)
    return {"path": str(path), "content": "größer", "mode": "0640", **ME}


def test_what_matches_needs_no_module(there, tmp_path):
    assert all_match([there, {"path": str(tmp_path / "gone"), "state": "absent"}])


@pytest.mark.parametrize(
    "other",
    [{"content": "smaller"}, {"mode": "0600"}, {"owner": "nobody"}, {"group": "nogroup"}, {"owner": "no such user"}, {"state": "absent"}],
    ids=lambda it: "-".join(it.values()),
)
def test_what_differs_is_left_to_the_module(there, other):
    assert not all_match([there, {**there, **other}])


def test_what_is_no_file_is_left_to_the_module(there, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(there["path"])
    assert not all_match([{**there, "path": str(link)}])
    assert not all_match([{**there, "path": str(tmp_path)}])
    assert not all_match([{**there, "path": str(tmp_path / "missing")}])


def test_what_cannot_be_asked_is_left_to_the_module(there):
    assert not all_match([{"path": there["path"]}])
    assert not all_match("no list")
    assert not all_match([there], python="/no/such/python")
    assert not all_match([there], python="auto")


class Refused(Exception):
    """What the module ends with when it fails."""


class Module:
    """As the module finds Ansible's: runs the validator on this host."""

    check_mode = False

    def __init__(self, tmpdir: Path) -> None:
        self.tmpdir = str(tmpdir)

    def run_command(self, words: list[str]) -> tuple[int, str, str]:
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        return run.returncode, run.stdout, run.stderr

    def fail_json(self, msg: str) -> None:
        raise Refused(msg)

    def load_file_common_arguments(self, wanted: dict[str, str]) -> dict[str, str]:
        return wanted

    def set_fs_attributes_if_different(self, wanted: dict[str, str], changed: bool) -> bool:
        Path(wanted["path"]).chmod(int(wanted["mode"], 8))
        return changed


def test_a_refused_file_leaves_no_trace_and_a_good_one_takes_its_place(there, tmp_path, tmp_path_factory):
    module = Module(tmp_path_factory.mktemp("elsewhere"))
    asked = {**there, "state": "present", "content": "bad\n", "validate": "sh -c '! grep -n bad %s /dev/null >&2'"}
    # A time that no clock gives, so that whatever is written here shows.
    os.utime(tmp_path, (1, 1))
    with pytest.raises(Refused, match=r"it's there is refused by sh: .*it's there:1:bad"):
        files.ensure(module, {**asked, "path": there["path"]})
    assert tmp_path.stat().st_mtime == 1
    assert Path(there["path"]).read_text() == "größer\n"
    assert files.ensure(module, asked | {"content": "good"})["after"] == "good\n"
    assert Path(there["path"]).read_text() == "good\n"
    assert [it.name for it in tmp_path.iterdir()] == ["it's there"] and not list(Path(module.tmpdir).iterdir())
