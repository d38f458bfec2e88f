"""Opens the bucket that the settings name."""

from uuid import uuid4

from config.settings import Settings
from pipeline.store.conditional import SafeStore
from pipeline.store.probe import require_conditional
from pipeline.store.s3 import S3Store


def open_store(settings: Settings, threads: int = 0) -> SafeStore:
    """For so many threads and a dispatcher's. No request is made yet."""
    pool = max(16, settings.dispatch_threads * 2, threads)
    return SafeStore(S3Store(settings, pool=pool), conditional_delete=None)


def open_checked_store(settings: Settings, threads: int = 0) -> SafeStore:
    """Raises StoreNotConditional or StoreDenied unless it keeps what the queue rests on."""
    store = open_store(settings, threads)
    store.now()
    require_conditional(store.raw, uuid4().hex)
    store.deletes_conditionally()
    return store
