"""How the tests of the etcd scenarios ask etcd: its own client, and the JSON gateway as Patroni does."""

import base64
import json
import shlex
from collections.abc import Callable
from typing import Any

import pytest

CERTIFICATES = "/etc/elephant/certificates"
# Runs on the host: the keys do not leave it. Answers the HTTP status and the body.
POST = f"""
import http.client, json, ssl, sys
address, leaf, path, body, token = sys.argv[1:]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.load_verify_locations("{CERTIFICATES}/ca.crt")
tls.load_cert_chain(f"{CERTIFICATES}/{{leaf}}.crt", f"{CERTIFICATES}/{{leaf}}.key")
connection = http.client.HTTPSConnection(address, 2379, context=tls, timeout=30)
connection.request("POST", path, body, {{"Authorization": token}} if token else {{}})
response = connection.getresponse()
print(json.dumps([response.status, response.read().decode()]))
"""


def encoded(body: dict[str, str]) -> str:
    """The JSON that the gateway takes: keys and values are base64, names and passwords are not."""
    binary = {"key", "range_end", "value"}
    return json.dumps({name: base64.b64encode(it.encode()).decode() if name in binary else it for name, it in body.items()})


@pytest.fixture
def etcdctl(host) -> Callable[..., Any]:
    """`etcdctl("member list")`: the JSON answer to root; `leaf` and `user` make it somebody else, `ok=False` expects a refusal."""

    def ask(command: str, leaf: str = "", user: str = "", ok: bool = True) -> Any:
        who = f"ETCDCTL_CERT={CERTIFICATES}/{leaf}.crt ETCDCTL_KEY={CERTIFICATES}/{leaf}.key" if leaf else ""
        account = f"ETCDCTL_USER={shlex.quote(user)}" if user else ""
        client = "etcdctl --command-timeout=30s --dial-timeout=20s --write-out=json"
        done = host.run(f"set -a; . /etc/elephant/etcdctl.env; {who} {account} {client} {command}")
        assert (done.rc == 0) == ok, done.stdout + done.stderr
        return json.loads(done.stdout) if ok else done.stderr

    return ask


@pytest.fixture
def gateway(host) -> Callable[..., tuple[int, Any]]:
    """`gateway("/v3/kv/range", {"key": "/x"}, leaf="patroni", token="...")`: HTTP status and JSON answer of the local member."""

    def ask(path: str, body: dict[str, str], leaf: str = "patroni", token: str = "") -> tuple[int, Any]:
        address = host.ansible.get_variables()["cluster_address"]
        arguments = shlex.join([address, leaf, path, encoded(body), token])
        status, answer = json.loads(host.check_output(f"python3 -c {shlex.quote(POST)} {arguments}"))
        return status, json.loads(answer) if answer.startswith("{") else answer

    return ask
