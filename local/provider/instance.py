"""The server: the one resource with a long life."""

import base64
import json
import os
from typing import Any

from local.provider.errors import ApiError, Failure, Told
from local.provider.planner import State
from local.provider.remote import Remote, Wait, Words, without_zeros

READ_VPC2 = os.environ.get("VULTR_STANDIN_VPC2") == "read"
"""Whether every read asks for VPC 2.0 networks, as releases up to 2.32.0 do (live Vultr answers 404, which they do not survive)."""

_IMAGES = ("app_id", "image_id", "iso_id", "snapshot_id")
_SCHEDULE = ("type", "hour", "dom", "dow")


class Instance(Remote):
    """A server."""

    type_name, path, key = "vultr_instance", "/instances", "instance"
    unread = frozenset(
        {
            "activation_email",
            "app_variables",
            "backups",
            "ddos_protection",
            "default_password",
            "disable_public_ipv4",
            "enable_ipv6",
            "ipxe_chain_url",
            "iso_id",
            "reserved_ip_id",
            "script_id",
            "ssh_key_ids",
            "user_data",
            "vpc2_ids",
            "vpc_ids",
        }
    )
    waits = (
        Wait("status", "active", ("pending", "installing"), "error while waiting for Server {id} to be completed: {error}"),
        Wait("power_status", "running", ("stopped",), "error while waiting for Server {id} to be in a active state : {error}"),
    )
    words = Words(
        "{error}",
        "error getting instance ({id}): {error}",
        "error updating instance {id} : {error}",
        "error destroying instance {id} : {error}",
    )

    def make(self, state: State) -> None:
        """Two refusals pass by themselves: an address or a volume that another server is just giving back."""
        if state["backups"] == "enabled" and not state["backups_schedule"]:
            raise Told("Backups are set to enabled please provide a backups_schedule")
        if state["backups"] == "disabled" and state["backups_schedule"]:
            raise Told("Backups are set to disabled please remove backups_schedule")
        body = self.body(state)
        busy = "Floating IPv4 address is already attached to another server", "Block storage is already attached to another server"
        created = self.attempt(
            "error creating server: {error}", state, lambda: self.persist(lambda: self.api.call("POST", self.path, body), *busy)
        )[self.key]
        state["id"], state["default_password"] = created["id"], created.get("default_password") or ""

    def body(self, new: State) -> dict[str, Any]:
        """The create request. `tags` and `block_devices` are there even when they are null."""
        flags = ("enable_ipv6", "disable_public_ipv4", "vpc_only", "ddos_protection", "activation_email")
        devices = [without_zeros({**device, "bootable": device["bootable"] or None}) for device in new["block_devices"]]
        return without_zeros(
            {
                **{name: new[name] for name in ("region", "plan", "label")},
                "tags": sorted(new["tags"] or []) or None,
                **self._image(new),
                **{name: new[name] for name in ("firewall_group_id", "hostname", "ipxe_chain_url", "script_id", "backups", "user_scheme")},
                **{name: bool(new[name]) for name in flags},
                "attach_vpc": new["vpc_ids"],
                "attach_vpc2": new["vpc2_ids"],
                "sshkey_id": new["ssh_key_ids"],
                "user_data": base64.b64encode((new["user_data"] or "").encode()).decode(),
                "reserved_ipv4": new["reserved_ip_id"],
                "app_variables": new["app_variables"],
                "block_devices": devices or None,
            },
            "tags",
            "block_devices",
        )

    def settle(self, state: State) -> None:
        """Set the backup schedule."""
        if state["backups"] == "enabled":
            self.attempt("error setting backup schedule: {error}", state, lambda: self._schedule(state))

    def gone(self, error: ApiError) -> bool:
        """A JSON answer with status 404, or one that says so in words. Anything that is not JSON is an error of its own."""
        try:
            answer = json.loads(str(error))
            return answer.get("status") == 404 or "instance not found" in answer.get("error", "")
        except (ValueError, AttributeError) as reason:
            raise Told(f"error in api response {json.dumps(str(error))} : unable to unmarshal api response: {reason}") from error

    def absorb(self, state: State, found: dict[str, Any]) -> None:
        """Three more requests: the backup schedule and the networks. Networks are taken in only when some are configured."""
        super().absorb(state, found)
        schedule = self._get(state, "backup-schedule", "error getting backup schedule: {error}")["backup_schedule"]
        state["backups"] = "enabled" if schedule["enabled"] else "disabled"
        fields = {"type": schedule.get("type") or ""} | {name: schedule.get(name) or 0 for name in _SCHEDULE[1:]}
        state["backups_schedule"] = [fields] if schedule["enabled"] else []
        vpcs = self._get(state, "vpcs", "error getting list of attached VPCs: {error}")["vpcs"]
        if state["vpc_ids"]:
            state["vpc_ids"] = [vpc["id"] for vpc in vpcs]
        if READ_VPC2 or state["vpc2_ids"]:
            vpcs = self._get(state, "vpc2", "error getting list of attached VPCs 2.0: {error}")["vpcs"]
            if state["vpc2_ids"]:
                state["vpc2_ids"] = [vpc["id"] for vpc in vpcs]

    def change(self, old: State, new: State) -> None:
        """One PATCH, even when nothing in it differs; `tags` null leaves the tags alone. Then the ISO, the backups, the size."""
        differs = self.changed(old, new, "plan", "ddos_protection", "backups", "vpc_ids", "vpc2_ids", "tags", "iso_id", "backups_schedule")
        if "backups" in differs and new["backups"] == "disabled" and new["backups_schedule"]:
            raise Told("Backups are being set to disabled please remove backups_schedule")
        if new["backups"] == "enabled" and not new["backups_schedule"]:
            raise Told("Backups are being set to enabled please add backups_schedule")
        body = {
            "plan": differs.get("plan"),
            "label": new["label"],
            "tags": sorted(new["tags"] or []) if "tags" in differs else None,
            "enable_ipv6": bool(new["enable_ipv6"]),
            "attach_vpc": _missing(old["vpc_ids"], new["vpc_ids"]),
            "detach_vpc": _missing(new["vpc_ids"], old["vpc_ids"]),
            "backups": differs.get("backups"),
            "ddos_protection": bool(new["ddos_protection"]) if "ddos_protection" in differs else None,
            "firewall_group_id": new["firewall_group_id"],
            "attach_vpc2": _missing(old["vpc2_ids"], new["vpc2_ids"]),
            "detach_vpc2": _missing(new["vpc2_ids"], old["vpc2_ids"]),
        }
        self._patch(new, without_zeros(body, "tags", "ddos_protection"))
        if "iso_id" in differs:
            self._iso(new, new["iso_id"])
        if new["backups"] != "disabled" and "backups_schedule" in differs:
            self._schedule(new)
        if "plan" in differs:
            self.wait(new, "plan", new["plan"], (old["plan"],), "update")

    def remove(self, state: State) -> None:
        """Leave the networks and the ISO first. Nobody waits for the server to be gone."""
        for name, field in (("vpc_ids", "detach_vpc"), ("vpc2_ids", "detach_vpc2")):
            if state[name]:
                body = {"tags": None, field: state[name], "ddos_protection": None}
                self.attempt(
                    "error detaching VPCs prior to deleting instance {id} : {error}", state, lambda body=body: self._patch(state, body)
                )
        if state["iso_id"]:
            self._iso(state, None)
        super().remove(state)

    def _image(self, new: State) -> dict[str, Any]:
        """The one thing that the disk is made from."""
        chosen = [name for name in _IMAGES if new[name]]
        if len(chosen) > 1:
            raise Failure(f"too many options have been selected : [{' '.join(chosen)}] : please select one")
        if chosen and new["os_id"]:
            raise Failure(f"Please do not set {chosen[0]} with os_id")
        if not chosen and not new["os_id"]:
            raise Failure("error occurred while getting your intended os type")
        name = chosen[0] if chosen else "os_id"
        return {name: new[name]}

    def _patch(self, state: State, body: dict[str, Any]) -> None:
        if self.api.call("PATCH", self.locate(state), body) is None:
            raise Failure("unexpected end of JSON input")

    def _get(self, state: State, part: str, words: str) -> dict[str, Any]:
        return self.attempt(words, state, lambda: self.api.get(f"{self.locate(state)}/{part}"))

    def _iso(self, state: State, iso: str | None) -> None:
        if iso:
            self.api.call("POST", f"{self.locate(state)}/iso/attach", {"iso_id": iso})
        else:
            self.api.call("POST", f"{self.locate(state)}/iso/detach")

    def _schedule(self, state: State) -> None:
        chosen = state["backups_schedule"][0]
        body = {"type": chosen["type"], "hour": chosen["hour"] or 0, "dow": chosen["dow"] or 0}
        if chosen["dom"]:
            body["dom"] = chosen["dom"]
        self.api.call("POST", f"{self.locate(state)}/backup-schedule", body)


def _missing(have: list[str] | None, want: list[str] | None) -> list[str]:
    """What `want` has and `have` has not."""
    return [item for item in want or [] if item not in (have or [])]
