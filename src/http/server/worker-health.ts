/** The worker's own small door: `/health`, which is open, and `/metrics`, which asks who wants them as the API does; on WORKER_PORT. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OrchestratorError } from '../../domain/errors.ts';
import type { WhoAsks } from '../auth/identify.ts';
import { askedBy } from '../auth/presented.ts';
import { challengeOf } from '../middleware/authenticate.ts';
import { readContext } from '../middleware/context.ts';
import { type MetricsRegistry, sendMetrics } from './metrics.ts';

export interface WorkerHealth {
  listen(port: number, host: string): Promise<number>;
  close(): Promise<void>;
}

export function createWorkerHealth(source: {
  /** Undefined: they are not served. */
  registry: MetricsRegistry | undefined;
  whoAsks: WhoAsks;
  /** `problems`: what fails in it now, by name; it goes on trying. */
  state(): { worker: string; lanes: readonly string[]; draining: boolean; deaf: boolean; problems: readonly string[] };
}): WorkerHealth {
  const server = createServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]?.replace(/(.)\/$/, '$1');
    if (path === '/metrics' && source.registry !== undefined) {
      tellMetrics(source.registry, source.whoAsks, request, response).catch((error: unknown) => {
        const status = error instanceof OrchestratorError ? error.status : 500;
        if (!response.headersSent) response.writeHead(status);
        response.end();
      });
      return;
    }
    if (path === '/health') {
      const { draining, deaf, ...state } = source.state();
      const failing = state.problems.length > 0 ? 'degraded' : 'healthy';
      const status = draining ? 'draining' : deaf ? 'deaf' : failing;
      const body = { status, ...state, timestamp: new Date().toISOString() };
      response
        .writeHead(draining || deaf ? 503 : 200, { 'content-type': 'application/json' })
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

async function tellMetrics(
  registry: MetricsRegistry,
  whoAsks: WhoAsks,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const asked = askedBy(request);
  const found = await whoAsks(asked, readContext(asked));
  if ('caller' in found) return sendMetrics(registry, request, response);
  const body = JSON.stringify({ title: 'Credentials are missing or wrong', status: 401, detail: found.refused });
  response
    .writeHead(401, {
      'content-type': 'application/problem+json',
      'www-authenticate': challengeOf(found.presented),
    })
    .end(body);
}
