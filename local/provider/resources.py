"""The resources whose life is short: a request or two each. The order of calls and the bodies are the real provider's."""

from typing import Any, ClassVar

from local.provider.errors import ApiError, Failure, Told
from local.provider.planner import State, blank
from local.provider.remote import Remote, Wait, Words, without_zeros


class Vpc(Remote):
    """A private network."""

    type_name, path, key = "vultr_vpc", "/vpcs", "vpc"
    missing = "Invalid VPC ID"
    words = Words(
        "error creating VPC: {error}", "error getting VPC: {error}", "error updating VPC: {error}", "error destroying VPC ({id}): {error}"
    )

    def body(self, new: State) -> dict[str, Any]:
        """An unset subnet goes out as an empty string and 0."""
        return {
            "region": new["region"],
            "description": new["description"] or "",
            "v4_subnet": new["v4_subnet"] or "",
            "v4_subnet_mask": new["v4_subnet_mask"] or 0,
        }

    def change(self, old: State, new: State) -> None:
        """The description is all that can change."""
        self.api.call("PUT", self.locate(new), {"description": new["description"] or ""})

    def remove(self, state: State) -> None:
        """Servers leave a network a while after they are gone, so the refusal is sat out."""
        self.persist(lambda: self.api.call("DELETE", self.locate(state)), "attached to this VPC network")


class SshKey(Remote):
    """A public key."""

    type_name, path, key = "vultr_ssh_key", "/ssh-keys", "ssh_key"
    missing = "Invalid ssh key"
    words = Words(
        "error creating SSH key: {error}",
        "error getting SSH keys: {error}",
        "error updating SSH key ({id}): {error}",
        "error destroying SSH key ({id}): {error}",
    )

    def body(self, new: State) -> dict[str, Any]:
        """Name and key."""
        return without_zeros({"name": new["name"], "ssh_key": new["ssh_key"]})

    def change(self, old: State, new: State) -> None:
        """Only what differs goes out."""
        self.api.call("PATCH", self.locate(new), without_zeros(self.changed(old, new, "name", "ssh_key")))


class FirewallGroup(Remote):
    """A group of rules for the public interface."""

    type_name, path, key = "vultr_firewall_group", "/firewalls", "firewall_group"
    missing = '"status":404'
    words = Words(
        "error creating firewall group: {error}",
        "error getting firewall group {id} : {error}",
        "error updating firewall group {id} : {error}",
        "error destroying firewall group {id}: {error}",
    )

    def body(self, new: State) -> dict[str, Any]:
        """The description, empty or not."""
        return {"description": new["description"] or ""}

    def change(self, old: State, new: State) -> None:
        """The description is all that can change."""
        self.api.call("PUT", self.locate(new), self.body(new))


class FirewallRule(Remote):
    """One rule of a group. Every change makes a new one."""

    type_name, key = "vultr_firewall_rule", "firewall_rule"
    missing = "Firewall rule ID not found"
    unread = frozenset({"firewall_group_id"})
    words = Words(
        "error creating firewall rule : {error}",
        "error getting firewall rule {firewall_group_id}: {error}",
        "error updating firewall rule: {error}",
        "error destroying firewall rule {id}: {error}",
    )

    def locate(self, state: State) -> str:
        """Rules live below their group."""
        return f"/firewalls/{state['firewall_group_id']}/rules/{state['id']}"

    def make(self, state: State) -> None:
        """The id is a number in the API and a string here."""
        body = {name: state[name] for name in ("ip_type", "protocol", "subnet", "subnet_size", "port", "source", "notes")}
        body = without_zeros(body, "subnet", "subnet_size")
        state["id"] = str(self.api.call("POST", f"/firewalls/{state['firewall_group_id']}/rules", body)[self.key]["id"])

    def import_(self, ctx: Any, id: str) -> State | None:
        """The id of an import is `group,rule`."""
        group, comma, rule = id.partition(",")
        if not comma:
            ctx.diagnostics.add_error('invalid import format, expected "firewallGroupID,firewallRuleID"')
            return None
        return blank(self.spec) | {"id": rule, "firewall_group_id": group}


class ObjectStorage(Remote):
    """A subscription to object storage, with its keys."""

    type_name, path, key = "vultr_object_storage", "/object-storage", "object_storage"
    unread = frozenset({"tier_id"})
    waits = (Wait("status", "active", ("pending",), "error while waiting for Object Storage {id} to be in a active state : {error}"),)
    words = Words(
        "error creating object storage: {error}",
        "error getting object storage account: {error}",
        "error updating object storage {id} label : {error}",
        "error deleting object storage subscription {id} : {error}",
    )

    def body(self, new: State) -> dict[str, Any]:
        """Cluster, tier and label."""
        return {"cluster_id": new["cluster_id"], "tier_id": new["tier_id"], "label": new["label"] or ""}

    def change(self, old: State, new: State) -> None:
        """The label is all that can change."""
        self.api.call("PUT", self.locate(new), {"label": new["label"] or ""})

    def import_(self, ctx: Any, id: str) -> State | None:
        """Only the list tells the tier, without which the next plan would replace the storage."""
        try:
            for item in self.api.pages(self.path, "object_storages"):
                if item["id"] == id:
                    return blank(self.spec) | {"id": id, "tier_id": item["tier"]["OBJSTORETIERID"]}
            ctx.diagnostics.add_error("unable to import object storage")
        except Failure as error:
            ctx.diagnostics.add_error(f"error during import of object storage: {error}", error.hint)
        return None


class Bucket(Remote):
    """A bucket; its id is that of the storage, an underscore, and its name."""

    type_name, path, key = "vultr_object_storage_bucket", "/object-storage", "buckets"
    unread = frozenset({"object_storage_id", "enable_lock", "enable_versioning"})
    words = Words(
        "error while creating object storage bucket : {error}",
        "error getting object storage buckets: {error}",
        "error updating object storage bucket: {error}",
        "error deleting object storage bucket {name} : {error}",
    )

    def locate(self, state: State) -> str:
        """The path of a bucket."""
        return f"{self.path}/{state['object_storage_id']}/bucket/{state['name']}"

    def make(self, state: State) -> None:
        """Flags that are off do not go out. The answer is empty."""
        body = {"name": state["name"]}
        if state["enable_versioning"]:
            body["enable_bucket_versioning"] = True
        if state["enable_lock"]:
            body["enable_object_lock"] = True
        self.api.call("POST", f"{self.path}/{state['object_storage_id']}/bucket", body)
        state["id"] = f"{state['object_storage_id']}_{state['name']}"

    def fetch(self, state: State) -> dict[str, Any]:
        """There is only a list; a bucket that is not in it is an error, as in the real provider."""
        for bucket in self.api.get(f"{self.path}/{state['object_storage_id']}/bucket")[self.key]:
            if bucket["name"] == state["name"]:
                return bucket
        raise Told(f"object storage bucket ({state['name']}) not found in object storage ({state['id']})")


class ReservedIp(Remote):
    """A public address that outlives servers."""

    type_name, path, key = "vultr_reserved_ip", "/reserved-ips", "reserved_ip"
    missing = "Invalid reserved-ip ID"
    words = Words(
        "error creating reserved IP: {error}",
        "error getting Reserved IPs: {error}",
        "error updating reserved IP {id} : {error}",
        "error destroying Reserved IP ({id}): {error}",
    )

    def body(self, new: State) -> dict[str, Any]:
        """The instance is named here and attached again afterwards."""
        return without_zeros({name: new[name] for name in ("region", "ip_type", "label", "instance_id")})

    def settle(self, state: State) -> None:
        """Attach, although the create request asked for it already."""
        if instance := state["instance_id"]:
            words = f"error attaching reserved IP: {{id}} {instance} : {{error}}"
            self.attempt(words, state, lambda: self.api.call("POST", f"{self.locate(state)}/attach", {"instance_id": instance}))

    def change(self, old: State, new: State) -> None:
        """Detach, attach, then the label."""
        if "instance_id" in self.changed(old, new, "instance_id"):
            if old["instance_id"]:
                self.api.call("POST", f"{self.locate(new)}/detach")
            if new["instance_id"]:
                self.api.call("POST", f"{self.locate(new)}/attach", {"instance_id": new["instance_id"]})
        if self.changed(old, new, "label"):
            self.api.call("PATCH", self.locate(new), {"label": new["label"] or ""})


class BlockStorage(Remote):
    """A volume."""

    type_name, path, key = "vultr_block_storage", "/blocks", "block"
    missing = "Invalid block storage ID"
    unread = frozenset({"live"})
    waits = (Wait("status", "active", ("pending",), "error while waiting for block {id} to be completed: {error}"),)
    words = Words(
        "error creating block storage: {error}",
        "error getting block storage: {error}",
        "error updating block storage: {error}",
        "error deleting block storage ({id}): {error}",
    )

    def body(self, new: State) -> dict[str, Any]:
        """Only what is set goes out."""
        names = ("region", "size_gb", "label", "block_type", "snapshot_id", "os_id")
        return without_zeros({name: new[name] for name in names} | {"bootable": new["bootable"] or None}, "region", "size_gb")

    def settle(self, state: State) -> None:
        """Attach once the volume is ready."""
        if instance := state["attached_to_instance"]:
            self.attempt("error attaching: {error}", state, lambda: self.wait(state, "status", "active", ("pending",), "create"))
            self.attempt("error attaching block storage ({id}): {error}", state, lambda: self._attach(state, instance))

    def change(self, old: State, new: State) -> None:
        """Size and label, then the server it belongs to."""
        if body := self.changed(old, new, "size_gb", "label"):
            self.api.call("PATCH", self.locate(new), without_zeros(body))
        if "attached_to_instance" in self.changed(old, new, "attached_to_instance"):
            if old["attached_to_instance"] and self.fetch(new).get("attached_to_instance"):
                self.api.call("POST", f"{self.locate(new)}/detach", {"live": bool(new["live"])})
            if instance := new["attached_to_instance"]:
                self._attach(new, instance)

    def _attach(self, state: State, instance: str) -> None:
        self.api.call("POST", f"{self.locate(state)}/attach", {"instance_id": instance, "live": bool(state["live"])})


class LoadBalancer(Remote):
    """A load balancer."""

    type_name, path, key = "vultr_load_balancer", "/load-balancers", "load_balancer"
    renamed: ClassVar[dict[str, str]] = {"attached_instances": "instances"}
    waits = (Wait("status", "active", ("pending", "installing"), "error while waiting for load balancer {id} to be completed: {error}"),)
    words = Words(
        "error creating load balancer: {error}",
        "{error}",
        "error updating load balancer generic info ({id}): {error}",
        "error deleting load balancer {id} : {error}",
    )
    _RULE = ("frontend_protocol", "frontend_port", "backend_protocol", "backend_port")
    _FIREWALL_RULE = ("port", "ip_type", "source")
    _CHECK = ("protocol", "port", "path", "check_interval", "response_timeout", "unhealthy_threshold", "healthy_threshold")

    def gone(self, error: ApiError) -> bool:
        """Any refusal at all counts as gone: the real provider's risk of a second load balancer is kept."""
        return True

    def body(self, new: State) -> dict[str, Any]:
        """The fields in the API's order, which the recordings have too."""
        return without_zeros(
            {
                "region": new["region"],
                "label": new["label"],
                "instances": new["attached_instances"],
                "nodes": new["nodes"],
                **self._parts(new, "health_check", "cookie_name", "forwarding_rules", "ssl", "auto_ssl_domain"),
                **self._always(new),
                **self._parts(new, "firewall_rules"),
                "vpc": new["vpc"],
                "global_regions": new["global_regions"],
            }
        )

    def change(self, old: State, new: State) -> None:
        """Some fields always, the others when they differ. What became empty is left out, except the network and the cookie."""
        names = ("attached_instances", "nodes", "health_check", "cookie_name", "forwarding_rules", "ssl", "auto_ssl_domain")
        differs = self.changed(old, new, *names, "firewall_rules", "vpc", "global_regions")
        if "auto_ssl_domain" in differs and not new["auto_ssl_domain"]:
            self.api.call("DELETE", f"{self.locate(new)}/auto_ssl")
        body = {"region": new["region"], "label": new["label"]} | self._parts(new, *(name for name in differs if new[name]))
        body |= {"instances": differs.get("attached_instances"), "nodes": differs.get("nodes"), **self._always(new)}
        body |= {"global_regions": differs.get("global_regions")}
        if "vpc" in differs:
            body["vpc"] = new["vpc"] or ""
        if "cookie_name" in differs and not new["cookie_name"]:
            body["sticky_session"] = {}
        self.api.call("PATCH", self.locate(new), without_zeros(body, "vpc", "sticky_session"))

    def remove(self, state: State) -> None:
        """Leave the network, then delete as soon as the load balancer lets itself be deleted."""
        detach = {"vpc": ""} if state["vpc"] else {}
        words = "error detaching VPC from load balancer before deletion ({id}): {error}"
        self.attempt(words, state, lambda: self.api.call("PATCH", self.locate(state), detach))
        self.persist(lambda: self.api.call("DELETE", self.locate(state)), "Load balancer is not ready.")

    def absorb(self, state: State, found: dict[str, Any]) -> None:
        """The API nests what the resource has side by side; without these objects the real provider panics."""
        info, check = found["generic_info"], found["health_check"]
        flat = {
            **found,
            **info,
            "cookie_name": info["sticky_sessions"].get("cookie_name"),
            "auto_ssl_domain": found["auto_ssl"].get("domain"),
            "http_version": (3 if found.get("http3") else 2) if found.get("http2") else 0,
        }
        super().absorb(state, flat)
        inner = self.spec["blocks"]["health_check"]["attributes"]
        state["health_check"] = [{name: check.get(name) or ("" if inner[name]["type"] == "string" else 0) for name in inner}]
        state["forwarding_rules"] = [
            {"rule_id": rule["id"], **{name: rule[name] for name in self._RULE}} for rule in found.get("forwarding_rules") or []
        ]
        state["firewall_rules"] = [
            {"id": rule["id"], **{name: rule[name] for name in self._FIREWALL_RULE}} for rule in found.get("firewall_rules") or []
        ]

    def _always(self, new: State) -> dict[str, Any]:
        version = new["http_version"]
        return {
            "ssl_redirect": bool(new["ssl_redirect"]),
            "http2": True if version else None,
            "http3": True if version == 3 else None,
            "proxy_protocol": bool(new["proxy_protocol"]),
            "balancing_algorithm": new["balancing_algorithm"],
        }

    def _parts(self, new: State, *names: str) -> dict[str, Any]:
        """The nested objects of a request, of those named that are set."""
        makers = {
            "health_check": lambda blocks: ("health_check", without_zeros({name: blocks[0][name] for name in self._CHECK})),
            "cookie_name": lambda name: ("sticky_session", {"cookie_name": name}),
            "forwarding_rules": lambda rules: ("forwarding_rules", _ordered(rules, self._RULE)),
            "ssl": lambda blocks: ("ssl", without_zeros({n: blocks[0][n] for n in ("private_key", "certificate", "chain")})),
            "auto_ssl_domain": lambda domain: ("auto_ssl", _auto_ssl(domain)),
            "firewall_rules": lambda rules: ("firewall_rules", _ordered(rules, self._FIREWALL_RULE)),
        }
        return dict(makers[name](new[name]) for name in names if name in makers and new[name])


def _ordered(rules: list[dict[str, Any]], fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rules of a set, in a steady order."""
    return sorted(({name: rule[name] for name in fields} for rule in rules), key=lambda rule: [str(rule[name]) for name in fields])


def _auto_ssl(domain: str) -> dict[str, str]:
    if "://" in domain:
        raise Failure(f'invalid domain "{domain}": must not include URL scheme (http:// or https://)')
    labels = domain.split(".")
    if len(labels) < 2:
        raise Failure(f'invalid domain "{domain}": must contain a dot (example.com)')
    return without_zeros({"domain_zone": ".".join(labels[-2:]), "domain_sub": ".".join(labels[:-2])})
