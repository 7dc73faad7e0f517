"""Twenty writes a second through the JSON gateway, as Patroni writes: from member to member until one takes it.

Runs on a host until the file named in its arguments is gone; prints how many writes were acknowledged, how many were lost,
and the longest wait.
"""

import base64
import http.client
import json
import pathlib
import ssl
import sys
import time

CERTIFICATES = "/etc/elephant/certificates"
PATIENCE = 10.0
flag, user, password, prefix, *members = sys.argv[1:]
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
tls.load_verify_locations(f"{CERTIFICATES}/ca.crt")
tls.load_cert_chain("/root/client.crt", "/root/client.key")


def post(member: str, path: str, body: dict[str, str], token: str = "") -> dict[str, str]:
    connection = http.client.HTTPSConnection(member, 2379, context=tls, timeout=2)
    try:
        connection.request("POST", path, json.dumps(body), {"Authorization": token} if token else {})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise OSError(answer.decode())
        return json.loads(answer)
    finally:
        connection.close()


def write(number: int) -> bool:
    """One write, tried at each member until one acknowledges it or patience ends."""
    deadline = time.monotonic() + PATIENCE
    body = {"key": base64.b64encode(f"{prefix}{number}".encode()).decode(), "value": base64.b64encode(b"x").decode()}
    while time.monotonic() < deadline:
        member = members[0]
        try:
            if member not in tokens:
                tokens[member] = post(member, "/v3/auth/authenticate", {"name": user, "password": password})["token"]
            post(member, "/v3/kv/put", body, tokens[member])
            return True
        except (OSError, http.client.HTTPException, ValueError):
            tokens.pop(member, None)
            members.append(members.pop(0))
    return False


tokens: dict[str, str] = {}
taken, lost, longest = 0, 0, 0.0
while pathlib.Path(flag).exists():
    began = time.monotonic()
    if write(taken + lost):
        taken += 1
    else:
        lost += 1
    longest = max(longest, time.monotonic() - began)
    time.sleep(max(0.0, 0.05 - (time.monotonic() - began)))
print(json.dumps({"taken": taken, "lost": lost, "longest": longest}))
