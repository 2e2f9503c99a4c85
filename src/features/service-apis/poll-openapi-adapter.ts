/** `poll_openapi`: fetches the OpenAPI document of a service, stores it, and reports what changed. */

import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import {
  type AdapterResponse,
  type anyJson,
  defineAdapter,
  expectOk,
  NonRetryableError,
  RetryableError,
} from '../../../workers/adapter.ts';
import type { DocumentSource } from './poll-apis.ts';

type Json = z.output<typeof anyJson>;

const MAX_CHARACTERS = 4_000_000;
/** YAML is read some twenty times slower than JSON, and the worker does nothing else meanwhile. */
const MAX_YAML_CHARACTERS = 1_000_000;
/** An alias can stand for much; a document needs few. */
const MAX_ALIASES = 100;
const DEFAULT_TIMEOUT_SECONDS = 8;
const EXCERPT = 200;
const ACCEPT = 'application/json, application/yaml;q=0.9, */*;q=0.1';

const change = z.object({ where: z.string(), breaking: z.boolean(), message: z.string() });
const operations = z.array(z.string());

export const pollOpenapi = defineAdapter({
  type: 'poll_openapi',
  description: 'Fetches the OpenAPI document of a service, keeps it as the newest one, and tells how it differs.',
  idempotent: true,
  usesEngine: true,
  config: z.strictObject({
    service: z
      .string()
      .min(1)
      .meta({ description: 'The name of a service', examples: ['analysis_service'] }),
    timeout_seconds: z.number().positive().max(60).default(DEFAULT_TIMEOUT_SECONDS).meta({
      description: 'How long the service may take',
    }),
  }),
  output: z.object({
    service: z.string(),
    changed: z.boolean(),
    hash: z.string(),
    added: operations,
    removed: operations,
    changed_operations: z.array(z.object({ operation: z.string(), breaking: z.boolean(), changes: z.array(change) })),
    breaking: z.boolean(),
    operations: z.int(),
  }),
  async run({ service, timeout_seconds }, context) {
    const apis = context.engine?.apis;
    if (apis === undefined) throw new NonRetryableError('this worker does not know the services');
    const source = await apis.source(service);
    if (source === undefined) {
      throw new NonRetryableError(`the service '${service}' is not known`, { code: 'service_unknown' });
    }
    const text = await fetchText(source, timeout_seconds * 1000, context);
    const { isNew, changed, ...polled } = await apis.store(source.name, source.url, text);
    return { ...polled, changed: isNew, changed_operations: changed };
  },
});

interface Fetching {
  fetch(
    url: string,
    init: { headers: Record<string, string>; signal: AbortSignal; trusted: boolean; service?: string },
  ): Promise<AdapterResponse>;
  signal: AbortSignal;
}

async function fetchText(
  { name, url, besideService, trusted }: DocumentSource,
  timeoutMs: number,
  { fetch, signal }: Fetching,
): Promise<Json> {
  const late = AbortSignal.timeout(timeoutMs);
  const what = `the document of '${name}'`;
  try {
    const request = { headers: { accept: ACCEPT }, signal: late, trusted };
    const answer = await fetch(url, besideService ? { ...request, service: name } : request);
    await expectOk(answer, what);
    return readDocument(await answer.text(), answer.headers['content-type'] ?? '', what);
  } catch (error) {
    if (!late.aborted || signal.aborted) throw error;
    throw new RetryableError(`${what} did not come within ${timeoutMs / 1000} s`, { code: 'timeout', cause: error });
  }
}

/** Many services say nothing, or the wrong thing, about the type of their document: what it is decides. */
function readDocument(text: string, contentType: string, what: string): Json {
  const start = text.slice(0, EXCERPT).trimStart();
  if (text.length > MAX_CHARACTERS) {
    throw new NonRetryableError(`${what} is longer than ${MAX_CHARACTERS} characters`, { code: 'output_too_large' });
  }
  if (start.startsWith('<') || /\bhtml\b/i.test(contentType)) {
    throw new NonRetryableError(`${what} is a page: ${JSON.stringify(start.slice(0, 40))}`, {
      code: 'upstream_rejected',
    });
  }
  try {
    if (start.startsWith('{')) return JSON.parse(text) as Json; // JSON.parse gives nothing else.
    if (text.length > MAX_YAML_CHARACTERS) {
      throw new NonRetryableError(`${what} is YAML of more than ${MAX_YAML_CHARACTERS} characters`, {
        code: 'output_too_large',
      });
    }
    // The core schema has JSON's types only, so nothing else comes of it once its numbers are checked.
    return parseYaml(text, { schema: 'core', maxAliasCount: MAX_ALIASES, logLevel: 'silent' }) as Json;
  } catch (cause) {
    if (cause instanceof NonRetryableError) throw cause;
    // It may have been cut short.
    throw new RetryableError(`${what} cannot be read as JSON or YAML`, { code: 'upstream_error', cause });
  }
}
