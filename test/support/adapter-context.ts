/** What a worker hands to an adapter, for tests of adapters alone: the real outbound dispatcher and the real evaluator. */

import { isBelow } from '../../src/domain/service-address.ts';
import { createEgress, type EgressOptions } from '../../src/egress/egress.ts';
import { createExpressions } from '../../src/expressions/expressions.ts';
import type { AdapterContext, AdapterSetting, CallOutcome, EngineCapabilities } from '../../workers/adapter.ts';
import { createAdapterFetch } from '../../workers/egress-fetch.ts';
import { park } from '../../workers/execution.ts';

export interface AdapterContextOptions {
  settings?: Partial<Record<AdapterSetting, string>>;
  /** Service name to base URL. */
  correlationId?: string;
  /** Of the configuration. */
  services?: Record<string, string>;
  scope?: AdapterContext['scope'];
  egress?: Partial<EgressOptions>;
  signal?: AbortSignal;
  attempt?: number;
  wakeAt?: Date;
  now?: () => Date;
  engine?: EngineCapabilities;
  operation?: AdapterContext['operation'];
}
export interface TestContext {
  context: AdapterContext;
  logged: Array<{ level: 'debug' | 'info' | 'warn' | 'error'; message: string; data: object | undefined }>;
  /** What it said while it ran. */
  reported: unknown[];
  /** The times that `sleepUntil` was asked for. */
  slept: Date[];
  /** The services that it asked for its turn at. */
  turns: string[];
  /** How it said that each call of a service ended. */
  outcomes: CallOutcome[];
  close(): Promise<void>;
}

export function adapterContext(options: AdapterContextOptions = {}): TestContext {
  const logged: TestContext['logged'] = [];
  const slept: Date[] = [];
  const turns: string[] = [];
  const outcomes: CallOutcome[] = [];
  const reported: unknown[] = [];
  const keep = (level: keyof AdapterContext['log']) => (message: string, data?: object) =>
    void logged.push({ level, message, data });
  const log: AdapterContext['log'] = {
    debug: keep('debug'),
    info: keep('info'),
    warn: keep('warn'),
    error: keep('error'),
  };
  const services = new Map(Object.entries(options.services ?? {}));
  const settings = new Map(Object.entries(options.settings ?? {}));
  const egress = createEgress({
    policy: 'internal',
    allow: [],
    ownAddresses: [],
    isTrustedOrigin: (url) => [...services.values()].some((base) => isBelow(new URL(base), url)),
    log,
    ...options.egress,
  });
  const expressions = createExpressions({ maxResultBytes: 1_048_576 });
  const signal = options.signal ?? AbortSignal.timeout(20_000);
  const idempotencyKey = 'run-1.1.action-1';
  const correlationId = options.correlationId ?? 'correlation-1';
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  return {
    logged,
    slept,
    turns,
    outcomes,
    reported,
    context: {
      signal,
      log,
      idempotencyKey,
      attempt: options.attempt ?? 1,
      run: { id: 'run-1', actionId: 'action-1', tenantId: 'default', userId: 'anonymous' },
      correlationId,
      traceparent,
      fetch: createAdapterFetch(egress, { signal, idempotencyKey, tenantId: 'default', correlationId, traceparent }),
      service: (name) => {
        const baseUrl = services.get(name);
        return Promise.resolve(baseUrl === undefined ? undefined : { name, baseUrl });
      },
      operation: options.operation ?? (() => Promise.reject(new Error('no document is known'))),
      acquire: (name, { again }) => {
        const baseUrl = services.get(name);
        const place = { number: 1, instanceId: 'default', baseUrl: baseUrl ?? '', timeoutSeconds: 300 };
        return Promise.resolve(again || baseUrl === undefined ? undefined : place);
      },
      release: (_place, outcome) => {
        outcomes.push(outcome);
        return Promise.resolve();
      },
      awaitRateLimit: (service) => {
        turns.push(service);
        return Promise.resolve();
      },
      setting: (name) => settings.get(name),
      scope: options.scope ?? { params: {}, run: { id: 'run-1' }, outputs: {} },
      evaluate: (expression, variables) => expressions.evaluate(expression, variables, { tenantId: 'default' }),
      sleepUntil: (time) => {
        slept.push(time);
        return Promise.resolve();
      },
      park,
      progress: (percent, message) => void reported.push({ percent, message }),
      heartbeat: () => void reported.push('heartbeat'),
      stream: (chunk) => void reported.push({ chunk }),
      wakeAt: options.wakeAt,
      now: options.now ?? (() => new Date()),
      ...(options.engine === undefined ? {} : { engine: options.engine }),
    },
    async close() {
      await Promise.all([egress.close(), expressions.close()]);
    },
  };
}
