"""A dispatcher as a process, with two platforms; both are endpoints of RunPod's form.

python -m tests.support.platforms_dispatcher EAST_URL WEST_URL
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from config.settings import changed, load_settings
from events.sender import Sender
from pipeline.dispatcher.dispatcher import Dispatcher
from pipeline.dispatcher.loop import Wakeup, dispatch
from pipeline.engines.engines import Engines
from pipeline.engines.runpod import RunpodEngine
from pipeline.notify.sinks import make_sink
from pipeline.runtime import load_runtime
from pipeline.store.open import open_store


def main(modal: str, runpod: str) -> None:
    settings = load_settings(os.environ)
    runtime = load_runtime(settings, "runpod")
    named = {"modal": modal, "runpod": runpod}
    engines = Engines(
        {
            name: RunpodEngine(changed(settings, runpod_url=url), runtime.routes)
            for name, url in named.items()
        },
        "modal",
    )
    wakeup = Wakeup()
    signal.signal(signal.SIGTERM, lambda *_: wakeup.stop())
    with (
        closing(engines),
        Sender(make_sink(settings)) as sender,
        ThreadPoolExecutor(settings.dispatch_threads) as pool,
    ):
        store, owner = open_store(settings), f"dispatcher@{os.getpid()}"
        platforms = engines.platforms
        dispatch(
            Dispatcher(store, engines, sender, runtime, pool, owner, platforms=platforms), wakeup
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
