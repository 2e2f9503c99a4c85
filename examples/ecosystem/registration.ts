/** Keeps services registered at an orchestrator: registers them, renews by heartbeat, and takes them out again. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { AnswerError, type Orchestrator } from '../orchestrator.ts';
import type { StagedService } from './route.ts';

export interface RegistrationOptions {
  api: Orchestrator;
  services: ReadonlyMap<string, StagedService>;
  /** A service that does not renew for that long counts as gone. */
  ttlSeconds: number;
  breaker?: { failure_threshold: number; recovery_timeout: number };
  say(line: string): void;
}

export interface Registration {
  /** Resolves when all services are registered for the first time. */
  ready: Promise<void>;
  /** Takes them out again. */
  close(): Promise<void>;
}

/** One heartbeat may be lost without harm, and another one. */
const BEATS_PER_TTL = 3;
/** While nothing answers at the orchestrator's address. */
const RETRY_MS = 1_000;
const HEALTH_CHECK = { path: '/health', interval_seconds: 2, timeout_seconds: 2 };
/** A service that is made to work again should not have to wait for a minute. */
const BREAKER = { failure_threshold: 5, recovery_timeout: 2 };

const anything = z.unknown();

export function keepRegistered(options: RegistrationOptions): Registration {
  const { api, services, ttlSeconds, breaker = BREAKER, say } = options;
  const ending = new AbortController();
  const registered = new Set<string>();
  let isReady = false;
  let tellReady = () => {};
  let tellRefused = (_why: unknown) => {};
  const ready = new Promise<void>((resolve, reject) => {
    tellReady = resolve;
    tellRefused = reject;
  });
  ready.catch(() => undefined); // Whoever does not ask for it does not have to hear of it.

  async function register({ name, url, endpoints }: StagedService): Promise<void> {
    await api.post(
      '/registry/register',
      {
        name,
        base_url: url,
        openapi_url: `${url}/openapi.json`,
        endpoints,
        metadata: { stage: 'examples/ecosystem' },
        ttl_seconds: ttlSeconds,
        health_check: HEALTH_CHECK,
        breaker,
      },
      anything,
    );
    registered.add(name);
  }

  async function renew(service: StagedService): Promise<void> {
    // One that is stopped on purpose would not renew either.
    if (service.fault().kind === 'stopped') return;
    if (!registered.has(service.name)) return register(service);
    try {
      await api.post('/registry/heartbeat', { name: service.name }, anything);
    } catch (error) {
      if (!(error instanceof AnswerError && error.status === 404)) throw error;
      await register(service); // It was forgotten there, for whatever reason.
    }
  }

  async function keep(): Promise<void> {
    let silent = false;
    while (!ending.signal.aborted) {
      let waitMs = (ttlSeconds * 1_000) / BEATS_PER_TTL;
      try {
        for (const service of services.values()) await renew(service);
        if (silent) say(`${api.url} answers again.`);
        silent = false;
        isReady = true;
        tellReady();
      } catch (error) {
        // It was understood and refused: asking again would not help, and the reason should be seen.
        if (!isReady && error instanceof AnswerError && error.status < 500) return tellRefused(error);
        if (!silent) say(`${error instanceof Error ? error.message : error} (tried again until it does)`);
        silent = true;
        waitMs = Math.min(waitMs, RETRY_MS);
      }
      await sleep(waitMs, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  }

  const keeping = keep();
  return {
    ready,
    async close() {
      ending.abort();
      await keeping;
      // What cannot be taken out now is forgotten there when its time is over.
      await Promise.allSettled([...registered].map((name) => api.remove(`/registry/${name}`)));
    },
  };
}
