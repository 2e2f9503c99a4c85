/**
 * LISTEN on a connection of its own. It comes back by itself; `onGap` says that notifications may have been missed, so
 * that the listener reads again what it needs. Everything that listens also polls: a notification only makes it fast.
 */
import pg from 'pg';

export interface Listener {
  close(): Promise<void>;
}

const RETRY_MS = 1_000;

export function listen(
  databaseUrl: string,
  channels: Readonly<Record<string, (payload: string) => void>>,
  options: { name: string; onGap(): void; onError(error: Error): void },
): Listener {
  let client: pg.Client | undefined;
  let closed = false;
  let timer: NodeJS.Timeout | undefined;

  async function connect(): Promise<void> {
    const fresh = new pg.Client({ connectionString: databaseUrl, application_name: options.name, keepAlive: true });
    let gone = false;
    const reconnect = (error?: Error) => {
      if (gone) return;
      gone = true;
      if (error !== undefined && !closed) options.onError(error);
      fresh.end().catch(() => undefined);
      if (!closed) timer = setTimeout(() => void connect(), RETRY_MS);
    };
    fresh.on('error', reconnect);
    fresh.on('end', () => reconnect());
    fresh.on('notification', ({ channel, payload }) => channels[channel]?.(payload ?? ''));
    try {
      await fresh.connect();
      for (const channel of Object.keys(channels)) await fresh.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      client = fresh;
      if (closed) await fresh.end();
      else options.onGap();
    } catch (error) {
      reconnect(error instanceof Error ? error : new Error(String(error)));
    }
  }

  void connect();
  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await client?.end().catch(() => undefined);
    },
  };
}
