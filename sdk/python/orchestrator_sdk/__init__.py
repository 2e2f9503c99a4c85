"""A client and a worker for the orchestrator, with the standard library alone."""

from ._api_error import ApiError, ExecutionFailedError, OrchestratorError, ServiceUnreachableError
from ._errors import ERRORS_BY_CODE
from .client import Client, Run
from .webhooks import WebhookVerificationError, verify_webhook
from .worker import LeaseLost, Task, TaskFailed, Worker

__all__ = [
    "ApiError",
    "Client",
    "ERRORS_BY_CODE",
    "ExecutionFailedError",
    "LeaseLost",
    "OrchestratorError",
    "Run",
    "ServiceUnreachableError",
    "Task",
    "TaskFailed",
    "WebhookVerificationError",
    "Worker",
    "verify_webhook",
]
