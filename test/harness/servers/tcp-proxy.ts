/** A door in front of a server that can be shut, slowed down, frozen, and that can break what goes through it. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface TcpProxy {
  port: number;
  /** Its connections break, and new ones are refused. */
  shut(): Promise<void>;
  open(): Promise<void>;
  /** Every connection is reset at once; new ones are let in. */
  reset(): void;
  /** Whatever passes, in either direction, takes so much longer from now on. */
  delay(milliseconds: number): void;
  /** Half-open: connections stay and new ones are let in, but nothing passes until the thaw. */
  freeze(): void;
  thaw(): void;
  /**
   * What the connections of now send is lost, and no end of theirs is told: to both sides the other one has nothing to
   * say. With `from` only of those by which the proxy speaks to the server from one of these ports. New ones pass; with
   * `toCome` only those whose first words match.
   */
  swallow(options?: { from?: ReadonlySet<number>; toCome?: { except: RegExp } }): void;
  close(): Promise<void>;
}

/** More than that is not held for a reader that is slow or cut off. */
const MAX_HELD_BYTES = 1_000_000;
/** As much of what a connection says is looked at to tell whether it may pass. */
const MAX_FIRST_BYTES = 4_096;

export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    return socket;
  };
  let delayMs = 0;
  let thawed: Promise<void> | undefined;
  let thaw: (() => void) | undefined;
  const swallowed = new WeakSet<Socket>();
  /** From the connection to the server to that of the client. */
  const ways = new Map<Socket, Socket>();
  let passing: RegExp | undefined;
  const forward = (from: Socket, to: Socket) => {
    let held = 0;
    let last = Promise.resolve();
    const send = (chunk: Buffer) => {
      if (!to.destroyed && !to.write(chunk)) {
        from.pause();
        to.once('drain', () => from.resume());
      }
    };
    from.on('data', (chunk: Buffer) => {
      if (swallowed.has(from)) return;
      if (held === 0 && delayMs === 0 && thawed === undefined) return send(chunk);
      held += chunk.length;
      if (held > MAX_HELD_BYTES) from.pause();
      const due = delayMs === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, delayMs));
      // In the order in which they came, whatever each has to wait for.
      last = last.then(async () => {
        await due;
        while (thawed !== undefined) await thawed;
        held -= chunk.length;
        send(chunk);
        if (held === 0) from.resume();
      });
    });
    from.on('end', () => {
      if (!swallowed.has(from)) void last.then(() => to.end());
    });
  };
  const accept = (client: Socket) => {
    keep(client);
    const except = passing;
    if (except === undefined) return pass(client);
    // What a client says at once may come in pieces.
    let said = Buffer.alloc(0);
    const listen = (chunk: Buffer) => {
      if (said.length > MAX_FIRST_BYTES) return;
      said = Buffer.concat([said, chunk]);
      if (!except.test(said.toString('latin1'))) return;
      client.off('data', listen);
      pass(client, said);
    };
    client.on('data', listen);
  };
  const pass = (client: Socket, first?: Buffer) => {
    const server = keep(connect({ port: target.port, host: target.host, noDelay: true }));
    keep(client).setNoDelay(true);
    if (first !== undefined) server.write(first);
    ways.set(server, client);
    forward(client, server);
    forward(server, client);
    client.on('close', () => server.destroy());
    server.on('close', () => {
      ways.delete(server);
      client.destroy();
    });
  };
  let listening: Server | undefined;
  const open = async (port: number) => {
    listening = createServer({ allowHalfOpen: true }, accept).listen(port, '127.0.0.1');
    await once(listening, 'listening');
    return (listening.address() as AddressInfo).port; // It listens on a port.
  };
  const shut = async () => {
    const server = listening;
    listening = undefined;
    for (const socket of sockets) socket.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  };
  const port = await open(0);
  const endFreeze = () => {
    thawed = undefined;
    thaw?.();
    thaw = undefined;
  };
  return {
    port,
    shut,
    reset() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    delay(milliseconds) {
      delayMs = milliseconds;
    },
    freeze() {
      thawed ??= new Promise((resolve) => {
        thaw = resolve;
      });
    },
    thaw: endFreeze,
    swallow({ from, toCome } = {}) {
      passing = toCome?.except;
      for (const [server, client] of ways) {
        if (from === undefined || from.has(server.localPort ?? 0)) swallowed.add(server).add(client);
      }
    },
    async open() {
      if (listening === undefined) await open(port);
    },
    async close() {
      endFreeze();
      await shut();
    },
  };
}

/** The same URL, by way of the proxy. */
export function through(proxy: TcpProxy, url: string): string {
  const changed = new URL(url);
  changed.hostname = '127.0.0.1';
  changed.port = String(proxy.port);
  return changed.href;
}
