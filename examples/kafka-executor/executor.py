"""An executor of published tasks: python3 executor.py. It needs confluent_kafka, and SQLite of Python's library."""
import json, os, sqlite3, time, urllib.request
from confluent_kafka import Consumer, Producer

SERVERS = {"bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "localhost:29092")}
KEY = {"X-API-Key": os.environ.get("ORCHESTRATOR_API_KEY", "")}
consumer = Consumer({**SERVERS, "group.id": os.environ.get("EXECUTOR_GROUP", "executors"), "enable.auto.commit": False, "auto.offset.reset": "earliest"})
producer = Producer({**SERVERS, "acks": "all"})
answers = sqlite3.connect(os.environ.get("EXECUTOR_DB", "answers.db"), isolation_level=None)
answers.execute("CREATE TABLE IF NOT EXISTS answer (run_id, task_id, attempt, topic, body, PRIMARY KEY (run_id, task_id, attempt))")

def count_words(inputs, attempt):  # Put your own handlers here: a name, what it gets, what it returns.
    return {"words": len(inputs["text"].split())}

def unsteady(inputs, attempt):
    if attempt == 0:
        raise ConnectionError("the first attempt fails, the next one succeeds")
    return {"attempt": attempt}

HANDLERS = {"count_words": count_words, "unsteady": unsteady}

def answer_of(task, headers):  # A task that comes again, which any message may, gets the answer that it had.
    key = (task["run_id"], task["task_id"], task["attempt"])
    known = answers.execute("SELECT topic, body FROM answer WHERE (run_id, task_id, attempt) = (?, ?, ?)", key).fetchone()
    if known is not None:
        return known
    body, started = dict(zip(("run_id", "task_id", "attempt"), key), lease_token=headers.get("lease_token")), time.monotonic()
    try:
        if "inputs_ref" in task:  # Too large for a message: the service has them.
            task["inputs"] = json.load(urllib.request.urlopen(urllib.request.Request(task["inputs_ref"], headers=KEY)))
        topic, body["output"] = "task_done", HANDLERS[task["handler"]](task["inputs"], task["attempt"])
    except Exception as error:
        topic, body["error"] = "task_failed", repr(error)
    body["execution_time_ms"] = round((time.monotonic() - started) * 1000)
    answers.execute("INSERT INTO answer VALUES (?, ?, ?, ?, ?)", (*key, topic, json.dumps(body)))
    return topic, json.dumps(body)

consumer.subscribe(["task_queue"])
while True:
    message = consumer.poll(1.0)
    if message is None or message.error() is not None:
        continue
    task = json.loads(message.value())
    if task["handler"] in HANDLERS:  # Others have executors, and groups, of their own.
        topic, body = answer_of(task, {name: value.decode() for name, value in message.headers() or []})
        errors = ["no confirmation"]
        producer.produce(topic, body, key=task["task_id"], on_delivery=lambda error, _: errors.__setitem__(0, error))
        producer.flush(30)
        if errors[0] is not None:
            raise SystemExit(f"the answer was not taken, so the task comes again: {errors[0]}")
    consumer.commit(message, asynchronous=False)
