/**
 * One connection on which all BullMQ workers of a process are notified of new jobs, on PostgreSQL.
 *
 * BullMQ gives every worker a connection of its own for LISTEN. All of them subscribe to one channel, whose messages name
 * the queue: with a worker per tool, a process had twenty connections for what one of them receives, of the hundred that a
 * PostgreSQL has by default, and every job that was added woke all twenty.
 */
import { EventEmitter } from 'node:events';
import type pg from 'pg';

/** What BullMQ's connection does with the client that it listens on. */
export interface ListenClient extends EventEmitter {
  query(statement: string): Promise<unknown>;
}

/** What of BullMQ's connection its types do not say. */
export interface ListeningConnection extends EventEmitter {
  getListenClient(): Promise<ListenClient>;
  setListenClientName(name: string): Promise<void>;
  emitError(error: Error): void;
}

export interface SharedListener {
  /** From now on that connection listens here. */
  serve(connection: ListeningConnection): void;
  /**
   * Whether the connection answers and has what was subscribed to on it; true while there is none. Workers poll besides,
   * every few seconds: one that is not notified is only late, so that nothing else shows it.
   */
  isListening(): Promise<boolean>;
  close(): Promise<void>;
}

export function shareListener(pool: pg.Pool): SharedListener {
  /** What each worker takes for its client, with the connection that it belongs to. */
  const views = new Map<ListeningConnection, ListenClient>();
  let opening: Promise<pg.PoolClient> | undefined;
  const subscribed = new Map<string, Promise<unknown>>();
  let probing: Promise<boolean> | undefined;

  function open(): Promise<pg.PoolClient> {
    opening ??= connect();
    return opening;
  }

  async function connect(): Promise<pg.PoolClient> {
    try {
      const client = await pool.connect();
      client.on('notification', (message) => {
        for (const view of views.values()) view.emit('notification', message);
      });
      client.on('error', (error) => lost(client, error));
      return client;
    } catch (error) {
      opening = undefined;
      throw error;
    }
  }

  /** BullMQ subscribes again, and workers that wait poll for work. */
  function lost(client: pg.PoolClient, error: Error): void {
    opening = undefined;
    subscribed.clear();
    client.removeAllListeners('notification');
    client.release(true);
    const [...before] = views;
    views.clear();
    for (const [connection] of before) {
      connection.emit('listenerinvalidated');
      connection.emitError(error);
    }
  }

  /** The same LISTEN a second time would say nothing new to the server. */
  function subscribe(client: pg.PoolClient, statement: string): Promise<unknown> {
    const existing = subscribed.get(statement);
    if (existing !== undefined) return existing;
    const subscribing = client.query(statement).catch((error: unknown) => {
      subscribed.delete(statement);
      throw error;
    });
    subscribed.set(statement, subscribing);
    return subscribing;
  }

  async function probe(opened: Promise<pg.PoolClient>): Promise<boolean> {
    try {
      const client = await opened;
      const expected = subscribed.size;
      const { rowCount } = await client.query('SELECT pg_listening_channels()');
      return (rowCount ?? 0) >= expected;
    } catch {
      return false;
    } finally {
      probing = undefined;
    }
  }

  return {
    async isListening() {
      if (opening === undefined) return true;
      // One that does not answer is probed once: the answer to come is the same.
      probing ??= probe(opening);
      return probing;
    },
    serve(connection) {
      connection.getListenClient = async () => {
        const client = await open();
        const existing = views.get(connection);
        if (existing !== undefined) return existing;
        const view = Object.assign(new EventEmitter(), {
          query: (statement: string) => subscribe(client, statement),
        });
        views.set(connection, view);
        return view;
      };
      // By the name of its queue BullMQ finds a worker among the connections of the server; this one belongs to all of them.
      connection.setListenClientName = async () => undefined;
      connection.once('close', () => views.delete(connection));
    },
    async close() {
      const client = await opening?.catch(() => undefined);
      opening = undefined;
      client?.removeAllListeners('notification');
      client?.release(true);
    },
  };
}
