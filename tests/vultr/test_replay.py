"""The requests of the real clients (tofu with the vultr provider, the inventory plugin), as they were recorded, answered here.

The recorded answers came from a stand-in that the real clients accepted. So ours must have the same status, and at least the same
fields with the same types, and a create must echo what was asked for. Recorded failures that were injected into the stand-in are
left out (test_api and test_lives have their own), and repeated reads were dropped from the files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .conftest import SSH_KEY, Vultr, until

RECORDINGS = Path(__file__).parent / "recordings"
NOT_EMULATED = ("/v2/load-balancers", "/v2/blocks", "/v2/reserved-ips")
# The recorder's server took these; S3 and OpenSSH would not.
VALID = {"ssh-ed25519 AAAA h1": SSH_KEY, '"bk"': '"bkt"', "/bucket/bk": "/bucket/bkt"}
# What the provider holds against its plan: another value would show up as a change.
ECHOED = {"region", "plan", "os_id", "hostname", "label", "user_scheme", "vpc_only", "snapshot_id", "image_id", "app_id", "tags"}
ECHOED |= {"description", "v4_subnet", "v4_subnet_mask", "ip_type", "protocol", "port", "subnet", "subnet_size", "source", "notes", "name"}
ECHOED |= {"cluster_id", "s3_hostname", "location"}


class Replay:
    """Plays a recording: knows which of our ids stands for which recorded one."""

    def __init__(self, vultr: Vultr) -> None:
        self.vultr = vultr
        self.ids: dict[str, str] = {}
        self.cursor = ""
        self.played = 0

    def ours(self, value: Any) -> Any:
        """A recorded path or body, with our ids."""
        text = json.dumps(value)
        for recorded, mine in self.ids.items():
            text = text.replace(recorded, mine)
        for invented, valid in VALID.items():
            text = text.replace(invented, valid)
        return json.loads(text)

    def learn(self, recorded: Any, answer: Any) -> None:
        """Pair the ids of what was just made."""
        if isinstance(recorded, dict) and isinstance(answer, dict):
            for (name, one), other in zip(recorded.items(), (answer.get(name) for name in recorded), strict=True):
                if name == "id" and isinstance(one, str) and isinstance(other, str):
                    self.ids[one] = other
                self.learn(one, other)

    def known(self, path: str) -> bool:
        """Whether every id in a path belongs to something that was made in this replay."""
        return all(found in self.ids for found in re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", path))

    def play(self, row: dict[str, Any]) -> None:
        path, status = row["path"], row["status"]
        if path.startswith(NOT_EMULATED):
            self.vultr.call(row["method"], path, row["request"], 501)
            return
        # The orphan of a create whose answer was lost keeps its VPC; all other failures were injected.
        busy = row["step"] == "post-503-after" and row["method"] == "DELETE" and path.startswith("/v2/vpcs/") and status == 400
        if row["step"] == "patch-empty-200":
            return  # an injected answer, too
        gone = path.endswith("/vpc2") and self.vultr.vpc2 == "gone"
        if (status >= 400 and not busy and not gone) or not self.known(path):
            return
        query = {name: self.cursor if name == "cursor" else value for name, value in row["query"].items()}
        self.prepare(row)
        answer = self.vultr.call(row["method"], self.ours(path), self.ours(row["request"]), status, params=query)
        self.played += 1
        if row["method"] == "POST":
            self.learn(row["response"], answer)
            self.echoes(row, answer)
            self.finish(answer)
        if isinstance(answer, dict) and "meta" in answer:
            self.cursor = answer["meta"]["links"]["next"]
        if row.get("response") is not None:
            compare(self.ours(row["response"]), answer, f"{row['step']}: {row['method']} {path}")

    def prepare(self, row: dict[str, Any]) -> None:
        """What the recorder did through its own door: remove an orphan, or everything in a network that it used again."""
        body = row["request"] or {}
        for vpc in self.vultr.call("GET", "/v2/vpcs")["vpcs"]:
            again = row["path"] == "/v2/vpcs" and row["method"] == "POST" and vpc["v4_subnet"] == body["v4_subnet"]
            freed = row["method"] == "DELETE" and row["status"] == 204 and self.ours(row["path"]).endswith(vpc["id"])
            if again or freed:
                for one in self.vultr.call("GET", f"/v2/vpcs/{vpc['id']}/attachments")["attachments"]:
                    self.vultr.call("DELETE", f"/v2/instances/{one['id']}", status=204)
            if again:
                self.vultr.call("DELETE", f"/v2/vpcs/{vpc['id']}", status=204)

    def echoes(self, row: dict[str, Any], answer: Any) -> None:
        """A create shows what was asked for: the client holds it against its plan."""
        made = next(iter(answer.values())) if answer else {}
        for name in ECHOED & (row["request"] or {}).keys() & made.keys():
            asked = self.ours(row["request"])[name]
            assert made[name] == asked or not asked, f"{row['step']}: {row['path']}.{name} is {made[name]!r}, asked for {asked!r}"

    def finish(self, answer: Any) -> None:
        """Wait as the client did before its next read."""
        if answer and "instance" in answer:
            self.vultr.settled(answer["instance"]["id"])
        if answer and "object_storage" in answer:
            path = f"/v2/object-storage/{answer['object_storage']['id']}"
            until(lambda: self.vultr.call("GET", path)["object_storage"]["status"] == "active")


def compare(recorded: Any, answer: Any, where: str) -> None:
    """Every field that the client was given is there, and of the same type."""
    if isinstance(recorded, dict):
        assert isinstance(answer, dict), f"{where} is no object"
        for name, value in recorded.items():
            assert name in answer, f"{where} has no {name}"
            compare(value, answer[name], f"{where}.{name}")
    elif isinstance(recorded, list):
        assert isinstance(answer, list), f"{where} is no list"
        if recorded and answer:
            compare(recorded[0], answer[0], f"{where}[0]")
    elif isinstance(recorded, bool) or not isinstance(recorded, int | float):
        assert type(answer) is type(recorded), f"{where} is {answer!r}, was {recorded!r}"
    else:
        assert isinstance(answer, int | float) and not isinstance(answer, bool), f"{where} is {answer!r}, was {recorded!r}"


@pytest.mark.parametrize(
    ("recording", "vpc2", "least"),
    [("instances", "empty", 150), ("extras", "empty", 20), ("vpc2-gone", "gone", 20), ("misc", "empty", 400)],
)
def test_what_the_real_clients_send_is_answered(vultr: Vultr, recording: str, vpc2: str, least: int) -> None:
    vultr.vpc2 = vpc2
    vultr.restart()
    replay = Replay(vultr)
    for line in (RECORDINGS / f"{recording}.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["step"] == "post-503-after" and row["status"] == 503:
            vultr.faults(after_create_503=1)
            vultr.call("POST", "/v2/instances", replay.ours(row["request"]), 503)
            continue
        replay.play(row)
    assert replay.played >= least


def test_the_inventory_plugin_gets_every_field_and_every_page(vultr: Vultr) -> None:
    vpc = vultr.vpc()
    for number in range(5):
        vultr.instance(f"h1-{number}", tags=["cluster=h1", "role=etcd"], attach_vpc=[vpc])
    rows = [json.loads(line) for line in (RECORDINGS / "inventory.jsonl").read_text().splitlines()]
    first = next(row for row in rows if row["step"] == "inventory")
    answer = vultr.call(first["method"], first["path"], params=first["query"])
    assert first["response"]["instances"][0].keys() <= answer["instances"][0].keys()
    labels: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = vultr.call("GET", "/v2/instances", params={"per_page": 2, **({"cursor": cursor} if cursor else {})})
        labels += [one["label"] for one in answer["instances"]]
        cursor = answer["meta"]["links"]["next"] or None
    assert labels == [f"h1-{number}" for number in range(5)]
