"""A worker: leases the tasks of `external` actions, one topic for each function, and answers them."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
import uuid
from typing import Any, Callable, Optional

from ._api_error import ApiError, OrchestratorError
from ._operations import Json, JsonObject
from .client import Client, backoff, is_passing

Function = Callable[[Any, "Task"], Json]

# Nobody wants the answer any more.
_LOST = {"lease_lost", "run_cancelled", "not_found"}
_CODE = re.compile(r"[a-z][a-z0-9_]{0,99}")
_BEATS_PER_LEASE = 3
# A poll cannot be broken off, so a worker that is to end waits for it.
_POLL_SECONDS = 2


class LeaseLost(OrchestratorError):
    """Somebody else has the task, or its execution has ended."""


class TaskFailed(Exception):
    """Fails the attempt, with a code of your own; with `retryable=False` for good."""

    def __init__(self, message: str, *, code: Optional[str] = None, retryable: bool = True) -> None:
        super().__init__(message)
        self.code = code
        self.retryable = retryable


class Task:
    """One leased task, as its function gets it."""

    def __init__(self, leased: JsonObject) -> None:
        self.id: str = leased["task_id"]
        self.execution_id: str = leased["execution_id"]
        self.action_id: str = leased["action_id"]
        self.attempt: int = leased["attempt"]
        self.input: Json = leased["input"]
        # The same for every attempt; send it on to services.
        self.idempotency_key = f"{self.execution_id}.{self.action_id}"
        self._token: str = leased["lease_token"]
        self._lost = threading.Event()
        self._progress: Optional[JsonObject] = None
        self._logs: list[JsonObject] = []

    @property
    def lost(self) -> bool:
        """Nobody wants the answer any more: stop."""
        return self._lost.is_set()

    def check(self) -> None:
        """Raises LeaseLost when nobody wants the answer any more. Call it now and then in long work."""
        if self.lost:
            raise LeaseLost(f"{self.id} is lost")

    def progress(self, percent: float, message: Optional[str] = None) -> None:
        self._progress = {"percent": percent, **({} if message is None else {"message": message})}

    def log(self, message: str, level: str = "info", **data: Any) -> None:
        if len(self._logs) < 100:
            self._logs.append({"level": level, "message": message[:4000] or "-", **({"data": data} if data else {})})


class Worker:
    """Functions by topic: decorate them with `@worker.task('topic')`, then call `run()`."""

    def __init__(
        self, client: Client, *, concurrency: int = 4, lease_seconds: float = 30, worker_id: Optional[str] = None
    ) -> None:
        """`concurrency` is of each topic; a worker that dies keeps its tasks from others for `lease_seconds`."""
        self.client = client
        self.concurrency = concurrency
        self.lease_seconds = lease_seconds
        self.worker_id = worker_id or f"python-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._functions: dict[str, Function] = {}
        self._stopping = threading.Event()
        self._fault: Optional[BaseException] = None

    def task(self, topic: str) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            if topic in self._functions:
                raise ValueError(f"two functions of topic {topic}")
            self._functions[topic] = function
            return function

        return register

    def stop(self) -> None:
        """Polls no more; what runs is finished."""
        self._stopping.set()

    def run(self, *, signals: bool = True) -> None:
        """Works until `stop`, or SIGTERM or SIGINT, and until what runs is done. Raises when the service rejects it."""
        if signals and threading.current_thread() is threading.main_thread():
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, lambda *_: self.stop())
        # Each thread leases one task at a time.
        threads = [
            threading.Thread(target=self._serve, args=(topic, function), name=f"{topic} {number}")
            for topic, function in self._functions.items()
            for number in range(self.concurrency)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            # A handler of a signal runs between two of these.
            while thread.is_alive():
                thread.join(0.5)
        if self._fault is not None:
            raise self._fault

    def _serve(self, topic: str, function: Function) -> None:
        failures = 0
        while not self._stopping.is_set():
            body = {
                "topic": topic,
                "worker_id": self.worker_id,
                "max": 1,
                "wait_seconds": _POLL_SECONDS,
                "lease_seconds": self.lease_seconds,
            }
            try:
                tasks = self.client.poll_tasks(body)["tasks"]
                failures = 0
            except OrchestratorError as error:
                if not is_passing(error):
                    self._fault = error
                    self.stop()
                    return
                failures += 1
                self._stopping.wait(backoff(failures))
                continue
            for leased in tasks:
                self._execute(function, Task(leased))

    def _execute(self, function: Function, task: Task) -> None:
        done = threading.Event()
        beats = threading.Thread(target=self._beat, args=(task, done), daemon=True)
        beats.start()
        try:
            output = function(task.input, task)
            self._answer(task, self.client.complete_task, {"output": output})
        except LeaseLost:
            pass
        except Exception as error:  # Whatever the function raises is the end of this attempt, not of the worker.
            self._fail(task, error)
        finally:
            done.set()
            beats.join()

    def _fail(self, task: Task, error: Exception) -> None:
        if isinstance(error, ApiError) and error.code in _LOST:
            return
        code = getattr(error, "code", None)
        if not (isinstance(code, str) and _CODE.fullmatch(code)):
            code = None
        # The service would reject the same output again.
        rejected = isinstance(error, ApiError) and not is_passing(error)
        body = {
            "error": {"message": (str(error) or type(error).__name__)[:16000], **({"code": code} if code else {})},
            "retryable": getattr(error, "retryable", True) and not rejected,
        }
        try:
            self._answer(task, self.client.fail_task, body)
        except OrchestratorError as fault:
            print(f"{task.id}: {fault}", file=sys.stderr)

    def _answer(self, task: Task, send: Callable[..., Any], body: JsonObject) -> None:
        """Until it has arrived, or the lease is over: an answer that was sent twice is answered in the same way."""
        logs, task._logs = task._logs, []
        failures = 0
        while True:
            task.check()
            try:
                send(task.id, {"lease_token": task._token, "logs": logs, **body})
                return
            except OrchestratorError as error:
                if not is_passing(error):
                    raise
                failures += 1
                time.sleep(backoff(failures))

    def _beat(self, task: Task, done: threading.Event) -> None:
        ends = time.monotonic() + self.lease_seconds
        while not done.wait(self.lease_seconds / _BEATS_PER_LEASE):
            sent = time.monotonic()
            progress, task._progress = task._progress, None
            logs, task._logs = task._logs, []
            body = {"lease_token": task._token, "logs": logs, **({"progress": progress} if progress else {})}
            try:
                self.client.heartbeat_task(task.id, body, max_attempts=1, timeout=self.lease_seconds)
                ends = sent + self.lease_seconds
            except OrchestratorError as error:
                task._logs = logs + task._logs
                if isinstance(error, ApiError) and error.code in _LOST:
                    task._lost.set()
            if time.monotonic() > ends:
                task._lost.set()
            if task.lost:
                return
