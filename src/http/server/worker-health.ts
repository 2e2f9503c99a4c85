/** The worker's own endpoints on WORKER_PORT: `/health`, which is open, and `/metrics`, with the authentication of the API. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Identify } from '../auth/identify.ts';
import { authRequestOf } from '../auth/presented.ts';
import { challengeOf } from '../middleware/authenticate.ts';
import { readContext } from '../middleware/context.ts';
import { type MetricsRegistry, sendMetrics } from './metrics.ts';
import { createHttpServer, type ServerTls } from './server.ts';

export interface WorkerHealth {
  listen(port: number, host: string): Promise<number>;
  close(): Promise<void>;
}

export function createWorkerHealth(source: {
  /** Undefined: they are not served. */
  registry: MetricsRegistry | undefined;
  identify: Identify;
  /** Left out: it speaks plain HTTP. */
  tls?: ServerTls | undefined;
  /** `problems`: what fails in it now, by name; it goes on trying. */
  state(): {
    worker: string;
    lanes: readonly string[];
    draining: boolean;
    unresponsive: boolean;
    problems: readonly string[];
  };
}): WorkerHealth {
  const server = createHttpServer((request, response) => {
    const path = (request.url ?? '/').split('?')[0]?.replace(/(.)\/$/, '$1');
    if (path === '/metrics' && source.registry !== undefined) {
      serveMetrics(source.registry, source.identify, request, response).catch((error: unknown) => {
        const status = error instanceof OrchestratorError ? error.status : 500;
        if (!response.headersSent) response.writeHead(status);
        response.end();
      });
      return;
    }
    if (path === '/health') {
      const { draining, unresponsive, ...state } = source.state();
      const failing = state.problems.length > 0 ? 'degraded' : 'healthy';
      const status = draining ? 'draining' : unresponsive ? 'deaf' : failing;
      const body = { status, ...state, timestamp: new Date().toISOString() };
      response
        .writeHead(draining || unresponsive ? 503 : 200, { 'content-type': 'application/json' })
        .end(JSON.stringify(body));
      return;
    }
    response
      .writeHead(404, { 'content-type': 'application/problem+json' })
      .end(JSON.stringify({ title: 'Not found', status: 404 }));
  }, source.tls);
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

async function serveMetrics(
  registry: MetricsRegistry,
  identify: Identify,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const authRequest = authRequestOf(request);
  const found = await identify(authRequest, readContext(authRequest));
  if ('caller' in found) return sendMetrics(registry, request, response);
  const body = JSON.stringify({ title: 'Credentials are missing or wrong', status: 401, detail: found.detail });
  response
    .writeHead(401, {
      'content-type': 'application/problem+json',
      'www-authenticate': challengeOf(found.presented),
    })
    .end(body);
}
