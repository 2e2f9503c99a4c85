"""The client: every operation by its name, and what takes more than one request."""

from __future__ import annotations

import email.utils
import http.client
import json
import random
import re
import time
import urllib.error
import urllib.request
import uuid
from typing import Any, Callable, Iterator, Mapping, Optional, Union
from urllib.parse import urlencode

from ._api_error import ApiError, ExecutionFailedError, OrchestratorError, ServiceUnreachableError
from ._errors import ERRORS_BY_CODE
from ._operations import Json, JsonObject, Operations

_RETRYABLE = {408, 425, 429, 500, 502, 503, 504}
_LONGEST_RETRY_AFTER = 60.0
_UUID = re.compile(r"[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}", re.IGNORECASE)
_OPEN = {"pending", "running"}
_WAIT_SECONDS = 20
# The service says every 15 s that it is there.
_SILENCE_SECONDS = 45.0


def backoff(failures: int) -> float:
    """Seconds after failure number `failures` (1-based): they double, and lose up to half by chance."""
    return min(0.2 * 2 ** (failures - 1), 10.0) * (1 - random.random() / 2)


def is_passing(error: BaseException) -> bool:
    """Whether the same request may be answered otherwise later."""
    if isinstance(error, ServiceUnreachableError):
        return True
    return isinstance(error, ApiError) and error.status in _RETRYABLE and error.code != "still_running"


class Client(Operations):
    """Speaks to a service. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        api_key: Optional[str] = None,
        token: Union[str, Callable[[], str], None] = None,
        cookie: Optional[str] = None,
        tenant: Optional[str] = None,
        user: Optional[str] = None,
        timeout: float = 40.0,
        max_attempts: int = 5,
        outage: float = 600.0,
    ) -> None:
        """`timeout` is of one try; `outage` is how long results and streams wait for a service that does not answer."""
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.max_attempts = max_attempts
        self.outage = outage
        self._token = token
        self._headers = {
            "X-API-Key": api_key,
            "Cookie": cookie,
            "X-Tenant-Id": tenant,
            "X-User-Id": user,
        }
        self._ids: dict[str, str] = {}

    def _call(
        self, method: str, path: str, query: Mapping[str, Any], body: Json, keyed: bool, options: Mapping[str, Any]
    ) -> Any:
        known = {"idempotency_key", "headers", "timeout", "max_attempts", "repeatable"}
        if not known.issuperset(options):
            raise TypeError(f"unknown options: {', '.join(sorted(set(options) - known))}")
        key = options.get("idempotency_key") or (uuid.uuid4().hex if keyed else None)
        headers = {**(options.get("headers") or {}), **({"Idempotency-Key": key} if key else {})}
        repeatable = method == "GET" or key is not None or options.get("repeatable", False)
        attempts = options.get("max_attempts") or self.max_attempts
        failures = 0
        while True:
            try:
                with self.open(method, path + _query(query), body, headers, options.get("timeout")) as response:
                    return _content(response)
            except OrchestratorError as error:
                failures += 1
                asked = getattr(error, "retry_after", None) or 0.0
                if not repeatable or failures >= attempts or not is_passing(error) or asked > _LONGEST_RETRY_AFTER:
                    raise
                time.sleep(max(asked, backoff(failures)))

    def open(
        self,
        method: str,
        path: str,
        body: Json = None,
        headers: Optional[Mapping[str, str]] = None,
        timeout: Optional[float] = None,
    ) -> Any:
        """The answer to one request, to be closed; raises when it is not a good one."""
        token = self._token() if callable(self._token) else self._token
        every = {"Accept": "application/json", **self._headers, "Authorization": f"Bearer {token}" if token else None}
        data = None if body is None else json.dumps(body).encode()
        every["Content-Type"] = None if data is None else "application/json"
        sent = {name: value for name, value in {**every, **(headers or {})}.items() if value is not None}
        request = urllib.request.Request(self.url + path, data=data, headers=sent, method=method)
        try:
            return urllib.request.urlopen(request, timeout=timeout or self.timeout)
        except urllib.error.HTTPError as error:
            with error:
                raise _error_of(error) from None
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnreachableError(f"The service cannot be reached: {error}") from error

    def run(
        self, workflow: str, parameters: Optional[Mapping[str, Any]] = None, *, idempotency_key: Optional[str] = None, **fields: Any
    ) -> "Run":
        """Starts a workflow by its name, or by its id. `fields` are those of ExecuteRequest: `priority`, `version`, …"""
        workflow_id = workflow if _UUID.fullmatch(workflow) else self.id_of(workflow)
        body = {"parameters": dict(parameters or {}), **fields}
        key = idempotency_key or uuid.uuid4().hex
        accepted = self.execute_workflow(workflow_id, body=body, idempotency_key=key)
        return Run(self, accepted["execution_id"])

    def id_of(self, name: str) -> str:
        """The id of the workflow with exactly this name."""
        if name not in self._ids:
            found, page = [], 1
            while True:
                items = self.list_workflows(name=name, page=page, page_size=200)["items"]
                found += [one["workflow_id"] for one in items if one["name"] == name and one["status"] != "archived"]
                if len(items) < 200:
                    break
                page += 1
            if not found:
                raise ERRORS_BY_CODE["not_found"](404, {"code": "not_found", "detail": f"No workflow is called '{name}'"})
            if len(found) > 1:
                raise OrchestratorError(f"{len(found)} workflows are called '{name}': {', '.join(found)}")
            self._ids[name] = found[0]
        return self._ids[name]

    def execution(self, execution_id: str) -> "Run":
        """An execution, or a single task, that exists."""
        return Run(self, execution_id)

    def events(self, execution_id: str, last_event_id: Optional[str] = None) -> Iterator[JsonObject]:
        """`{id, event, data}` until the execution has ended, resumed by Last-Event-ID wherever a connection breaks."""
        path = f"/workflows/executions/{execution_id}/events"
        last, failures, reached = last_event_id, 0, time.monotonic()
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last is not None else {})}
            try:
                with self.open("GET", path, None, headers, _SILENCE_SECONDS) as response:
                    if response.status == 204:
                        return
                    for message in messages_in(response):
                        failures, reached = 0, time.monotonic()
                        if message["event"] == "stream.closed":
                            raise ERRORS_BY_CODE["unauthorized"](401, {"code": "unauthorized", **message["data"]})
                        last = message["id"] if message["id"] is not None else last
                        yield message
                # It ends after the last event, and 204 says that it was the last one.
                if failures == 0:
                    continue
            except (OrchestratorError, OSError, http.client.HTTPException) as error:
                is_cut = not isinstance(error, OrchestratorError)
                if not (is_cut or is_passing(error)) or time.monotonic() - reached > self.outage:
                    raise
            failures += 1
            time.sleep(backoff(failures))


class Run:
    """One execution."""

    def __init__(self, client: Client, execution_id: str) -> None:
        self.client = client
        self.id = execution_id

    def get(self) -> JsonObject:
        return self.client.get_execution(self.id)

    def ended(self, timeout: Optional[float] = None) -> JsonObject:
        """The execution, once it has ended; waits over restarts of the service. Raises TimeoutError after `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        failures, reached = 0, time.monotonic()
        while True:
            left = _WAIT_SECONDS if until is None else max(0.0, min(_WAIT_SECONDS, until - time.monotonic()))
            try:
                answer = self.client.get_result(self.id, wait=round(left, 2), max_attempts=1)
                if answer["status"] not in _OPEN:
                    return self.get()
                failures, reached = 0, time.monotonic()
            except OrchestratorError as error:
                if not is_passing(error) or time.monotonic() - reached > self.client.outage:
                    raise
                failures += 1
                time.sleep(backoff(failures))
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"Execution {self.id} has not ended within {timeout} s")

    def result(self, timeout: Optional[float] = None) -> Json:
        """Its output, once it has completed; raises ExecutionFailedError when it ended otherwise."""
        execution = self.ended(timeout)
        if execution["status"] != "completed":
            raise ExecutionFailedError(execution)
        return execution["output"]

    def events(self, last_event_id: Optional[str] = None) -> Iterator[JsonObject]:
        return self.client.events(self.id, last_event_id)

    def cancel(self, reason: Optional[str] = None) -> JsonObject:
        return self.client.cancel_execution(self.id, body={} if reason is None else {"reason": reason})


def messages_in(lines: Any) -> Iterator[JsonObject]:
    """Server-Sent Events. A message that is not whole when the connection ends is dropped."""
    fields: dict[str, Any] = {}
    for raw in lines:
        if not raw.endswith(b"\n"):
            return
        line = raw.decode().rstrip("\r\n")
        if line == "":
            if "data" in fields:
                data = json.loads("\n".join(fields["data"]))
                yield {"id": fields.get("id"), "event": fields.get("event", "message"), "data": data}
            fields = {}
            continue
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "data":
            fields.setdefault("data", []).append(value)
        elif name in ("id", "event"):
            fields[name] = value


def _query(values: Mapping[str, Any]) -> str:
    pairs = []
    for name, value in values.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                pairs.append((name, str(one).lower() if isinstance(one, bool) else one))
    return f"?{urlencode(pairs)}" if pairs else ""


def _content(response: Any) -> Any:
    try:
        text = response.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnreachableError(f"The answer broke off: {error}") from error
    if text == "":
        return None
    return json.loads(text) if "json" in (response.headers.get("Content-Type") or "") else text


def _error_of(answer: urllib.error.HTTPError) -> ApiError:
    try:
        problem = json.loads(answer.read())
    except (OSError, ValueError, http.client.HTTPException):
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    kind = ERRORS_BY_CODE.get(problem.get("code", ""), ApiError)
    return kind(answer.code, problem, _retry_after(answer.headers.get("Retry-After")))


def _retry_after(value: Optional[str]) -> Optional[float]:
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return None
