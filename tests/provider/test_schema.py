"""What `tofu providers schema` shows is what the schema file says."""

import json
from typing import Any

import pytest

from local.provider import schema

from .conftest import Root


@pytest.fixture(scope="module")
def served(module_root: Root) -> dict[str, Any]:
    (provider,) = json.loads(module_root.run("providers", "schema", "-json").out)["provider_schemas"].values()
    return provider


@pytest.fixture(scope="module")
def module_root(initialised: Any, tofu: str, mirror: Any) -> Root:
    root = Root(initialised, tofu, {"PATH": "/usr/bin:/bin", "HOME": str(initialised), "TF_CLI_CONFIG_FILE": str(mirror)})
    root.write("")
    return root


def attributes(spec: dict[str, Any]) -> dict[str, Any]:
    """The schema file's attributes in the form of `providers schema`: a flag is there when it is true."""
    flags = ("required", "optional", "computed", "sensitive", "deprecated")
    return {
        name: {"type": attribute["type"], "description_kind": "plain"} | {flag: True for flag in flags if attribute.get(flag)}
        for name, attribute in spec["attributes"].items()
    }


def block(spec: dict[str, Any]) -> dict[str, Any]:
    """The same for a whole block."""
    told: dict[str, Any] = {"attributes": attributes(spec), "description_kind": "plain"}
    for name, inner in spec.get("blocks", {}).items():
        limits = {limit: inner[limit] for limit in ("min_items", "max_items") if limit in inner}
        told.setdefault("block_types", {})[name] = {"nesting_mode": inner["nesting"], "block": block(inner)} | limits
    return told


@pytest.mark.parametrize("section", ["resources", "data_sources"])
def test_types(served: dict[str, Any], section: str) -> None:
    shown = served["resource_schemas" if section == "resources" else "data_source_schemas"]
    # State is exchangeable with the real provider as long as the versions are equal.
    assert shown == {name: {"version": 0, "block": block(spec)} for name, spec in schema.load()[section].items()}


def test_provider_block(served: dict[str, Any]) -> None:
    assert served["provider"]["block"] == block(schema.load()["provider"])
    assert served["provider"]["block"]["attributes"]["api_key"]["required"]


def test_key_in_the_environment_makes_the_attribute_optional(module_root: Root) -> None:
    told = module_root.run("providers", "schema", "-json", VULTR_API_KEY="x").out
    (provider,) = json.loads(told)["provider_schemas"].values()
    assert provider["provider"]["block"]["attributes"]["api_key"] == {"type": "string", "optional": True, "description_kind": "plain"}


def test_facts_that_change_decisions() -> None:
    """What the schema command does not show, checked against facts written here by hand."""
    instance = schema.load()["resources"]["vultr_instance"]
    forced = {name for name, attribute in instance["attributes"].items() if attribute.get("force_new")}
    assert forced >= {"region", "os_id", "hostname", "ssh_key_ids", "user_data", "user_scheme", "vpc_only"}
    assert not forced & {"plan", "label", "tags", "vpc_ids", "firewall_group_id", "backups", "enable_ipv6"}
    defaults = {name: attribute["default"] for name, attribute in instance["attributes"].items() if "default" in attribute}
    assert defaults == {"backups": "disabled", "ddos_protection": False, "iso_id": "", "user_scheme": "root"}
