"""A role's preflight, run in this process: milliseconds a row, nothing but variables needed.

A test takes the fixture and asks it for the sentence that a person would read:

    def test_even_count(refusal):
        assert "odd" in refusal("etcd", {"etcd_members": [...]})
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar, trust_as_template

ROOT = Path(__file__).parents[2]
ROLES = ROOT / "roles"
Task = dict[str, Any]

# What Ansible itself would set, with the values that a plain run on one host has. A test may override each.
MAGIC: dict[str, Any] = {
    "ansible_check_mode": False,
    "ansible_diff_mode": False,
    "ansible_facts": {},
    "ansible_version": {"full": "2.19.14", "major": 2, "minor": 19},
    "inventory_hostname": "node-1",
    "inventory_hostname_short": "node-1",
    "groups": {"all": ["node-1"]},
    "omit": None,
}
# Keywords that change what is said or when, not whether the variables are right.
IGNORED = {"name", "tags", "register", "run_once", "no_log", "become", "changed_when", "check_mode", "delegate_to", "loop_control"}


@cache
def _loader() -> DataLoader:
    init_plugin_loader([str(ROOT / ".collections")])
    return DataLoader()


def _yaml(path: Path) -> Any:
    return _loader().load_from_file(str(path), trusted_as_template=True) if path.exists() else None


def _trusted(value: Any) -> Any:
    """Variables of a test are templates wherever an inventory's would be."""
    if isinstance(value, str):
        return trust_as_template(value)
    if isinstance(value, dict):
        return {key: _trusted(item) for key, item in value.items()}
    return [_trusted(item) for item in value] if isinstance(value, list) else value


class Refused(Exception):
    """The sentence with which a preflight refuses."""


def _templar(variables: dict[str, Any]) -> Templar:
    return Templar(loader=_loader(), variables=variables)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _holds(conditions: Any, variables: dict[str, Any]) -> bool:
    templar = _templar(variables)
    return all(templar.evaluate_conditional(it) for it in _listed(conditions))


def _rounds(task: Task, variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The variables of each turn of a task's loop, or of its only turn."""
    variables = variables | _trusted(task.get("vars", {}))
    if "loop" not in task:
        yield variables
        return
    loop_var = task.get("loop_control", {}).get("loop_var", "item")
    for item in _templar(variables).template(task["loop"]):
        yield variables | {loop_var: item}


def _act(action: str, arguments: dict[str, Any], role: Path, variables: dict[str, Any]) -> dict[str, Any]:
    """Do one task; answer the facts that it set."""
    templar = _templar(variables)
    match action:
        case "assert":
            if not _holds(arguments["that"], variables):
                message = templar.template(arguments.get("fail_msg", arguments.get("msg", "Assertion failed")))
                raise Refused("\n".join(_listed(message)))
        case "fail":
            raise Refused(templar.template(arguments.get("msg", "Failed as requested from task")))
        case "set_fact":
            return dict(templar.template(arguments))
        case "debug":
            templar.template(arguments)
        case "import_tasks" | "include_tasks":
            name = templar.template(arguments.get("file", arguments.get("_raw")))
            return _run(_yaml(role / "tasks" / name), role, variables)
        case _:
            raise TypeError(f"{role.name}: preflight judges variables and nothing else, but has a task {action}")
    return {}


def _run(tasks: list[Task], role: Path, variables: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for task in tasks or []:
        for turn in _rounds(task, variables | facts):
            if not _holds(task.get("when", []), turn):
                continue
            if "block" in task:
                facts |= _run(task["block"], role, turn)
                continue
            (action,) = set(task) - IGNORED - {"when", "vars", "loop"}
            given = task[action]
            facts |= _act(action.removeprefix("ansible.builtin."), given if isinstance(given, dict) else {"_raw": given}, role, turn)
    return facts


def _validate(role: Path, variables: dict[str, Any]) -> None:
    """What Ansible does with argument_specs before the first task of the role."""
    spec = _yaml(role / "meta/argument_specs.yml")["argument_specs"]["preflight"].get("options", {})
    given = _templar(variables).template({name: variables[name] for name in spec if name in variables})
    errors = ArgumentSpecValidator(spec).validate(given, validate_role_argument_spec=True).error_messages
    if errors:
        raise Refused("\n".join(errors))


def _merged(role: str, variables: dict[str, Any]) -> dict[str, Any]:
    """What a task of the role sees. Precedence is Ansible's: the role's defaults, then `variables`, then the role's vars."""
    path = ROLES / role
    merged = MAGIC | {"role_path": str(path), "role_name": role}
    merged |= (_yaml(path / "defaults/main.yml") or {}) | _trusted(variables)
    # Ansible reads a file vars/main.yml, or every file of a folder vars/main.
    for constants in [path / "vars/main.yml", *sorted((path / "vars/main").glob("*.yml"))]:
        merged |= _yaml(constants) or {}
    return merged


def run_preflight(role: str, variables: dict[str, Any]) -> str | None:
    """Judge `variables` as `include_role: {name: <role>, tasks_from: preflight}` would; answer the refusal, or None.

    Tasks other than assert, fail, set_fact, debug and including another file raise TypeError: preflight must not need a host.
    """
    path, merged = ROLES / role, _merged(role, variables)
    try:
        _validate(path, merged)
        _run(_yaml(path / "tasks/preflight.yml"), path, merged)
    except Refused as refused:
        return str(refused)
    return None


def run_role_judgements(role: str, tasks: str, variables: dict[str, Any]) -> str | None:
    """The refusal of a task file of a role, or None; `variables` stand for what its other tasks would have found on hosts."""
    path = ROLES / role
    try:
        _run([task for task in _yaml(path / "tasks" / tasks) if "ansible.builtin.assert" in task], path, _merged(role, variables))
    except Refused as refused:
        return str(refused)
    return None


def run_judgements(tasks: str, variables: dict[str, Any]) -> str | None:
    """The refusal of a task file of the playbooks, or None.

    Its asserts are judged over the mapping and `variables`, which stand for what its other tasks would have found.
    """
    playbooks = ROOT / "playbooks"
    merged = MAGIC | {"hostvars": {}, "group_names": []} | (_yaml(playbooks / "vars/cluster.yml") or {}) | _trusted(variables)
    try:
        _run([task for task in _yaml(playbooks / "tasks" / tasks) if "ansible.builtin.assert" in task], playbooks, merged)
    except Refused as refused:
        return str(refused)
    return None


def run_mapping(name: str, host: str, inventory: dict[str, list[str]], **variables: Any) -> Any:
    """What playbooks/vars/cluster.yml makes of a variable for a host of the inventory, a group: its names; the n-th is 192.0.2.n."""
    names = sorted({it for members in inventory.values() for it in members})
    hostvars = {it: {"cluster_address": f"192.0.2.{number}", "cluster_network": "192.0.2.0/24"} for number, it in enumerate(names, 1)}
    found = {"groups": inventory | {"all": names}, "hostvars": hostvars, "inventory_hostname": host, "ansible_play_hosts_all": names}
    found |= hostvars[host] | {"group_names": sorted(group for group, members in inventory.items() if host in members)}
    merged = MAGIC | found | (_yaml(ROOT / "playbooks/vars/cluster.yml") or {}) | _trusted(variables)
    return _templar(merged).template(trust_as_template(f"{{{{ {name} }}}}"))


@pytest.fixture(name="mapped", scope="session")
def mapped_fixture() -> Callable[..., Any]:
    """`mapped("firewall_rules", "a", {"etcd": ["a"]}, cluster_versions="upstream")`: a role's argument, as the playbooks pass it."""
    return run_mapping


@pytest.fixture(name="judgement", scope="session")
def judgement_fixture() -> Callable[[str, dict[str, Any]], str | None]:
    """`judgement("versions.yml", variables)`: the sentence with which one of playbooks/tasks refuses, or None."""
    return run_judgements


@pytest.fixture(name="role_judgement", scope="session")
def role_judgement_fixture() -> Callable[[str, str, dict[str, Any]], str | None]:
    """`role_judgement(role, "begin.yml", variables)`: the sentence with which a task file of the role refuses what it found, or None."""
    return run_role_judgements


@pytest.fixture(name="refusal", scope="session")
def refusal_fixture() -> Callable[[str, dict[str, Any]], str | None]:
    """`refusal(role, variables)`: the sentence with which the role's preflight refuses, or None."""
    return run_preflight


@pytest.fixture(name="rendered", scope="session")
def rendered_fixture() -> Callable[..., Any]:
    """`rendered(role, variables, name)`: what one of the role's own variables becomes; a fourth argument are a task's vars."""

    def render(role: str, variables: dict[str, Any], name: str, of_task: dict[str, Any] | None = None) -> Any:
        return _templar(_merged(role, variables) | _trusted(of_task or {})).template(trust_as_template(f"{{{{ {name} }}}}"))

    return render
