"""A Kafka cluster of librdkafka's mock brokers, and a client of librdkafka beside it.

Takes commands on stdin, one JSON object a line: {"id": 1, "do": "produce", ...}; answers {"id": 1, "result": ...} or
{"id": 1, "error": "..."} on stdout. The first line of its own is {"servers": "127.0.0.1:port,..."}. It ends with stdin.
"""

import base64
import ctypes
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition

PRODUCER_TYPE = 0
library = ctypes.CDLL("librdkafka.so.1")
library.rd_kafka_conf_new.restype = ctypes.c_void_p
library.rd_kafka_new.restype = ctypes.c_void_p
library.rd_kafka_new.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t]
library.rd_kafka_mock_cluster_new.restype = ctypes.c_void_p
library.rd_kafka_mock_cluster_new.argtypes = [ctypes.c_void_p, ctypes.c_int]
library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
library.rd_kafka_mock_cluster_bootstraps.argtypes = [ctypes.c_void_p]
library.rd_kafka_mock_cluster_destroy.argtypes = [ctypes.c_void_p]
library.rd_kafka_mock_topic_create.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_int]
library.rd_kafka_mock_topic_set_error.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
library.rd_kafka_mock_broker_set_down.argtypes = [ctypes.c_void_p, ctypes.c_int32]
library.rd_kafka_mock_broker_set_up.argtypes = [ctypes.c_void_p, ctypes.c_int32]
library.rd_kafka_mock_broker_set_rtt.argtypes = [ctypes.c_void_p, ctypes.c_int32, ctypes.c_int]
library.rd_kafka_mock_clear_request_errors.argtypes = [ctypes.c_void_p, ctypes.c_int16]
library.rd_kafka_mock_push_request_errors_array.argtypes = [
    ctypes.c_void_p,
    ctypes.c_int16,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_int),
]

reason = ctypes.create_string_buffer(512)
handle = library.rd_kafka_new(PRODUCER_TYPE, library.rd_kafka_conf_new(), reason, len(reason))
if not handle:
    sys.exit(reason.value.decode())
brokers = int(sys.argv[1])
cluster = library.rd_kafka_mock_cluster_new(handle, brokers)
servers = library.rd_kafka_mock_cluster_bootstraps(cluster).decode()

writing = threading.Lock()
members = {}
producers = threading.local()


def say(line):
    with writing:
        print(json.dumps(line), flush=True)


def encoded(data):
    return None if data is None else base64.b64encode(data).decode()


def decoded(text):
    return None if text is None else base64.b64decode(text)


def settings(extra):
    return {"bootstrap.servers": servers, **extra}


def shown(message):
    _, timestamp = message.timestamp()
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": None if message.key() is None else message.key().decode(),
        "value": encoded(message.value()),
        "headers": {name: value.decode() for name, value in message.headers() or []},
        "timestamp": timestamp,
    }


def create_topic(command):
    failed = library.rd_kafka_mock_topic_create(cluster, command["topic"].encode(), command["partitions"], 1)
    if failed:
        raise RuntimeError(f"topic {command['topic']}: error {failed}")


def for_brokers(act):
    for broker in range(1, brokers + 1):
        act(broker)


def down(_):
    for_brokers(lambda broker: library.rd_kafka_mock_broker_set_down(cluster, broker))


def up(_):
    for_brokers(lambda broker: library.rd_kafka_mock_broker_set_up(cluster, broker))


def delay(command):
    for_brokers(lambda broker: library.rd_kafka_mock_broker_set_rtt(cluster, broker, command["milliseconds"]))


def push_errors(command):
    codes = command["errors"]
    library.rd_kafka_mock_push_request_errors_array(
        cluster, command["api"], len(codes), (ctypes.c_int * len(codes))(*codes)
    )


def clear_errors(command):
    library.rd_kafka_mock_clear_request_errors(cluster, command["api"])


def producer(compression):
    if not hasattr(producers, compression):
        own = {"linger.ms": 100, "message.max.bytes": 100_000_000, "compression.codec": compression}
        setattr(producers, compression, Producer(settings(own)))
    return getattr(producers, compression)


def produce(command):
    """Resolves to the offsets, in the order of the messages."""
    written = [None] * len(command["messages"])
    faults = []

    def on_delivery(place):
        def delivered(error, message):
            if error is not None:
                faults.append(str(error))
            else:
                written[place] = {"partition": message.partition(), "offset": message.offset()}

        return delivered

    own = producer(command.get("compression", "none"))
    for place, message in enumerate(command["messages"]):
        options = {"partition": message["partition"]} if "partition" in message else {}
        if "timestamp" in message:
            options["timestamp"] = message["timestamp"]
        while True:
            try:
                own.produce(
                    message["topic"],
                    key=message.get("key"),
                    value=decoded(message.get("value")),
                    headers={name: value.encode() for name, value in message.get("headers", {}).items()},
                    on_delivery=on_delivery(place),
                    **options,
                )
                break
            except BufferError:
                own.poll(0.1)
    own.flush(60)
    if faults:
        raise RuntimeError("; ".join(faults[:3]))
    return written


def partitions_of(consumer, topic):
    metadata = consumer.list_topics(topic, timeout=20).topics[topic]
    return sorted(metadata.partitions)


def read(command):
    """All that is in the topic now, of each partition in its order."""
    consumer = Consumer(
        settings({"group.id": "reader-without-commits", "enable.auto.commit": False, "fetch.wait.max.ms": 20})
    )
    try:
        topic = command["topic"]
        found = []
        left = {}
        for partition in partitions_of(consumer, topic):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=20)
            if high > low:
                left[partition] = high
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        while left:
            message = consumer.poll(20)
            if message is None:
                raise RuntimeError(f"no message of {topic} for 20 s")
            if message.error():
                continue
            if message.offset() < left.get(message.partition(), 0):
                found.append(shown(message))
            if message.offset() + 1 >= left.get(message.partition(), 0):
                left.pop(message.partition(), None)
        return found
    finally:
        consumer.close()


def offsets(command):
    """By partition: the committed offset of a group (null: none), and the end of the partition."""
    consumer = Consumer(settings({"group.id": command["group"], "enable.auto.commit": False}))
    try:
        topic = command["topic"]
        asked = [TopicPartition(topic, partition) for partition in partitions_of(consumer, topic)]
        answer = []
        for committed in consumer.committed(asked, timeout=20):
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, committed.partition), timeout=20)
            answer.append({"committed": committed.offset if committed.offset >= 0 else None, "end": high})
        return answer
    finally:
        consumer.close()


def commit(command):
    consumer = Consumer(settings({"group.id": command["group"], "enable.auto.commit": False}))
    try:
        place = TopicPartition(command["topic"], command["partition"], command["offset"])
        consumer.commit(offsets=[place], asynchronous=False)
    finally:
        consumer.close()


class Member:
    """A member of a group that commits what it has read; what it reads is printed as {"member": name, "message": ...}."""

    def __init__(self, command):
        self.ending = threading.Event()
        self.name = command["member"]
        self.consumer = Consumer(
            settings(
                {
                    "group.id": command["group"],
                    "auto.offset.reset": "earliest",
                    "enable.auto.commit": False,
                    "session.timeout.ms": 6000,
                    "partition.assignment.strategy": "roundrobin",
                }
            )
        )
        self.consumer.subscribe(command["topics"], on_assign=self.assigned)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def assigned(self, _, partitions):
        say({"member": self.name, "assigned": [[place.topic, place.partition] for place in partitions]})

    def run(self):
        while not self.ending.is_set():
            message = self.consumer.poll(0.1)
            if message is None or message.error():
                continue
            say({"member": self.name, "message": shown(message)})
            try:
                self.consumer.commit(message=message, asynchronous=False)
            except KafkaException as error:
                print(error, file=sys.stderr)
        self.consumer.close()

    def leave(self):
        self.ending.set()
        self.thread.join(30)


def join(command):
    members[command["member"]] = Member(command)


def leave(command):
    members.pop(command["member"]).leave()


ACTIONS = {
    "create_topic": create_topic,
    "down": down,
    "up": up,
    "delay": delay,
    "push_errors": push_errors,
    "clear_errors": clear_errors,
    "produce": produce,
    "read": read,
    "offsets": offsets,
    "commit": commit,
    "join": join,
    "leave": leave,
}


def act(command):
    try:
        say({"id": command["id"], "result": ACTIONS[command["do"]](command)})
    except Exception as error:  # The answer says what is wrong, whatever it is.
        say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})


say({"servers": servers})
# Consumers of several commands wait at the same time; messages of one command after the other keep their order.
with ThreadPoolExecutor(8) as others, ThreadPoolExecutor(1) as producing:
    for line in sys.stdin:
        command = json.loads(line)
        (producing if command["do"] == "produce" else others).submit(act, command)
for member in members.values():
    member.leave()
library.rd_kafka_mock_cluster_destroy(cluster)
