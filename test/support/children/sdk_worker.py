"""A worker of the Python SDK as a program: `url topic id`. Says each task that it takes."""

import sys
import time

from orchestrator_sdk import Client, TaskFailed, Worker

url, topic, worker_id = sys.argv[1:]
worker = Worker(Client(url), concurrency=2, lease_seconds=2, worker_id=worker_id)


@worker.task(topic)
def work(given, task):
    print(f"took {task.execution_id} {task.action_id}", flush=True)
    if given.get("fail"):
        raise TaskFailed("never", code="no_stock", retryable=False)
    task.progress(50)
    task.log("halfway", n=given["n"])
    time.sleep(given["ms"] / 1000)
    return {"n": given["n"], "by": worker_id}


worker.run()
print("ended", flush=True)
