/**
 * Brokers of Kafka that speak the real protocol: those of librdkafka's mock cluster, which can be taken away and made to
 * fail. Beside them is librdkafka's own client, so that what this service writes is read by another, and the reverse.
 * A partition of theirs keeps 5 MB; older messages go.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { findKafkaPython } from './python.ts';

const PROGRAM = fileURLToPath(new URL('./cluster.py', import.meta.url));
const STOPS_WITHIN_MS = 10_000;

/** Numbers of requests of the protocol. */
export const API_KEYS = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  offsetCommit: 8,
  offsetFetch: 9,
  findCoordinator: 10,
  joinGroup: 11,
  heartbeat: 12,
  syncGroup: 14,
} as const;

/** Errors of brokers. */
export const BROKER_ERRORS = {
  unknown: -1,
  notLeader: 6,
  requestTimedOut: 7,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  notEnoughReplicas: 19,
  illegalGeneration: 22,
  rebalanceInProgress: 27,
} as const;

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

export interface ProducedMessage {
  topic: string;
  key?: string;
  /** Undefined or null: a tombstone. */
  value?: string | Buffer | null;
  headers?: Readonly<Record<string, string>>;
  /** By default it follows from the key. */
  partition?: number;
  /** Milliseconds since 1970. */
  timestamp?: number;
}

export interface ReadMessage {
  topic: string;
  partition: number;
  offset: number;
  key: string | null;
  value: Buffer | null;
  headers: Record<string, string>;
  timestamp: number;
}

/** A member of a consumer group, of librdkafka: it commits each message that it has read. */
export interface GroupMember {
  messages: ReadMessage[];
  /** What it was assigned, newest last: lists of topic and partition. */
  assignments: Array<Array<[string, number]>>;
  leave(): Promise<void>;
}

export interface Kafka {
  /** host:port, one per broker. */
  servers: string[];
  pid: number;
  createTopic(topic: string, partitions: number): Promise<void>;
  /** Connections break, and none are accepted. */
  setBrokerDown(): Promise<void>;
  setBrokerUp(): Promise<void>;
  /** Every answer takes so long from now on. */
  delay(milliseconds: number): Promise<void>;
  /** The next requests of that kind are answered with these errors, one each. */
  pushErrors(api: keyof typeof API_KEYS, errors: ReadonlyArray<keyof typeof BROKER_ERRORS>): Promise<void>;
  clearErrors(api: keyof typeof API_KEYS): Promise<void>;
  /** Resolves to where they are when the broker has them, in their order. */
  produce(
    messages: readonly ProducedMessage[],
    compression?: Compression,
  ): Promise<Array<{ partition: number; offset: number }>>;
  /** All that is in the topic now. */
  read(topic: string): Promise<ReadMessage[]>;
  /** By partition. */
  offsets(group: string, topic: string): Promise<Array<{ committed: number | null; end: number }>>;
  /** Sets the committed offset of a group without members. */
  commit(group: string, topic: string, partition: number, offset: number): Promise<void>;
  join(group: string, topics: readonly string[]): Promise<GroupMember>;
  stop(): Promise<void>;
}

export async function startKafka(
  options: { topics?: readonly string[]; partitions?: number; brokers?: number } = {},
): Promise<Kafka> {
  const { topics = [], partitions = 1, brokers = 1 } = options;
  const child = spawn(findKafkaPython(), [PROGRAM, String(brokers)], { stdio: 'pipe' });
  const cluster = await converse(child);
  const createTopic = async (topic: string, count: number) => {
    await cluster.ask('create_topic', { topic, partitions: count });
  };
  for (const topic of topics) await createTopic(topic, partitions);
  let members = 0;
  return {
    servers: cluster.servers,
    pid: child.pid ?? 0,
    createTopic,
    setBrokerDown: () => cluster.ask('down').then(() => undefined),
    setBrokerUp: () => cluster.ask('up').then(() => undefined),
    delay: (milliseconds) => cluster.ask('delay', { milliseconds }).then(() => undefined),
    pushErrors: (api, errors) =>
      cluster
        .ask('push_errors', { api: API_KEYS[api], errors: errors.map((name) => BROKER_ERRORS[name]) })
        .then(() => undefined),
    clearErrors: (api) => cluster.ask('clear_errors', { api: API_KEYS[api] }).then(() => undefined),
    async produce(messages, compression = 'none') {
      const written = messages.map(({ value, ...message }) => ({
        ...message,
        value: value === undefined || value === null ? null : Buffer.from(value).toString('base64'),
      }));
      return (await cluster.ask('produce', { messages: written, compression })) as Array<{
        partition: number;
        offset: number;
      }>;
    },
    async read(topic) {
      return ((await cluster.ask('read', { topic })) as WrittenMessage[]).map(decode);
    },
    async offsets(group, topic) {
      return (await cluster.ask('offsets', { group, topic })) as Array<{ committed: number | null; end: number }>;
    },
    commit: (group, topic, partition, offset) =>
      cluster.ask('commit', { group, topic, partition, offset }).then(() => undefined),
    async join(group, names) {
      members += 1;
      const member = `member-${members}`;
      const joined: GroupMember = {
        messages: [],
        assignments: [],
        leave: () => cluster.ask('leave', { member }).then(() => undefined),
      };
      cluster.members.set(member, joined);
      await cluster.ask('join', { member, group, topics: names });
      return joined;
    },
    stop: cluster.stop,
  };
}

interface WrittenMessage extends Omit<ReadMessage, 'value'> {
  value: string | null;
}

interface Line {
  servers?: string;
  id?: number;
  result?: unknown;
  error?: string;
  member?: string;
  message?: WrittenMessage;
  assigned?: Array<[string, number]>;
}

/** Commands to the program and its answers. */
async function converse(child: ChildProcessWithoutNullStreams) {
  const answers = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  const members = new Map<string, GroupMember>();
  let said = '';
  let last = 0;
  let onServers: (servers: string) => void = () => undefined;
  const started = new Promise<string>((resolve) => {
    onServers = resolve;
  });
  const failed = () => new Error(`The brokers have ended: ${said.slice(-2_000)}`);
  const ended = once(child, 'exit').then(() => {
    const error = failed();
    for (const { reject } of answers.values()) reject(error);
    answers.clear();
  });
  child.stdin.on('error', () => undefined); // It has ended, which is noticed.
  child.stderr.on('data', (chunk) => {
    said = (said + String(chunk)).slice(-10_000);
  });
  createInterface({ input: child.stdout }).on('line', (text) => {
    const line = JSON.parse(text) as Line; // Of our own program.
    if (line.servers !== undefined) onServers(line.servers);
    if (line.member !== undefined && line.message !== undefined)
      members.get(line.member)?.messages.push(decode(line.message));
    if (line.member !== undefined && line.assigned !== undefined)
      members.get(line.member)?.assignments.push(line.assigned);
    const waiting = line.id === undefined ? undefined : answers.get(line.id);
    if (line.id === undefined || waiting === undefined) return;
    answers.delete(line.id);
    if (line.error === undefined) waiting.resolve(line.result);
    else waiting.reject(new Error(line.error));
  });
  const servers = await Promise.race([started, ended.then(() => Promise.reject(failed()))]);
  return {
    servers: servers.split(','),
    members,
    ask(what: string, details: object = {}): Promise<unknown> {
      last += 1;
      const id = last;
      return new Promise((resolve, reject) => {
        answers.set(id, { resolve, reject });
        child.stdin.write(`${JSON.stringify({ id, do: what, ...details })}\n`);
      });
    },
    async stop() {
      child.stdin.end();
      const late = setTimeout(() => child.kill('SIGKILL'), STOPS_WITHIN_MS);
      await ended;
      clearTimeout(late);
    },
  };
}

function decode({ value, ...message }: WrittenMessage): ReadMessage {
  return { ...message, value: value === null ? null : Buffer.from(value, 'base64') };
}
