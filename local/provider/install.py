"""Lay the stand-in out as a filesystem mirror, with the CLI configuration that makes tofu use it."""

import argparse
import platform
import shlex
import sys
from pathlib import Path

from local.provider import ADDRESS, VERSION

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_LAUNCHER = """\
#!/bin/sh
# Elephant's stand-in for {address}; started by tofu.
PYTHONPATH={checkout} exec {python} -P -m local.provider serve
"""
_CONFIG = """\
# Providers come from this folder only: there is no `direct` block, so nothing is downloaded.
provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["registry.opentofu.org/*/*"]
  }}
}}
"""


def install(mirror: Path, config: Path | None = None, python: Path | None = None) -> Path:
    """Write the launcher into `mirror` and the CLI configuration to `config` (default: `tofu.rc` beside the mirror).

    `python` is the interpreter that has the packages of `local/` (default: the one that runs this). Returns the path of
    the configuration, which belongs into TF_CLI_CONFIG_FILE. Both files are left alone when they already say the right thing.
    """
    mirror = mirror.resolve()
    config = (config or mirror.parent / "tofu.rc").resolve()
    machine = platform.machine()
    folder = mirror / ADDRESS / VERSION / f"linux_{_MACHINES.get(machine, machine)}"
    launcher = folder / "terraform-provider-vultr"
    folder.mkdir(parents=True, exist_ok=True)
    config.parent.mkdir(parents=True, exist_ok=True)
    _write(
        launcher,
        _LAUNCHER.format(
            address=ADDRESS,
            checkout=shlex.quote(str(Path(__file__).resolve().parents[2])),
            # Not resolved: a venv's interpreter is a link, and only its own path finds the venv's packages.
            python=shlex.quote(str((python or Path(sys.executable)).absolute())),
        ),
    )
    launcher.chmod(0o755)
    _write(config, _CONFIG.format(mirror=str(mirror).replace("\\", "\\\\").replace('"', '\\"')))
    return config


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(argv: list[str]) -> int:
    """The command line: `install MIRROR [--config FILE] [--python PATH]`; prints the path of the CLI configuration."""
    parser = argparse.ArgumentParser(prog="python -m local.provider", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("install", help="lay out the mirror and write the CLI configuration")
    command.add_argument("mirror", type=Path, help="folder of the mirror")
    command.add_argument("--config", type=Path, help="CLI configuration to write (default: tofu.rc beside the mirror)")
    command.add_argument("--python", type=Path, help="interpreter with the packages of local/ (default: this one)")
    commands.add_parser("serve", help="what tofu starts; not for a person at a keyboard")
    args = parser.parse_args(argv)
    print(install(args.mirror, args.config, args.python))
    return 0
