/** The worker's own small door: `/health` and `/metrics`, on WORKER_PORT. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type MetricsRegistry, sendMetrics } from './metrics.ts';

export interface WorkerHealth {
  listen(port: number, host: string): Promise<number>;
  close(): Promise<void>;
}

export function createWorkerHealth(source: {
  /** Undefined: they are not served. */
  registry: MetricsRegistry | undefined;
  state(): { worker: string; lanes: readonly string[]; draining: boolean; deaf: boolean };
}): WorkerHealth {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]?.replace(/(.)\/$/, '$1');
    if (path === '/metrics' && source.registry !== undefined) {
      sendMetrics(source.registry, request, response).catch(() => response.writeHead(500).end());
      return;
    }
    if (path === '/health') {
      const { draining, deaf, ...state } = source.state();
      const status = draining ? 'draining' : deaf ? 'deaf' : 'healthy';
      const body = { status, ...state, timestamp: new Date().toISOString() };
      response
        .writeHead(status === 'healthy' ? 200 : 503, { 'content-type': 'application/json' })
        .end(JSON.stringify(body));
      return;
    }
    response
      .writeHead(404, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ title: 'Not found', status: 404 }));
  });
  return {
    listen: (port, host) =>
      new Promise((resolve, reject) => {
        server.once('error', reject);
        server.listen(port, host, () => {
          server.off('error', reject);
          resolve((server.address() as AddressInfo).port); // It listens on TCP.
        });
      }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
