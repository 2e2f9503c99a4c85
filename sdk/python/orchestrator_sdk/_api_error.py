"""The errors of the client."""

from __future__ import annotations

from typing import Any, Mapping, Optional


class OrchestratorError(Exception):
    """Whatever this package raises."""


class ApiError(OrchestratorError):
    """The service rejected a request. Every `code` has a class of its own below this one."""

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: Optional[float] = None) -> None:
        super().__init__(problem.get("detail") or f"The service answered {status}")
        self.status = status
        self.code: str = problem.get("code") or "unknown"
        self.problem = problem
        self.retry_after = retry_after


class ServiceUnreachableError(OrchestratorError):
    """No answer came: the service could not be reached, or the connection ended, or the time was over."""


class ExecutionFailedError(OrchestratorError):
    """An execution ended, and did not complete."""

    def __init__(self, execution: Mapping[str, Any]) -> None:
        error = execution.get("error") or {}
        why = f": {error['message']}" if isinstance(error, Mapping) and error.get("message") else ""
        super().__init__(f"Execution {execution['execution_id']} is {execution['status']}{why}")
        self.execution = execution
        self.execution_id: str = execution["execution_id"]
        self.status: str = execution["status"]
