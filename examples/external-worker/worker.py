"""A worker for tasks of type `external`: python3 worker.py [topic]. It needs nothing but Python's standard library."""
import json, os, socket, sys, threading, time, urllib.error, urllib.request

URL = os.environ.get("ORCHESTRATOR_URL", "http://localhost:8000")
HEADERS = {"Content-Type": "application/json", "X-API-Key": os.environ.get("ORCHESTRATOR_API_KEY", "")}
POLL = {"topic": (sys.argv + ["word-count"])[1], "worker_id": f"{socket.gethostname()}:{os.getpid()}", "wait_seconds": 20, "lease_seconds": 10}

def post(path, body):
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), HEADERS)
    while True:
        try:
            return json.load(urllib.request.urlopen(request, timeout=60))
        except OSError as error:  # The service is away or busy: to send the same again is safe. Anything else is an answer.
            if getattr(error, "code", 503) not in (429, 503):
                raise
            time.sleep(1)

def work(given, tell):  # Put your own work here. ValueError: another attempt cannot help.
    words = given["text"].split()
    tell({"percent": 50, "message": f"{len(words)} words"})
    return {"words": len(words), "longest": max(words, key=len)}  # No words: ValueError.

def handle(task):
    path, lease, done = f"/tasks/{task['task_id']}", {"lease_token": task["lease_token"]}, threading.Event()
    def keep():  # Without a heartbeat the task goes to another worker when the lease is over.
        while not done.wait(POLL["lease_seconds"] / 3):
            post(path + "/heartbeat", lease)
    threading.Thread(target=keep, daemon=True).start()
    try:
        end, said = "/complete", {"output": work(task["input"], lambda progress: post(path + "/heartbeat", {**lease, "progress": progress}))}
    except Exception as error:
        end, said = "/fail", {"error": repr(error), "retryable": not isinstance(error, ValueError)}
    done.set()
    try:
        post(path + end, {**lease, **said})
    except urllib.error.HTTPError as refused:  # 409: the lease is lost, or the run was cancelled.
        print(refused.code, refused.read().decode(), flush=True)
while True:
    for leased in post("/tasks/poll", POLL)["tasks"]:
        handle(leased)
