/** How a server begins to listen, and how it lets go of its clients. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** Resolves to the port. */
export async function listenOn(server: Server, { port, host }: { port: number; host: string }): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return (server.address() as AddressInfo).port; // A server that listens on TCP.
}

export async function closeServer(server: Server, graceSeconds: number): Promise<void> {
  server.closeIdleConnections();
  await new Promise<void>((resolve) => {
    // Connections that are kept alive for a next request would hold the end up.
    const late = setTimeout(() => server.closeAllConnections(), graceSeconds * 1000);
    server.close(() => {
      clearTimeout(late);
      resolve();
    });
  });
}
