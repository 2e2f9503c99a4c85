"""What a program does with the Python SDK: `url`, and the headers and body of a webhook as JSON on standard input."""

import json
import sys

from orchestrator_sdk import ERRORS_BY_CODE, Client, ExecutionFailedError, WebhookVerificationError, verify_webhook

client = Client(sys.argv[1], timeout=10)
webhook = json.load(sys.stdin)

verify_webhook(webhook["secret"], webhook["headers"], webhook["body"])
for headers, body in [(webhook["headers"], webhook["body"] + " "), ({}, webhook["body"])]:
    try:
        verify_webhook(webhook["secret"], headers, body)
        raise SystemExit("it was taken for signed")
    except WebhookVerificationError:
        pass
try:
    verify_webhook(webhook["secret"], webhook["headers"], webhook["body"], now=webhook["late"])
    raise SystemExit("it was taken for new")
except WebhookVerificationError:
    pass

try:
    client.get_workflow("nobody-knows-it")
    raise SystemExit("it was found")
except ERRORS_BY_CODE["not_found"] as error:
    assert error.status == 404 and error.code == "not_found", error

wait = {"action_id": "rest", "action_type": "wait", "config": {"seconds": 2}}
say = {"action_id": "say", "action_type": "transform", "depends_on": ["rest"], "config": {"outputs": {"said": "params.word"}}}
client.create_workflow(
    {"name": "from python", "parameters": [{"name": "word", "type": "string"}], "actions": [wait, say]}
)
run = client.run("from python", {"word": "hello"})
print("started", flush=True)
events = [event["id"] for event in run.events() if event["id"] is not None]
output = run.result(timeout=300)

bad = {"action_id": "bad", "action_type": "transform", "config": {"expression": "1 / 0"}, "retry": {"max_attempts": 1}}
client.create_workflow({"name": "bad python", "actions": [bad]})
try:
    client.run("bad python").result()
    raise SystemExit("it completed")
except ExecutionFailedError as error:
    failed = error.status

again = [client.run("from python", {"word": "x"}, idempotency_key="once").id for _ in range(2)]
client.execution(again[0]).cancel("enough")
print(json.dumps({"output": output, "events": events, "failed": failed, "same": again[0] == again[1]}), flush=True)
