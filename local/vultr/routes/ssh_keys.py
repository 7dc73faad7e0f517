"""SSH keys."""

from __future__ import annotations

import base64
import re
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from local.vultr.errors import bad_request, not_found
from local.vultr.routes.common import KEY_NAME_LENGTH, Body, P, Page, done
from local.vultr.state import SshKey, State, new_id, now

router = APIRouter(prefix="/v2/ssh-keys")
KEY = re.compile(r"((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+) ([A-Za-z0-9+/]+=*)( .*)?")


class CreateKey(Body):
    name: str
    ssh_key: str


class UpdateKey(Body):
    name: str | None = None
    ssh_key: str | None = None


def find(state: State, key_id: str) -> SshKey:
    if key_id not in state.ssh_keys:
        raise not_found("Invalid ssh key")
    return state.ssh_keys[key_id]


def _checked(text: str) -> str:
    """The key's line; its base64 must begin with the key's type, after a length of four bytes (RFC 4253, 6.6)."""
    match = KEY.fullmatch(text.strip())
    if not match or base64.b64decode(match[2] + "===")[4 : 4 + len(match[1])] != match[1].encode():
        raise bad_request("Invalid SSH key: give the one line of a public key file, such as 'ssh-ed25519 AAAA... name'.")
    return text.strip()


@router.get("")
def list_keys(parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        return page.page("ssh_keys", [asdict(key) for key in state.ssh_keys.values()])


@router.post("", status_code=201)
def create_key(body: CreateKey, parts: P) -> dict[str, Any]:
    key = SshKey(new_id(), body.name[:KEY_NAME_LENGTH], _checked(body.ssh_key), now())
    with parts.store.change() as state:
        state.ssh_keys[key.id] = key
    return {"ssh_key": asdict(key)}


@router.get("/{key_id}")
def get_key(key_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"ssh_key": asdict(find(state, key_id))}


@router.patch("/{key_id}")
def update_key(key_id: str, body: UpdateKey, parts: P) -> Response:
    with parts.store.change() as state:
        key = find(state, key_id)
        if body.name is not None:
            key.name = body.name[:KEY_NAME_LENGTH]
        if body.ssh_key is not None:
            key.ssh_key = _checked(body.ssh_key)
    return done()


@router.delete("/{key_id}")
def delete_key(key_id: str, parts: P) -> Response:
    with parts.store.change() as state:
        del state.ssh_keys[find(state, key_id).id]
    return done()
