/** `/metrics`, as the API and the workers serve it: the text format of Prometheus, or JSON for who asks for it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';

export type MetricsRegistry = Pick<Registry, 'contentType' | 'metrics' | 'getMetricsAsJSON'>;

export async function sendMetrics(
  registry: MetricsRegistry,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const json = prefersJson(request.headers.accept);
  const body = json ? JSON.stringify({ metrics: await registry.getMetricsAsJSON() }) : await registry.metrics();
  response.setHeader('Content-Type', json ? 'application/json; charset=utf-8' : registry.contentType);
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Vary', 'Accept');
  response.end(body);
}

/** Prometheus asks for its text formats, curl and browsers for anything: JSON is for those that name it before any text. */
function prefersJson(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const q = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return { type, q: Number.isFinite(q) ? q : 0 };
  });
  const best = (types: readonly string[]) =>
    Math.max(0, ...ranges.filter(({ type }) => types.includes(type)).map(({ q }) => q));
  const json = best(['application/json']);
  return json > 0 && json > best(['text/plain', 'application/openmetrics-text', 'text/*']);
}
