"""What trials import, done once: the fork server imports this module, and its children share the result.

It offers nothing; importing it is its whole work. No child can start before it is done.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import threading

NAMES = (
    "benchbird.trial",
    "torch._dynamo",  # torch imports it when the first optimiser is made, which takes as long as torch itself
    "pydantic.type_adapter",  # records are checked against their schema before they are written
    "torchvision",
    "segmentation_models_pytorch",
)


def _import_all() -> None:
    for name in NAMES:
        # A library that can't be imported must fail in the trials that need it. Here it would end the fork
        # server, and every trial with it: multiprocessing forgives an ImportError alone.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def _end_with_run(run: int, done: threading.Event) -> None:
    """End this process where the run ends meanwhile, of a mistake in its file perhaps: imports take seconds."""
    while not done.wait(0.1):
        if os.getppid() != run:
            os._exit(0)


def _share_bar_lock() -> None:
    """Give tqdm, which torch.compile shows its progress with, a lock of threads.

    Its own is a semaphore between processes: one that a child makes is left behind at its end, and Python says so.
    """
    with contextlib.suppress(Exception):
        from tqdm import tqdm

        tqdm.set_lock(threading.RLock())


def _preload() -> None:
    done = threading.Event()
    watch = threading.Thread(target=_end_with_run, args=(os.getppid(), done))
    watch.start()
    # Modules make a million objects that stay: looking for garbage among them takes a fifth of the time. Frozen,
    # they are passed over in the children too, which then don't copy the pages that they lie on.
    gc.disable()
    try:
        _import_all()
        _share_bar_lock()
        gc.freeze()
    finally:
        gc.enable()
        done.set()
        watch.join()  # a process with threads must not be forked


_preload()
