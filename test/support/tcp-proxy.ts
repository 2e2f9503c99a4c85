/** A door in front of a server that can be shut: its connections break, and new ones are refused. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

export interface TcpProxy {
  port: number;
  shut(): Promise<void>;
  open(): Promise<void>;
  close(): Promise<void>;
}

export async function startTcpProxy(target: { host: string; port: number }): Promise<TcpProxy> {
  const sockets = new Set<Socket>();
  const keep = (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
    return socket;
  };
  const pass = (client: Socket) => {
    const server = keep(connect(target.port, target.host));
    keep(client).pipe(server).pipe(client);
    client.on('close', () => server.destroy());
    server.on('close', () => client.destroy());
  };
  let listening: Server | undefined;
  const open = async (port: number) => {
    listening = createServer(pass).listen(port, '127.0.0.1');
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
  return {
    port,
    shut,
    async open() {
      if (listening === undefined) await open(port);
    },
    close: shut,
  };
}

/** The same URL, by way of the proxy. */
export function through(proxy: TcpProxy, url: string): string {
  const changed = new URL(url);
  changed.hostname = '127.0.0.1';
  changed.port = String(proxy.port);
  return changed.href;
}
