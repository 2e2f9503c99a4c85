/** Every connection to Redis is made here, so that only this file knows whether it is one server, Sentinels or a Cluster. */
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import type { RedisLogin, RedisServers } from '../schemas/redis-servers.ts';

export type RedisClient = Redis | Cluster;

/** What a caller may ask of a connection; it means the same for all kinds of servers. */
export type ConnectionSettings = Pick<
  RedisOptions,
  | 'connectionName'
  | 'maxRetriesPerRequest'
  | 'enableOfflineQueue'
  | 'retryStrategy'
  | 'reconnectOnError'
  | 'lazyConnect'
  | 'commandTimeout'
  | 'connectTimeout'
>;

/** A server that answers nothing for so long is given up: another one may have its place, and TCP would not say so. */
const DEAD_MS = 10_000;
/** A Sentinel, or a node that is asked who has which slots. */
const ANSWER_MS = 2_000;
/** How often a Cluster is asked who has which slots; a MOVED or a lost connection asks at once. */
const SLOTS_EVERY_MS = 5_000;
/** Of a command that must not wait: enough to follow the slot to another node. */
const REDIRECTIONS = 4;

export function connectRedis(servers: RedisServers, settings: ConnectionSettings): RedisClient {
  switch (servers.kind) {
    case 'one':
      return new Redis(servers.url, settings);
    case 'sentinels':
      return new Redis({
        ...settings,
        ...loginOf(servers.login),
        sentinels: [...servers.sentinels],
        name: servers.name,
        ...(servers.sentinelPassword === undefined ? {} : { sentinelPassword: servers.sentinelPassword }),
        ...(servers.login.tls ? { enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
        sentinelCommandTimeout: ANSWER_MS,
        sentinelRetryStrategy: settings.retryStrategy ?? (() => null),
        // A primary that has become a replica keeps its connections.
        reconnectOnError: (error) => error.message.startsWith('READONLY'),
        socketTimeout: DEAD_MS,
      });
    case 'cluster':
      return new Cluster([...servers.nodes], clusterOptions(servers.login, settings));
  }
}

function clusterOptions(login: RedisLogin, settings: ConnectionSettings): ClusterOptions {
  const { retryStrategy, enableOfflineQueue = true, lazyConnect = false, ...ofNodes } = settings;
  return {
    redisOptions: { ...ofNodes, ...loginOf(login), socketTimeout: DEAD_MS },
    enableOfflineQueue,
    lazyConnect,
    clusterRetryStrategy: retryStrategy ?? null,
    // One that may wait does so for as long as a fail-over takes, however long the Cluster's node timeout is.
    maxRedirections: settings.maxRetriesPerRequest === null ? Number.POSITIVE_INFINITY : REDIRECTIONS,
    slotsRefreshTimeout: ANSWER_MS,
    slotsRefreshInterval: SLOTS_EVERY_MS,
    // Certificates are for names.
    ...(login.tls ? { dnsLookup: (address, callback) => callback(null, address) } : {}),
  };
}

function loginOf({ username, password, tls }: RedisLogin): Pick<RedisOptions, 'username' | 'password' | 'tls'> {
  return {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(tls ? { tls: {} } : {}),
  };
}

/**
 * Has `onCopy` see every copy that is made of the connection. BullMQ makes them to block on, which looks like a dead server,
 * and watches them itself.
 */
export function onCopies(connection: RedisClient, onCopy: (copy: RedisClient) => void): void {
  if (connection instanceof Cluster) {
    const duplicate = connection.duplicate.bind(connection);
    connection.duplicate = (nodes, overrides: Partial<ClusterOptions> = {}) => {
      const { socketTimeout: _, ...ofNodes } = { ...connection.options.redisOptions, ...overrides.redisOptions };
      const copy = duplicate(nodes, { ...overrides, slotsRefreshInterval: 0, redisOptions: ofNodes });
      onCopy(copy);
      return copy;
    };
    return;
  }
  const duplicate = connection.duplicate.bind(connection);
  connection.duplicate = (overrides) => {
    const copy = duplicate(connection.options.socketTimeout === undefined ? overrides : { ...overrides, ...BLOCKS });
    onCopy(copy);
    return copy;
  };
}

// The library's own way to have none, which its type does not know.
const BLOCKS = { socketTimeout: undefined } as unknown as RedisOptions;

/** A Cluster only says that all of its nodes failed: its listener gets what the last one said. */
export function onErrors(connection: RedisClient, listener: (error: Error) => void): void {
  connection.on('error', (error: Error & { lastNodeError?: Error }) => listener(error.lastNodeError ?? error));
}

/** A section of INFO, of the server that has the key. */
export async function infoOf(connection: RedisClient, section: string, key: string): Promise<string> {
  if (connection instanceof Redis) return connection.info(section);
  return (await connection.call('eval', INFO_BESIDE_KEY, 1, key, section)) as string; // INFO is a text.
}

// INFO has no key, so a Cluster would send it anywhere; a script goes where its key is.
const INFO_BESIDE_KEY = `return redis.call('INFO', ARGV[1])`;

/**
 * Whether all replicas have what was written over the connection. Of a Cluster it is not known which ones to wait for, so
 * there it is not waited for any.
 */
export async function areReplicated(connection: RedisClient, timeoutMs: number): Promise<boolean> {
  if (connection instanceof Cluster) return true;
  const replicas = Number(/^connected_slaves:(\d+)/m.exec(await connection.info('replication'))?.[1] ?? 0);
  return replicas === 0 || (await connection.wait(replicas, timeoutMs)) >= replicas;
}

/** Calls the listener whenever another server may have come to have the keys. */
export function onServerChange(connection: RedisClient, listener: () => void): void {
  connection.on('ready', listener);
  if (connection instanceof Cluster) connection.on('refresh', listener);
}

/**
 * Of a connection that is given up between two tries to connect ioredis does not say that it has ended, and keeps what it was
 * to send: BullMQ waits for both.
 */
export function alwaysEnds(connection: RedisClient): void {
  const disconnect = connection.disconnect.bind(connection);
  connection.disconnect = (reconnect) => {
    if (reconnect !== true && connection.status === 'reconnecting') connection.status = 'wait';
    disconnect(reconnect);
  };
}
