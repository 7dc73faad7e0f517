"""The lives of instances and subscriptions: what happens between the answers of the API.

Slow work (making a machine, waiting for its boot, starting an S3 server) runs in a few threads; the state says how far it is, as on Vultr:
`status` pending -> active, `power_status` stopped -> running, `server_status` none -> installingbooting -> ok.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, IPv4Network

from local.vultr.engine import EngineError
from local.vultr.errors import VultrError, bad_request
from local.vultr.faults import FaultBox
from local.vultr.machines import Machine, Machines, Nic
from local.vultr.state import Attachment, Gateway, Instance, ObjectStorage, State, Store
from local.vultr.storage import Storage

log = logging.getLogger("elephant.vultr")
BOOT_SECONDS = 120
GLANCE_SECONDS = 0.5
# Vultr hands out VPC addresses from .3 on; public ones start where nothing of ours stands in the way.
FIRST_VPC_HOST, FIRST_PUBLIC_HOST = 3, 10


class Hosting:
    """Moves instances and subscriptions through their states, and keeps the state true to the machines."""

    def __init__(self, store: Store, machines: Machines, storage: Storage, faults: FaultBox, public: IPv4Network, cluster: str) -> None:
        self.store, self.machines, self.storage, self.faults = store, machines, storage, faults
        self.public, self.cluster = public, cluster
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="hosting")
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._watched: set[str] = set()
        self._ending = threading.Event()
        self._glance: tuple[float, dict[str, bool]] = (0.0, {})
        self._vacated: dict[str, float] = {}
        self.glance_seconds = GLANCE_SECONDS

    # Process

    def resume(self) -> None:
        """Take up what a former process left unfinished, and power on what a restart of the whole engine has stopped."""
        with self.store.read() as state:
            pending = [instance.id for instance in state.instances.values() if instance.status == "pending"]
            wanted = [one.id for one in state.instances.values() if one.status == "active" and one.wanted == "running"]
            subscriptions = list(state.object_storages)
        for instance_id in pending:
            self._later(self._build, instance_id)
        for storage_id in subscriptions:
            self._later(self._open, storage_id)
        try:
            # One machine that is off was switched off by somebody; all of them off at once is an engine that was restarted.
            outage = wanted and not any(self.machines.running().values())
        except EngineError as error:
            log.error("%s", error)
            return
        for instance_id in wanted if outage else []:
            self._later(lambda key: self.power(key, on=True), instance_id)

    def stop(self) -> None:
        """End the threads; what they had not finished is taken up by the next process."""
        self._ending.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _later(self, work: Callable[[str], None], key: str) -> None:
        def run() -> None:
            try:
                work(key)
            except Exception:
                log.exception("%s %s failed", work.__name__, key)

        self._pool.submit(run)

    # Addresses

    def public_address(self, state: State, *, from_top: bool = False) -> str:
        """The lowest (or highest) free address of the public network. An address that was given back is given out again, as on Vultr."""
        used = {instance.main_ip for instance in state.instances.values()} | {gateway.address for gateway in state.gateways.values()}
        hosts = list(self.public.hosts())[FIRST_PUBLIC_HOST - 1 :]
        return self._free(reversed(hosts) if from_top else iter(hosts), used, f"the public network {self.public}")

    def vpc_place(self, state: State, vpc_id: str) -> Attachment:
        """The next place in a VPC."""
        vpc = state.vpcs.get(vpc_id)
        if vpc is None:
            raise bad_request("Invalid VPC ID")
        network = IPv4Network(vpc.cidr)
        used = {place.ip_address for instance in state.instances.values() for place in instance.vpcs if place.vpc_id == vpc_id}
        hosts = (network[number] for number in range(FIRST_VPC_HOST, network.num_addresses - 1))
        address = self._free(hosts, used, f"the VPC {vpc.cidr}")
        # Docker's own rule for a bridge: 02:42 and the address.
        mac = ":".join(["02", "42", *(f"{byte:02x}" for byte in IPv4Address(address).packed)])
        return Attachment(vpc_id, address, mac)

    @staticmethod
    def _free(hosts, used: set[str], where: str) -> str:
        for host in hosts:
            if str(host) not in used:
                return str(host)
        raise bad_request(f"No address is left in {where}.")

    def network(self, vpc_id: str) -> str:
        """The name of a VPC's network in the engine."""
        return f"elephant-{self.cluster}-vpc-{vpc_id[:8]}"

    # Instances

    def create(self, instance_id: str) -> None:
        """Start making the machine of an instance that is in the state as pending."""
        self._later(self._build, instance_id)

    def _build(self, instance_id: str) -> None:
        if delay := self.faults.now.slow_boot:
            self._ending.wait(delay)
        with self._locks[instance_id]:
            machine = self._machine(instance_id)
            if machine is None or self._ending.is_set():
                return
            try:
                self._start(machine)
            except EngineError as error:
                log.error("%s", error)
                self._note(instance_id, status=f"failed: {error}", power_status="stopped")
                return
            self._note(instance_id, status="active", power_status="running", server_status="installingbooting")
        self._watch_boot(machine)

    def _start(self, machine: Machine) -> None:
        """Power on, after putting back VPC networks that were pruned while nothing ran in them."""
        with self.store.read() as state:
            places = state.instances[machine.id].vpcs if machine.id in state.instances else []
            wanted = {self.network(place.vpc_id): IPv4Network(state.vpcs[place.vpc_id].cidr) for place in places}
        for network, cidr in wanted.items():
            self.machines.ensure_vpc(network, cidr)
        self.machines.start(machine)

    def _watch_boot(self, machine: Machine) -> None:
        """Say `ok` once the machine answers on its SSH port."""
        if machine.id in self._watched:
            return
        self._watched.add(machine.id)
        try:
            deadline = time.monotonic() + BOOT_SECONDS
            while time.monotonic() < deadline and not self._ending.is_set():
                if self.machines.answers(machine):
                    self._note(machine.id, server_status="ok")
                    return
                if not self.machines.running().get(machine.id):
                    return
                self._ending.wait(0.25)
        finally:
            self._watched.discard(machine.id)

    def power(self, instance_id: str, *, on: bool, cut: bool = False) -> None:
        """Halt (a power cut), start, or with both `cut` and `on` reboot."""
        with self._locks[instance_id]:
            machine = self._machine(instance_id)
            if machine is None:
                return
            if cut or not on:
                self.machines.kill(instance_id)
                self._note(instance_id, power_status="stopped", server_status="none", wanted="stopped")
            if on:
                self._start(machine)
                self._note(instance_id, status="active", power_status="running", server_status="installingbooting", wanted="running")
                self._later(lambda _: self._watch_boot(machine), instance_id)

    def reinstall(self, instance_id: str) -> None:
        """A blank machine with the same name and addresses."""
        with self._locks[instance_id]:
            self.machines.remove(instance_id)
            self._note(instance_id, status="pending", power_status="stopped", server_status="none", wanted="running")
        self._later(self._build, instance_id)

    def destroy(self, instance_id: str) -> None:
        """Remove the machine, then the instance."""
        with self._locks[instance_id]:
            self.machines.remove(instance_id)
            with self.store.change() as state:
                instance = state.instances.pop(instance_id, None)
            for place in instance.vpcs if instance else []:
                self._vacated[place.vpc_id] = time.monotonic()

    def attach(self, instance_id: str, vpc_id: str) -> None:
        """Plug an instance into a VPC; in it already is fine."""
        with self._locks[instance_id], self.store.change() as state:
            instance = state.instances[instance_id]
            if any(place.vpc_id == vpc_id for place in instance.vpcs):
                return
            place = self.vpc_place(state, vpc_id)
            self.machines.attach(instance_id, Nic(self.network(vpc_id), place.ip_address))
            instance.vpcs.append(place)

    def detach(self, instance_id: str, vpc_id: str) -> None:
        """Unplug an instance from a VPC; not in it is fine."""
        with self._locks[instance_id], self.store.change() as state:
            instance = state.instances[instance_id]
            if all(place.vpc_id != vpc_id for place in instance.vpcs):
                return
            self.machines.detach(instance_id, self.network(vpc_id))
            instance.vpcs = [place for place in instance.vpcs if place.vpc_id != vpc_id]
            self._vacated[vpc_id] = time.monotonic()

    def vpc_is_busy(self, vpc_id: str) -> bool:
        """True while the fault `vpc_busy` keeps a VPC that was left a moment ago."""
        return time.monotonic() < self._vacated.get(vpc_id, float("-inf")) + self.faults.now.vpc_busy

    def reconcile(self) -> None:
        """Look at the machines and make the state say what they do; a look is good for half a second."""
        taken, running = self._glance
        if time.monotonic() - taken > self.glance_seconds:
            running = self.machines.running()
            self._glance = (time.monotonic(), running)
        with self.store.read() as state:
            settled = [one for one in state.instances.values() if one.status == "active" and one.id not in self._watched]
            died = [one.id for one in settled if one.power_status == "running" and not running.get(one.id)]
            woke = [one.id for one in settled if running.get(one.id) and one.server_status != "ok"]
            woke += [one.id for one in settled if running.get(one.id) and one.power_status == "stopped" and one.id not in woke]
        for instance_id in died:
            if not self.machines.running().get(instance_id):
                self._note(instance_id, power_status="stopped", server_status="none")
        for instance_id in woke:
            machine = self._machine(instance_id)
            if machine and self.machines.running().get(instance_id):
                self._note(instance_id, power_status="running")
                self._later(lambda _, machine=machine: self._watch_boot(machine), instance_id)

    def lost(self) -> list[str]:
        """Labels of instances whose machine was removed behind the API's back."""
        known = self.machines.running()
        with self.store.read() as state:
            return [one.label or one.id for one in state.instances.values() if one.status == "active" and one.id not in known]

    def _machine(self, instance_id: str) -> Machine | None:
        with self.store.read() as state:
            instance = state.instances.get(instance_id)
            if instance is None:
                return None
            keys = [state.ssh_keys[key].ssh_key for key in instance.sshkey_ids if key in state.ssh_keys]
            nics = [Nic(self.network(place.vpc_id), place.ip_address) for place in instance.vpcs]
            return Machine(instance.id, instance.label, instance.hostname, instance.main_ip, keys, nics)

    def _note(self, instance_id: str, **what: str) -> None:
        with self.store.read() as state:
            instance = state.instances.get(instance_id)
            if instance is None or all(getattr(instance, name) == value for name, value in what.items()):
                return
        with self.store.change() as state:
            for name, value in what.items():
                setattr(instance, name, value)

    # Object storage

    def subscribe(self, storage_id: str) -> None:
        """Start the S3 server of a subscription that is in the state as pending."""
        self._later(self._open, storage_id)

    def gateway(self, state: State, hostname: str, access_key: str, secret_key: str) -> Gateway:
        """The server of a host name, entered into the state when it is the first subscription there."""
        if hostname not in state.gateways:
            state.gateways[hostname] = Gateway(hostname, self.public_address(state, from_top=True), access_key, secret_key)
        return state.gateways[hostname]

    def _open(self, storage_id: str) -> None:
        with self.store.read() as state:
            account = state.object_storages.get(storage_id)
            gateway = state.gateways.get(account.s3_hostname) if account else None
        if account is None or gateway is None:
            return
        with self._locks[gateway.hostname]:
            try:
                self.storage.add_account(gateway, account)
                status = "active"
            except EngineError as error:
                log.error("%s", error)
                status = f"failed: {error}" if account.status != "active" else "active"
            with self.store.change() as state:
                if storage_id in state.object_storages:
                    state.object_storages[storage_id].status = status

    def unsubscribe(self, account: ObjectStorage) -> None:
        """Remove a subscription, its buckets, and the server when it was the last one there."""
        with self.store.read() as state:
            gateway = state.gateways[account.s3_hostname]
            last = all(one.id == account.id or one.s3_hostname != gateway.hostname for one in state.object_storages.values())
        with self._locks[gateway.hostname]:
            if last:
                self.storage.close(gateway)
            elif account.status == "active":
                for bucket in self.storage.buckets(gateway, account):
                    self.storage.delete_bucket(gateway, bucket.name)
                self.storage.remove_account(gateway, account)
            with self.store.change() as state:
                state.object_storages.pop(account.id, None)
                if last:
                    state.gateways.pop(gateway.hostname, None)


def find_instance(state: State, instance_id: str) -> Instance:
    """The instance, or Vultr's 404."""
    if instance_id not in state.instances:
        raise VultrError(404, "Invalid instance ID.")
    return state.instances[instance_id]
