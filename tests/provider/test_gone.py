"""Which refusals of a read mean that the object is gone, and which are errors. Without tofu: the resources are asked directly."""

from types import SimpleNamespace
from typing import Any

import pytest
from tf.utils import Diagnostics

from local.provider.client import Client
from local.provider.planner import blank
from local.provider.server import _RESOURCES

from .stub import KEY, Vultr

TYPES = {kind.type_name: kind for kind in _RESOURCES}


@pytest.fixture
def provider(vultr: Vultr, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in vultr.environment.items():
        monkeypatch.setenv(name, value)
    return SimpleNamespace(client=Client(KEY, rate_limit_ms=1))


def read(provider: Any, kind: str) -> tuple[bool, str]:
    """Whether the object is still in the state after a read, and the error that was told."""
    resource, diagnostics = TYPES[kind](provider), Diagnostics()
    state = blank(resource.spec) | {"id": "1"}
    found = resource.read(SimpleNamespace(diagnostics=diagnostics), state)
    return found is not None, "".join(told.summary for told in diagnostics.diagnostics)


@pytest.mark.parametrize(
    ("kind", "status", "body"),
    [
        ("vultr_instance", 404, '{"error":"anything","status":404}'),
        ("vultr_instance", 404, '{ "error": "anything", "status": 404 }'),
        ("vultr_instance", 400, '{"error":"the instance not found","status":400}'),
        ("vultr_vpc", 404, '{"error":"Invalid VPC ID","status":404}'),
        ("vultr_ssh_key", 404, '{"error":"Invalid ssh key","status":404}'),
        ("vultr_firewall_group", 404, '{"error":"whatever","status":404}'),
        ("vultr_firewall_rule", 404, '{"error":"Firewall rule ID not found","status":404}'),
        ("vultr_block_storage", 404, '{"error":"Invalid block storage ID","status":404}'),
        ("vultr_reserved_ip", 404, '{"error":"Invalid reserved-ip ID","status":404}'),
        ("vultr_load_balancer", 400, "boom"),
    ],
)
def test_gone(provider: Any, vultr: Vultr, kind: str, status: int, body: str) -> None:
    vultr.fault("GET", "/", status, body)
    assert read(provider, kind) == (False, "")


@pytest.mark.parametrize(
    ("kind", "status", "body", "error"),
    [
        ("vultr_instance", 401, '{"error":"no","status":401}', 'error getting instance (1): {"error":"no","status":401}'),
        ("vultr_instance", 404, "<html>", "unable to unmarshal api response"),
        ("vultr_vpc", 404, '{"error":"VPC not ready","status":404}', "error getting VPC: "),
        ("vultr_ssh_key", 404, '{"error":"other","status":404}', "error getting SSH keys: "),
        # The text is looked for byte by byte, as in the real provider: a space after the colon makes it an error.
        ("vultr_firewall_group", 404, '{"error": "x", "status": 404}', "error getting firewall group 1 : "),
        ("vultr_firewall_rule", 404, '{"error":"other","status":404}', "error getting firewall rule None: "),
        ("vultr_block_storage", 404, '{"error":"other","status":404}', "error getting block storage: "),
        ("vultr_reserved_ip", 404, '{"error":"other","status":404}', "error getting Reserved IPs: "),
        ("vultr_object_storage", 404, '{"error":"gone","status":404}', "error getting object storage account: "),
        ("vultr_object_storage_bucket", 200, '{"buckets":[]}', "object storage bucket (None) not found in object storage (1)"),
        ("vultr_vpc", 500, "down", 'error getting VPC: gave up after 4 attempts, last error: "down"'),
    ],
)
def test_an_error(provider: Any, vultr: Vultr, kind: str, status: int, body: str, error: str) -> None:
    vultr.fault("GET", "/", status, body, times=4)
    kept, told = read(provider, kind)
    assert kept
    assert error in told


def test_three_refusals_are_ridden_out(provider: Any, vultr: Vultr) -> None:
    vultr.fault("GET", "/", 503, "down", times=3)
    vultr.fault("GET", "/", 404, '{"error":"Invalid VPC ID","status":404}')
    assert read(provider, "vultr_vpc") == (False, "")
    assert len(vultr.requests) == 4
