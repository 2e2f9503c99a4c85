/** Where a task may send its secrets, and how they are masked in what its worker writes. */

import { hostAllows } from '../src/domain/secret-hosts.ts';
import { MASK, maskOf, redactSecrets } from '../src/domain/texts/mask-secrets.ts';
import type { ExecutionResult } from '../src/engine/ports/executor.ts';
import type { TaskSecret } from '../src/engine/ports/secrets.ts';
import type { CallSpans, OpenCall } from '../src/engine/tracing/call-spans.ts';
import type { Json } from '../src/schemas/json.ts';
import type { Adapter, AdapterContext } from './adapter.ts';
import type { FetchOfRun } from './egress-fetch.ts';
import { failure } from './execution.ts';

const MAX_CAUSES = 5;

/** Why the adapter may not have this input. */
export function rejectionOf(
  adapter: Adapter,
  input: Json,
  secrets: readonly TaskSecret[],
): ExecutionResult | undefined {
  const bound = secrets.find(({ hosts }) => hosts !== undefined);
  if (bound === undefined || adapter.sendsByFetchAlone?.(input) === true) return undefined;
  const message = `the secret '${bound.name}' is bound to hosts, and this action of type '${adapter.type}' does more with its input than to send it to one`;
  return failure('secret_not_allowed', message, false);
}

/** For the fetch of such a task. */
export function rulesOfFetch(secrets: readonly TaskSecret[]): Pick<FetchOfRun, 'withhold' | 'mask'> {
  if (secrets.length === 0) return {};
  const mask = maskOf(secrets.map(({ value }) => value));
  const bound = secrets.flatMap(({ name, hosts }) => (hosts === undefined ? [] : [{ name, hosts }]));
  return {
    withhold(url) {
      const blocked = bound.find(({ hosts }) => !hostAllows(hosts, url));
      return blocked === undefined ? undefined : `the secret '${blocked.name}' may not go to ${mask(url.host)}`;
    },
    mask,
  };
}

/** What an adapter says, without its secrets. */
export function maskedLog(log: AdapterContext['log'], secrets: readonly TaskSecret[]): AdapterContext['log'] {
  if (secrets.length === 0) return log;
  const values = secrets.map(({ value }) => value);
  const mask = maskOf(values);
  // What is no JSON is dropped by the log itself.
  const masked = (data: object) => redactSecrets(readable(data, 0) as Json, values) as object;
  const say = (level: keyof AdapterContext['log']) => (message: string, data?: object) =>
    log[level](mask(message), data === undefined ? undefined : masked(data));
  return { debug: say('debug'), info: say('info'), warn: say('warn'), error: say('error') };
}

/** Errors have no fields that a copy would take over. */
function readable(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || depth > MAX_CAUSES) return depth > MAX_CAUSES ? MASK : value;
  if (value instanceof Error) {
    const { name, message, stack, cause } = value;
    return { name, message, stack, ...(cause === undefined ? {} : { cause: readable(cause, depth + 1) }) };
  }
  if (Array.isArray(value)) return value.map((item) => readable(item, depth + 1));
  const entries = Object.entries(value).map(([key, item]) => [key, readable(item, depth + 1)]);
  return Object.fromEntries(entries);
}

/** A call as the trace has it. */
export function maskedSpans(
  begin: CallSpans['begin'] | undefined,
  secrets: readonly TaskSecret[],
): CallSpans['begin'] | undefined {
  if (begin === undefined || secrets.length === 0) return begin;
  const mask = maskOf(secrets.map(({ value }) => value));
  return (origin, { method, url, service }): OpenCall | undefined => {
    const call = begin(origin, { method: mask(method), url: mask(url), service: service && mask(service) });
    if (call === undefined) return undefined;
    return { ...call, failed: (error) => call.failed(mask(error)) };
  };
}
