# Copyright: The Elephant authors
# Apache-2.0 (see LICENSE)
"""Which files are not as they should be? Standard library only: the action plugin of M(elephant.ha.files) sends this source to the host.

It reads a JSON list of {path, state, digest, owner, group, mode} from its standard input, and prints the paths of those that differ.
"""

from __future__ import annotations

import grp
import hashlib
import json
import pwd
import stat
import sys
from pathlib import Path


def matches(file: dict[str, str]) -> bool:
    """Whether the file is there with this SHA-256, owner, group and mode; or, when its state is absent, is not there."""
    path = Path(file["path"])
    try:
        now = path.lstat()
    except OSError:
        return file["state"] == "absent"
    if file["state"] == "absent" or not stat.S_ISREG(now.st_mode):
        return False
    try:
        owner, group = pwd.getpwnam(file["owner"]).pw_uid, grp.getgrnam(file["group"]).gr_gid
    except KeyError:
        return False
    if (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) != (owner, group, int(file["mode"], 8)):
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file["digest"]


if __name__ == "__main__":
    print(json.dumps([file["path"] for file in json.load(sys.stdin) if not matches(file)]))
