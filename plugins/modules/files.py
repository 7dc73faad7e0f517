#!/usr/bin/python
# Copyright: (c) 2026, The Elephant authors
# SPDX-License-Identifier: Apache-2.0
"""Put several small files in place in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Put several small files in place in one task
description:
  - Writes the given contents, with owner and mode, each file whole or not at all; missing folders are made.
  - One round trip for all of a role's files. M(ansible.builtin.template) in a loop needs two for each, also when nothing changes.
version_added: 0.1.0
author: The Elephant authors (@elephant)
options:
  files:
    description: The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Where it is.
        type: path
        required: true
      content:
        description: What is in it. A line end is added where it is missing.
        type: str
      state:
        description: Whether it is there.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description: Its mode, in quotes.
        type: str
        default: "0644"
      owner:
        description: Who owns it.
        type: str
        default: root
      group:
        description: Its group.
        type: str
        default: root
      validate:
        description:
          - Command that judges the new file, named by C(%s), before it replaces the old one.
          - What it refuses leaves no trace, not even in the times of its folder.
          - In check mode it is not asked if its program is not there yet.
        type: str
        default: ""
attributes:
  check_mode:
    support: full
    description: Says which files would change.
  diff_mode:
    support: full
    description: Shows each file before and after.
"""

EXAMPLES = r"""
- name: The units are in place
  elephant.ha.files:
    files:
      - path: /etc/systemd/system/example.service
        content: "{{ lookup('elephant.ha.template', 'example.service.j2') }}"
      - path: /etc/example.conf
        state: absent
"""

RETURN = r"""
paths:
  description: The files that were, or in check mode would be, changed.
  type: list
  elements: str
  returned: always
"""

import os
import shlex
import shutil
import tempfile
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "validate": {"type": "str", "default": ""},
}


def attributes(module: AnsibleModule, file: dict, path: str) -> dict:
    """Owner and mode of `file` as the module helpers want them, for the file at `path`."""
    return module.load_file_common_arguments({"path": path, "owner": file["owner"], "group": file["group"], "mode": file["mode"]})


def judge(module: AnsibleModule, file: dict, content: str) -> None:
    """Ask the validator; the file that it refuses is named by its real path.

    It is shown elsewhere: beside the real one, what is refused would leave another time on the folder, by which services tell a change.
    """
    words = shlex.split(file["validate"])
    if not words or (module.check_mode and not shutil.which(words[0])):
        return
    with tempfile.NamedTemporaryFile("w", dir=module.tmpdir, prefix="new-") as shown:
        shown.write(content)
        shown.flush()
        status, out, error = module.run_command([part.replace("%s", shown.name) for part in words])
        if status != 0:
            said = (error or out).strip().replace(shown.name, file["path"])
            module.fail_json(msg=f"{file['path']} is refused by {words[0]}: {said}")


def write(module: AnsibleModule, file: dict, content: str) -> None:
    """Through a temporary file beside the real one, which has its owner and mode before it takes the name."""
    judge(module, file, content)
    if module.check_mode:
        return
    path = Path(file["path"])
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".new-", delete=False) as fresh:
        fresh.write(content)
        fresh.flush()
        os.fsync(fresh.fileno())
    try:
        module.set_fs_attributes_if_different(attributes(module, file, fresh.name), changed=False)
        Path(fresh.name).replace(path)
    finally:
        Path(fresh.name).unlink(missing_ok=True)


def ensure(module: AnsibleModule, file: dict) -> dict | None:
    """Make one file what it should be; answer the diff if it was not."""
    path = Path(file["path"])
    before = path.read_text() if path.is_file() else None
    headers = {"before_header": str(path), "after_header": str(path)}
    if file["state"] == "absent":
        if before is None:
            return None
        if not module.check_mode:
            path.unlink()
        return {"before": before, "after": "", **headers}
    content = file["content"] if file["content"].endswith("\n") else file["content"] + "\n"
    if content != before:
        write(module, file, content)
        return {"before": before or "", "after": content, **headers}
    if module.set_fs_attributes_if_different(attributes(module, file, str(path)), changed=False):
        return {"before": "", "after": f"owner {file['owner']}:{file['group']}, mode {file['mode']}\n", **headers}
    return None


def main() -> None:
    """Run as a module."""
    rule = [("state", "present", ["content"])]
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": OPTIONS, "required_if": rule}},
        supports_check_mode=True,
    )
    diffs = {file["path"]: diff for file in module.params["files"] if (diff := ensure(module, file))}
    module.exit_json(changed=bool(diffs), paths=list(diffs), diff=list(diffs.values()))


if __name__ == "__main__":
    main()
