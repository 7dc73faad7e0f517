"""Object storage: clusters, tiers, subscriptions with their keys, buckets."""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from local.vultr import catalog
from local.vultr.errors import bad_request, not_found
from local.vultr.routes.common import Body, P, Page, Parts, done
from local.vultr.state import Gateway, ObjectStorage, State, new_id, now
from local.vultr.storage import BucketError

router = APIRouter(prefix="/v2/object-storage")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class CreateStorage(Body):
    cluster_id: int
    tier_id: int
    label: str = ""


class UpdateStorage(Body):
    label: str


class CreateBucket(Body):
    name: str
    enable_bucket_versioning: bool = False
    enable_object_lock: bool = False


def _find(state: State, storage_id: str) -> ObjectStorage:
    if storage_id not in state.object_storages:
        raise not_found("Invalid object storage ID")
    return state.object_storages[storage_id]


def _shown(one: ObjectStorage) -> dict[str, Any]:
    return {
        "id": one.id,
        "date_created": one.date_created,
        "cluster_id": one.cluster_id,
        "region": one.region,
        "location": one.region,
        "label": one.label,
        "status": one.status,
        "s3_hostname": one.s3_hostname,
        "s3_access_key": one.s3_access_key,
        "s3_secret_key": one.s3_secret_key,
        # This very key: the provider reads the tier from it on import.
        "OBJSTORETIERID": one.tier_id,
    }


def _keys() -> tuple[str, str]:
    """An access key and a secret key of S3's usual lengths."""
    access = "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(20))
    return access, "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40))


@router.get("/clusters")
def list_clusters(page: Page) -> dict[str, Any]:
    return page.page("clusters", catalog.clusters())


@router.get("/clusters/{cluster_id}/tiers")
def list_cluster_tiers(cluster_id: int) -> dict[str, Any]:
    if catalog.find(catalog.clusters(), cluster_id) is None:
        raise not_found("Invalid cluster ID")
    return {"tiers": [{name: value for name, value in tier.items() if name != "locations"} for tier in catalog.tiers()]}


@router.get("/tiers")
def list_tiers() -> dict[str, Any]:
    return {"tiers": catalog.tiers()}


@router.get("")
def list_storages(parts: P, page: Page) -> dict[str, Any]:
    with parts.store.read() as state:
        return page.page("object_storages", [_shown(one) for one in state.object_storages.values()])


@router.post("", status_code=202)
def create_storage(body: CreateStorage, parts: P) -> dict[str, Any]:
    cluster = catalog.find(catalog.clusters(), body.cluster_id)
    if cluster is None or cluster["deploy"] != "yes":
        raise bad_request("Invalid cluster ID")
    if catalog.find(catalog.tiers(), body.tier_id) is None:
        raise bad_request("Invalid tier ID")
    if problems := parts.hosting.storage.problems():
        raise bad_request(f"Object storage add failed: {problems[0]}")
    with parts.store.change() as state:
        parts.hosting.gateway(state, cluster["hostname"], *_keys())
        access, secret = _keys()
        one = ObjectStorage(
            id=new_id(),
            cluster_id=body.cluster_id,
            tier_id=body.tier_id,
            region=cluster["region"],
            label=body.label,
            status="pending",
            s3_hostname=cluster["hostname"],
            s3_access_key=access,
            s3_secret_key=secret,
            date_created=now(),
        )
        state.object_storages[one.id] = one
    parts.hosting.subscribe(one.id)
    return {"object_storage": _shown(one)}


@router.get("/{storage_id}")
def get_storage(storage_id: str, parts: P) -> dict[str, Any]:
    with parts.store.read() as state:
        return {"object_storage": _shown(_find(state, storage_id))}


@router.put("/{storage_id}")
def update_storage(storage_id: str, body: UpdateStorage, parts: P) -> Response:
    with parts.store.change() as state:
        _find(state, storage_id).label = body.label
    return done()


@router.delete("/{storage_id}")
def delete_storage(storage_id: str, parts: P) -> Response:
    with parts.store.read() as state:
        one = _find(state, storage_id)
    parts.hosting.unsubscribe(one)
    return done()


def _open(parts: Parts, storage_id: str) -> tuple[Gateway, ObjectStorage]:
    """The subscription and its server, once it is active."""
    with parts.store.read() as state:
        one = _find(state, storage_id)
        if one.status != "active":
            raise bad_request(f"The object storage is not ready: its status is {one.status}.")
        return state.gateways[one.s3_hostname], one


@router.get("/{storage_id}/bucket")
def list_buckets(storage_id: str, parts: P) -> dict[str, Any]:
    gateway, one = _open(parts, storage_id)
    return {"buckets": [asdict(bucket) for bucket in parts.hosting.storage.buckets(gateway, one)]}


@router.post("/{storage_id}/bucket")
def create_bucket(storage_id: str, body: CreateBucket, parts: P) -> Response:
    if not BUCKET.fullmatch(body.name):
        raise bad_request(f"Invalid bucket name '{body.name}': 3 to 63 small letters, digits, dashes and dots.")
    gateway, one = _open(parts, storage_id)
    try:
        parts.hosting.storage.create_bucket(gateway, one, body.name, versioning=body.enable_bucket_versioning, lock=body.enable_object_lock)
    except BucketError as error:
        raise bad_request(str(error)) from error
    return done()


@router.delete("/{storage_id}/bucket/{name}")
def delete_bucket(storage_id: str, name: str, parts: P) -> Response:
    """Deletes what is in the bucket as well."""
    gateway, one = _open(parts, storage_id)
    if name not in (bucket.name for bucket in parts.hosting.storage.buckets(gateway, one)):
        raise not_found("Invalid bucket name")
    parts.hosting.storage.delete_bucket(gateway, name)
    return done()
