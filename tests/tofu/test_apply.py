"""The root applied and destroyed, against a stub of Vultr's API."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import stub
from conftest import KEY, ROOT, Tofu, copy_root

from local.vultr import catalog


@pytest.fixture(scope="module")
def catalogue() -> Iterator[None]:
    """What the local Vultr sells, in the stub's hands: so the defaults are known to be on sale there."""
    with pytest.MonkeyPatch.context() as patch:
        for name, rows in (("os", catalog.rows("os")), ("plans", catalog.plans()), ("clusters", catalog.clusters())):
            patch.setitem(stub.CATALOG, name, rows)
        patch.setattr(stub, "TIERS", catalog.tiers())
        yield


def fresh(folder: Path, program: str, mirror: str) -> Tofu:
    """An initialised root of its own with an SSH key to be found."""
    (folder / "home/.ssh").mkdir(parents=True)
    (folder / "home/.ssh/id_ed25519.pub").write_text(KEY + "\n")
    tofu = Tofu(program, copy_root(folder / "tofu"), folder / "home", {"TF_CLI_CONFIG_FILE": mirror})
    tofu.ok("init")
    return tofu


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, catalogue: None) -> Iterator[stub.Vultr]:
    """The account of the cluster that is only looked at."""
    made = stub.Vultr(tmp_path_factory.mktemp("vultr"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def cluster(account: stub.Vultr, tmp_path_factory: pytest.TempPathFactory, program: str, mirror: str) -> Tofu:
    """A default cluster, made by the words of the README. Tests only plan on it."""
    tofu = fresh(tmp_path_factory.mktemp("cluster"), program, mirror)
    tofu.environment |= account.environment
    tofu.ok("apply", "-auto-approve")
    return tofu


def bodies(account: stub.Vultr, path: str) -> list[dict[str, Any]]:
    """What was posted to a path."""
    return [body for method, asked, body in account.requests if (method, asked) == ("POST", f"/v2/{path}")]


def actions(tofu: Tofu, *arguments: str) -> dict[str, str]:
    """What a plan would do, by address; empty when it would do nothing."""
    lines = [json.loads(line) for line in tofu.ok("plan", "-json", *arguments).out.splitlines() if line.startswith("{")]
    assert any(line["type"] == "change_summary" for line in lines)
    changes = [line["change"] for line in lines if line["type"] == "planned_change"]
    return {change["resource"]["addr"]: change["action"] for change in changes}


def test_five_nodes_are_made_as_the_inventory_expects_them(cluster, account):
    made = {body["label"]: body for body in bodies(account, "instances")}
    assert {name: sorted(body["tags"]) for name, body in made.items()} == {
        **{f"elephant-postgresql-{number}": ["cluster=elephant", "role=postgresql"] for number in (1, 2)},
        **{f"elephant-etcd-{number}": ["cluster=elephant", "role=etcd"] for number in (1, 2, 3)},
    }
    vpc, group, key = (account.only(name)["id"] for name in ("vpcs", "firewalls", "ssh-keys"))
    for name, body in made.items():
        assert body["hostname"] == name
        assert body["attach_vpc"] == [vpc]
        assert body["firewall_group_id"] == group
        assert body["sshkey_id"] == [key]
        assert body["os_id"] == 2625
        assert body["region"] == "ams"


def test_the_network_and_the_storage(cluster, account):
    assert account.only("vpcs")["v4_subnet"] == "10.87.0.0"
    rules = account.only("firewalls")["_rules"].values()
    assert [(rule["port"], rule["subnet"], rule["subnet_size"]) for rule in rules] == [("22", "0.0.0.0", 0)]
    storage = account.only("object-storage")
    assert storage["label"] == "elephant-backup"
    assert storage["cluster_id"] == 6
    assert [bucket["name"] for bucket in storage["_buckets"]] == [f"elephant-backup-{storage['id'][:8]}"]


def test_a_second_apply_has_nothing_to_do(cluster):
    assert actions(cluster) == {}
    assert cluster("plan", "-detailed-exitcode").code == 0


def test_it_ends_with_what_a_person_looks_for(cluster):
    out = json.loads(cluster.ok("output", "-json").out)
    assert out["ssh_keys"]["value"] == ["~/.ssh/id_ed25519.pub"]
    assert "ansible-playbook -i inventories/vultr.yml ./playbooks/provision/ha.yml" in out["next_steps"]["value"]
    assert set(out["nodes"]["value"]) == {*(f"elephant-postgresql-{n}" for n in (1, 2)), *(f"elephant-etcd-{n}" for n in (1, 2, 3))}
    assert f"\n{out['monthly_price']['value']} dollars a month" in (ROOT / "README.md").read_text()


def test_no_secret_is_readable_in_the_folder(cluster, account):
    actions(cluster)
    for path in (path for path in cluster.folder.iterdir() if path.is_file()):
        for secret in ("pässword", "s3_secret_key", stub.KEY):
            assert secret.encode() not in path.read_bytes(), path


def test_image_keys_and_storage_settings_count_for_new_things_only(cluster):
    changes = actions(
        cluster,
        "-var=operating_system=Ubuntu 24.04 LTS x64",
        f'-var=ssh_public_keys=["{KEY}", "ssh-ed25519 AAAABBBB another"]',
        '-var=backup_storage={"region":"ewr","tier":"Premium"}',
    )
    assert list(changes.values()) == ["create"]
    assert next(iter(changes)).startswith("module.nodes.vultr_ssh_key.each")


def test_plans_grow_in_place_and_nodes_are_added(cluster):
    assert actions(cluster, "-var=postgresql_plan=vhp-4c-8gb-amd", "-var=etcd_nodes=5") == {
        **{f'module.nodes.vultr_instance.each["elephant-postgresql-{n}"]': "update" for n in (1, 2)},
        **{f'module.nodes.vultr_instance.each["elephant-etcd-{n}"]': "create" for n in (4, 5)},
    }


def test_a_changed_hostname_or_user_data_replaces_no_node(cluster):
    """Neither is a variable: the words are put into the module's own text."""
    file = cluster.folder / "modules/nodes/main.tf"
    text = file.read_text()
    try:
        file.write_text(
            text.replace("  hostname          = each.key\n", '  hostname          = "new-${each.key}"\n  user_data         = "#!/bin/sh"\n')
        )
        assert file.read_text() != text
        assert actions(cluster) == {}
    finally:
        file.write_text(text)


@pytest.mark.parametrize(
    ("arguments", "refusing", "silent"),
    [
        (("-destroy",), "protect_nodes protect_backup_storage", ""),
        (("-destroy", "-var=protect_nodes=false"), "protect_backup_storage", "protect_nodes"),
        (("-destroy", "-var=protect_backup_storage=false"), "protect_nodes", "protect_backup_storage"),
        (("-var=cluster_name=other",), "protect_nodes", ""),
        (("-var=etcd_nodes=0", '-var=backup_storage={"enabled":false}'), "protect_nodes protect_backup_storage", ""),
        (("-var=region=ewr", "-var=vpc_subnet=10.3.0.0/24"), "protect_nodes", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_guard_refuses_and_names_itself(cluster, arguments, refusing, silent):
    done = cluster("plan", *arguments)
    assert done.code == 1
    assert "cannot be destroyed" in done
    for guard in refusing.split():
        assert f"# guarded by {guard}" in done
    for guard in silent.split():
        assert f"# guarded by {guard}" not in done


def test_a_missing_key_is_named(cluster):
    done = cluster("plan", VULTR_API_KEY=None)
    assert done.code == 1
    assert "export VULTR_API_KEY" in done or "set the environment variable VULTR_API_KEY" in done


@pytest.mark.parametrize("way", [{"VULTR_API_KEY": "wrong"}, {"TF_VAR_vultr_api_key": "wrong"}], ids=["environment", "variable"])
def test_a_wrong_key_is_named(cluster, way):
    done = cluster("plan", "-refresh=false", **way)
    assert done.code == 1
    assert "Invalid API token" in done
    # Every lookup fails; whichever a person reads first has to name the variable.
    assert done.out.count("see VULTR_API_KEY or vultr_api_key") == done.out.count("Error: ") == 4


def test_a_wrong_plan_is_named(cluster):
    done = cluster("plan", "-var=etcd_plan=huge")
    assert done.code == 1
    assert 'data.vultr_plan.each["huge"]' in done


def test_no_ssh_key_at_all_is_refused_but_not_for_a_destroy(cluster, tmp_path):
    (tmp_path / ".local/share").mkdir(parents=True)
    (tmp_path / ".local/share/elephant").symlink_to(cluster.home / ".local/share/elephant")
    done = cluster("plan", HOME=str(tmp_path))
    assert done.code == 1
    assert "No SSH public key was given in ssh_public_keys" in done
    assert "ssh-keygen -t ed25519" in done
    cluster.ok("plan", "-destroy", "-var=protect_nodes=false", "-var=protect_backup_storage=false", HOME=str(tmp_path))


def test_the_readmes_last_commands_stop_all_payments(catalogue, tmp_path, program, mirror, monkeypatch):
    # ams1 takes no new subscriptions, so the storage is made in Amsterdam's other cluster.
    clusters = [{**row, "deploy": "no"} if row["name"] == "ams1" else row for row in stub.CATALOG["clusters"]]
    monkeypatch.setitem(stub.CATALOG, "clusters", clusters)
    last = (ROOT / "README.md").read_text().rstrip().removesuffix("```").rsplit("```", 1)[1]
    nodes, everything = (line.split("#")[0].split()[1:] for line in last.splitlines() if line.startswith("tofu "))
    account = stub.Vultr(tmp_path)
    try:
        tofu = fresh(tmp_path / "cluster", program, mirror)
        tofu.environment |= account.environment
        settings = tmp_path / "mine.tfvars"
        settings.write_text(f'vultr_api_key = "{stub.KEY}"\netcd_nodes = 0\n')
        tofu.ok("apply", "-auto-approve", f"-var-file={settings}", VULTR_API_KEY=None)
        left = {name: len(objects) for name, objects in account.objects.items() if objects}
        assert left == {"vpcs": 1, "ssh-keys": 1, "firewalls": 1, "instances": 2, "object-storage": 1}
        assert account.only("object-storage")["cluster_id"] == 11
        tofu.ok(*nodes, "-auto-approve")
        assert {name: len(objects) for name, objects in account.objects.items() if objects} == {"object-storage": 1}
        assert account.only("object-storage")["_buckets"]
        tofu.ok(*everything, "-auto-approve")
        assert not any(account.objects.values())
    finally:
        account.close()
