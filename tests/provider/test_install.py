"""The mirror and the CLI configuration."""

import os
import subprocess
import sys
from pathlib import Path

from local.provider.install import install


def test_layout(tmp_path: Path) -> None:
    config = install(tmp_path / "a mirror" / "providers")
    (launcher,) = (path for path in (tmp_path / "a mirror").rglob("*") if path.is_file() and path != config)
    assert launcher.name == "terraform-provider-vultr"
    assert "registry.opentofu.org/vultr/vultr/2.33.0/linux_" in str(launcher.parent)
    assert os.access(launcher, os.X_OK)
    assert config == tmp_path / "a mirror" / "tofu.rc"
    assert f'path    = "{tmp_path}/a mirror/providers"' in config.read_text()
    assert "direct {" not in config.read_text()


def test_again_changes_nothing(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in [install(tmp_path / "m"), *(tmp_path / "m").rglob("*")]}
    install(tmp_path / "m")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_command_line_and_launcher(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "local.provider", "install", str(tmp_path / "m"), "--config", str(tmp_path / "rc")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(tmp_path / "rc")
    (launcher,) = (tmp_path / "m").rglob("terraform-provider-vultr")
    # Started in a folder that has a `local` of its own, as a user's root may have.
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "__init__.py").write_text("raise SystemExit('the wrong package')")
    process = subprocess.Popen([launcher], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("1|6|unix|")
    finally:
        process.kill()
        process.communicate()
