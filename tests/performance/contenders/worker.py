"""One contender in a process of its own: epochs on demand, or a whole job.

    python -m tests.performance.contenders.worker epochs bare '{"segmenter": "unet", "size": 64, "images": 32}'
    python -m tests.performance.contenders.worker whole notebook '{… "root": "birds", "epochs": 10}'

For epochs it reads a line from standard input for each, and answers with one of JSON.
"""

from __future__ import annotations

import importlib
import json
import sys

from tests.performance.contenders.job import Job


def wait() -> None:
    """Return when the next epoch may begin; end with the one who asks."""
    if not sys.stdin.readline():
        raise SystemExit(0)


def tell(images: int, seconds: float) -> None:
    """Answer with what an epoch took."""
    print(json.dumps([images, seconds]), flush=True)


def main(kind: str, contender: str, text: str) -> None:
    """Run one contender."""
    job = Job(**json.loads(text))
    module = importlib.import_module(f"tests.performance.contenders.{contender}")
    if kind == "whole":
        module.whole_job(job)
    elif hasattr(module, "train_paced"):
        module.train_paced(job, wait, tell)
    else:
        loop = module.Loop(job)
        while True:
            wait()
            tell(*loop.epoch())


if __name__ == "__main__":
    main(*sys.argv[1:])
