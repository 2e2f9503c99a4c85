/** The worker's own endpoints on WORKER_PORT: those of probes, which are open, and `/metrics`, with the authentication of the API. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { OrchestratorError } from '../../domain/errors.ts';
import type { Identify } from '../auth/identify.ts';
import { authRequestOf } from '../auth/presented.ts';
import { challengeOf } from '../middleware/authenticate.ts';
import { readContext } from '../middleware/context.ts';
import { type MetricsRegistry, sendMetrics } from './metrics.ts';
import { isProbe } from './probes.ts';
import { createHttpServer, type ServerTls } from './server.ts';

export interface WorkerHealth {
  listen(port: number, host: string): Promise<number>;
  close(): Promise<void>;
}

export interface WorkerState {
  worker: string;
  lanes: readonly string[];
  draining: boolean;
  unresponsive: boolean;
  /** What fails in it now, by name; it goes on trying. */
  problems: readonly string[];
}

export function createWorkerHealth(source: {
  /** Undefined: they are not served. */
  registry: MetricsRegistry | undefined;
  identify: Identify;
  /** Left out: it speaks plain HTTP. */
  tls?: ServerTls | undefined;
  state(): WorkerState;
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
    if (path !== undefined && isProbe(path)) {
      const { ok, ...body } = probe(path, source.state());
      response
        .writeHead(ok ? 200 : 503, { 'content-type': 'application/json' })
        .end(JSON.stringify({ ...body, timestamp: new Date().toISOString() }));
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

/** The paths of the API mean the same here: `/livez` that the process is alive, `/ready` that it takes tasks. */
function probe(
  path: string,
  { draining, unresponsive, ...state }: WorkerState,
): { ok: boolean } & Record<string, unknown> {
  if (path === '/livez' || path === '/healthz') return { ok: true, status: 'alive', service: 'orchestrator' };
  const ok = !draining && !unresponsive;
  const out = draining ? 'draining' : 'deaf';
  if (path === '/health') {
    const failing = state.problems.length > 0 ? 'degraded' : 'healthy';
    return { ok, status: ok ? failing : out, ...state };
  }
  return { ok, ready: ok, status: ok ? 'ready' : out, service: 'orchestrator', worker: state.worker };
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
