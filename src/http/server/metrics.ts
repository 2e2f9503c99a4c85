/** `/metrics`, as the API and the workers serve it: the text format of Prometheus, or JSON by `Accept`. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { CONTENT_TYPES, type ExpositionFormat, type Family } from '../../telemetry/exposition.ts';

export interface MetricsRegistry {
  metrics(format: ExpositionFormat): Promise<string>;
  getMetricsAsJSON(): Promise<Family[]>;
}

export async function sendMetrics(
  registry: MetricsRegistry,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const form = preferred(request.headers.accept);
  const body =
    form === 'json'
      ? JSON.stringify({ metrics: await registry.getMetricsAsJSON() }, withoutExemplars)
      : await registry.metrics(form);
  response.setHeader('Content-Type', form === 'json' ? 'application/json; charset=utf-8' : CONTENT_TYPES[form]);
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Vary', 'Accept');
  response.end(body);
}

/** They are the business of OpenMetrics. */
function withoutExemplars(key: string, value: unknown): unknown {
  return key === 'exemplar' ? undefined : value;
}

/**
 * Prometheus names both of its formats, curl and browsers take anything and get the plain text: OpenMetrics and JSON are for
 * those that name them, JSON only before any text.
 */
function preferred(accept: string | undefined): ExpositionFormat | 'json' {
  const ranges = (accept ?? '').split(',').map((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const q = Number(parameters.find((parameter) => parameter.startsWith('q='))?.slice(2) ?? 1);
    return { type, q: Number.isFinite(q) ? q : 0 };
  });
  const best = (types: readonly string[]) =>
    Math.max(0, ...ranges.filter(({ type }) => types.includes(type)).map(({ q }) => q));
  const json = best(['application/json']);
  const plain = best(['text/plain', 'text/*']);
  const open = best(['application/openmetrics-text']);
  if (json > 0 && json > plain && json > open) return 'json';
  return open > 0 && open >= plain ? 'openmetrics' : 'text';
}
