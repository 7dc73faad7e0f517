"""Recorded conversations of the real provider, boiled down to what each object's life looks like on the wire.

`recorded.json` was made from recordings of terraform-provider-vultr 2.32.0 (see its `source`) by

    python tests/provider/recordings.py NAME=RECORDING.jsonl ... > tests/provider/recorded.json

where a recording has one exchange a line, with the keys step, method, path, request and response.
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Exchange = tuple[str, str, Any, Any]  # method, path, request, response
Lives = dict[str, list[list[Any]]]  # object -> its requests: method, path, body

RECORDED = Path(__file__).with_name("recorded.json")
_NAMES = ("label", "name", "description")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def boil_down(exchanges: Iterable[Exchange], names: dict[str, str]) -> Lives:
    """Requests by object, ids replaced by names such as `{vpcs h1}`. `names` is kept over the steps of one recording.

    The order of calls matters within one object's life only: between objects it is tofu's, and differs from run to run.
    """
    lives: Lives = {}
    for method, path, request, response in exchanges:
        base = path.partition("?")[0].removeprefix("/v2/").split("/")
        if method == "POST" and len(base) == 1:
            (made,) = response.values()
            names[made["id"]] = "{" + f"{base[0]} {next((request[key] for key in _NAMES if request.get(key)), '')}".strip() + "}"
        if method == "POST" and base[0] == "load-balancers":
            request = request | {
                key: sorted(request[key], key=json.dumps) for key in ("forwarding_rules", "firewall_rules") if key in request
            }
        owner = names.get(base[1], "") if len(base) > 1 else ""
        if not owner:
            owner = names[response[next(iter(response))]["id"]] if method == "POST" else "/".join(base)
        if base[2:3] == ["rules"]:
            # Numbers of rules depend on which was made first: the rule is known by its protocol.
            number = base[3] if len(base) > 3 else str(response["firewall_rule"]["id"])
            if method == "POST":
                names[f"{base[1]} {number}"] = f"rule {request['protocol']}"
            owner = f"{owner} {names[f'{base[1]} {number}']}"
            path = path.removesuffix(f"/{number}") + ("/{rule}" if len(base) > 3 else "")
        if base[2:3] == ["bucket"]:
            owner += " bucket"
        lives.setdefault(owner, []).append([method, _named(path, names), json.loads(_named(json.dumps(request), names))])
    return lives


def _named(text: str, names: dict[str, str]) -> str:
    return _UUID.sub(lambda found: names.get(found[0], found[0]), text)


def main(recordings: list[str]) -> None:
    """Boil recordings down to standard output."""
    told: dict[str, Any] = {"source": "terraform-provider-vultr v2.32.0+1 (govultr v3.32.0) against an emulator, 2026-11-23"}
    for recording in recordings:
        name, _, file = recording.partition("=")
        names: dict[str, str] = {}
        steps: dict[str, list[Exchange]] = {}
        for line in Path(file).read_text().splitlines():
            item = json.loads(line)
            steps.setdefault(item["step"], []).append((item["method"], item["path"], item["request"], item["response"]))
        told[name] = {step: boil_down(exchanges, names) for step, exchanges in steps.items()}
    # A line for each request.
    text = json.dumps(told, indent=1, ensure_ascii=False)
    print(re.sub(r'\[\n\s+"(GET|POST|PUT|PATCH|DELETE)",(.*?)\n    \]', lambda m: re.sub(r"\n\s*", " ", m[0]), text, flags=re.DOTALL))


if __name__ == "__main__":
    main(sys.argv[1:])
