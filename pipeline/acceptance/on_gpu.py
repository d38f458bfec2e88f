"""Jobs that must run on a GPU of a given name, whatever the route prefers.

A manifest cannot say so, and a worker's lease can: after out of memory, the next attempt has the
route's next GPU named in it. So the job is written as one that waits for its next attempt:
jobs/<id>/manifest.json first, then a lease in the phase `retry` that is due at once and names the
GPU. Whichever dispatcher comes by takes it over and spawns it there. The inbox never has it, so
none can claim it without the GPU. A lease without the manifest would be given up, and a manifest
without a lease is left by a run that broke off here: the next run writes the lease.
"""

from uuid import uuid4

from config.errors import IdConflict
from pipeline.contract.keys import lease_key, manifest_key, parse_inbox_key, result_key
from pipeline.contract.lease import Lease, Phase
from pipeline.jobs.submit import Prepared
from pipeline.store.conditional import Lost, SafeStore

OWNER = "accept"
TTL_S = 60.0
"""Of no account in this phase: whoever takes it over sets its own."""


def place(store: SafeStore, job: Prepared, gpu: str) -> None:
    """Leave a job to be taken over, unless it is on its way or finished.

    Raises IdConflict for an id that was used with another manifest.
    """
    for picture in job.images:
        store.write(picture.key, picture.body, picture.content_type)
    if isinstance(store.create(manifest_key(job.id), job.body), Lost):
        raise IdConflict(
            f"the id {job.id} was used with another manifest", field="id", value=job.id
        )
    if store.get(result_key(job.id), limit=1) is None:
        store.create(lease_key(job.id), _waiting(store, job, gpu).body())


def _waiting(store: SafeStore, job: Prepared, gpu: str) -> Lease:
    name, nonce, now = parse_inbox_key(job.key), uuid4().hex, store.now()
    return Lease(
        id=job.id,
        entry=job.key,
        model=name.model,
        tenant=name.tenant,
        attempt=0,
        claim=nonce,
        nonce=nonce,
        owner=OWNER,
        phase=Phase.RETRY,
        ttl_s=TTL_S,
        not_before=now,
        gpu=gpu,
        submitted_at=now,
    )
