/**
 * The health of what the service depends on: its stores, its lanes and workers, the services of the caller's tenant, peers.
 * All are probed at the same time, with a timeout, so the report never waits for one that hangs.
 */
import { linesOfFaults, visibleFaults } from '../../domain/health/fault-problems.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import { withoutCredentials } from '../../domain/texts/mask-secrets.ts';
import type { EngineHealth, EngineHealthReport } from '../../engine/health/engine-health.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Dependency } from '../../feature.ts';
import type { DependencyHealth, SystemStatus } from '../../schemas/service-answers.ts';
import type { Peers, PeerView } from '../peers/exchange.ts';
import { serviceStatus } from '../services/domain.ts';
import type { Service } from '../services/ports.ts';
import type { Registry } from '../services/registry.ts';

export interface SystemReport {
  status: SystemStatus;
  /** By name: `postgres`, `lane:wait`, `worker:…`, `service:doc_store`. */
  services: Record<string, DependencyHealth>;
}

export interface SystemHealth {
  /** Cached for a second; never rejects. */
  report(caller: Caller): Promise<SystemReport>;
}

const CACHED_MS = 1_000;
/** Reports are cached by tenant; of more than so many the oldest goes. */
const MAX_CACHED = 200;
/** A worker that has not said farewell is shown for so long: after that it has been replaced, or there are no others. */
const GONE_FOR_MS = 300_000;

type Findings = Array<readonly [string, DependencyHealth]>;

export function createSystemHealth(deps: {
  /** Rejects when the database does not answer. */
  database(): Promise<unknown>;
  queue: { name: string; ping(): Promise<boolean> };
  /** Servers that features need. */
  dependencies(): readonly Dependency[];
  engine: Pick<EngineHealth, 'report'>;
  registry: Pick<Registry, 'list'>;
  peers: Pick<Peers, 'list'>;
  /** For each answer. */
  timeoutMs: number;
  /** Milliseconds of a clock that only goes forward. */
  now(): number;
}): SystemHealth {
  const { now, timeoutMs } = deps;

  async function probe<T>(work: Promise<T>): Promise<{ latencyMs: number; answer: T | undefined; detail: string }> {
    const startedAt = now();
    const { answer, detail } = await within(work, timeoutMs);
    return { latencyMs: Math.round(now() - startedAt), answer, detail };
  }

  async function store(name: string, kind: 'database' | 'queue' | 'broker', work: Promise<boolean>): Promise<Findings> {
    const { answer, latencyMs, detail } = await probe(work);
    if (answer === true) return [[name, { kind, status: 'healthy', latency_ms: latencyMs }]];
    return [[name, { kind, status: 'unhealthy', latency_ms: latencyMs, detail }]];
  }

  async function engine(): Promise<Findings> {
    const { answer, latencyMs, detail } = await probe(deps.engine.report());
    if (answer === undefined)
      return [['engine', { kind: 'engine', status: 'unhealthy', latency_ms: latencyMs, detail }]];
    // For any caller: the classes, and what they mean.
    const problems = [...linesOfFaults(visibleFaults(answer.faults, undefined)), ...answer.problems];
    const status = problems.length === 0 ? 'healthy' : 'unhealthy';
    const own: DependencyHealth = { kind: 'engine', status, latency_ms: latencyMs };
    if (problems.length > 0) own.detail = problems.join('; ');
    const unusable = answer.faults.filter(({ kind }) => kind === 'write_path');
    if (unusable.length > 0) own.kind = 'database';
    return [['engine', own], ...lanesOf(answer), ...workersOf(answer)];
  }

  async function services(caller: Caller): Promise<Findings> {
    const { answer, latencyMs, detail } = await probe(deps.registry.list(caller));
    if (answer === undefined)
      return [['registry', { kind: 'registry', status: 'unhealthy', latency_ms: latencyMs, detail }]];
    return answer.map((service) => [`service:${service.name}`, standingOf(service)]);
  }

  async function peers(caller: Caller): Promise<Findings> {
    const { answer, latencyMs, detail } = await probe(deps.peers.list(caller));
    if (answer === undefined) return [['peers', { kind: 'peer', status: 'unhealthy', latency_ms: latencyMs, detail }]];
    return answer.map((peer) => [`peer:${withoutCredentials(peer.url)}`, peerOf(peer)]);
  }

  const shared = cached(now, async () => {
    const found = await Promise.all([
      store(
        'postgres',
        'database',
        deps.database().then(() => true),
      ),
      store(deps.queue.name, 'queue', deps.queue.ping()),
      ...deps.dependencies().map(({ name, kind, ping }) =>
        store(
          name,
          kind,
          ping().then(() => true),
        ),
      ),
      engine(),
    ]);
    return found.flat();
  });
  const byTenant = new Map<string, () => Promise<Findings>>();

  function ofTenant(caller: Caller): Promise<Findings> {
    const findings =
      byTenant.get(caller.tenantId) ??
      cached(now, async () => (await Promise.all([services(caller), peers(caller)])).flat());
    // Again at the end: the least recently used one is the first.
    byTenant.delete(caller.tenantId);
    byTenant.set(caller.tenantId, findings);
    const [oldest] = byTenant.keys();
    if (byTenant.size > MAX_CACHED && oldest !== undefined) byTenant.delete(oldest);
    return findings();
  }

  return {
    async report(caller) {
      const findings = (await Promise.all([shared(), ofTenant(caller)])).flat();
      const unhealthy = findings.filter(([, { status }]) => status === 'unhealthy');
      const status = unhealthy.some(([, { kind }]) => kind === 'database')
        ? 'unhealthy'
        : unhealthy.length > 0
          ? 'degraded'
          : 'healthy';
      return { status, services: Object.fromEntries(findings) };
    },
  };
}

function lanesOf({ lanes, workers, queueConnected }: EngineHealthReport): Findings {
  if (!queueConnected) return [];
  const anybody = workers.some(({ alive }) => alive);
  return lanes.map(({ lane, depth, active, delayed, oldestWaitingSeconds, workers: serving }) => {
    const forsaken = depth > 0 && serving === 0;
    const finding: DependencyHealth = {
      kind: 'lane',
      status: forsaken ? 'unhealthy' : 'healthy',
      latency_ms: null,
      depth,
      active,
      delayed,
      oldest_waiting_seconds: oldestWaitingSeconds,
      workers: serving,
    };
    if (forsaken) finding.detail = anybody ? 'no worker serves it' : 'no worker is alive';
    return [`lane:${lane}`, finding];
  });
}

/** "Now" is the newest sign of life: all of them were written by the clock of the database. */
function workersOf({ workers }: EngineHealthReport): Findings {
  const newest = Math.max(...workers.map(({ seenAt }) => Number(seenAt)));
  return workers
    .filter(({ alive, seenAt }) => alive || newest - Number(seenAt) < GONE_FOR_MS)
    .map(({ worker, alive, activeTasks: active_tasks, seenAt, version }) => {
      const seen_at = isoText(seenAt);
      const status = alive ? 'healthy' : 'unhealthy';
      const finding: DependencyHealth = { kind: 'worker', status, latency_ms: null, active_tasks, seen_at, version };
      if (!alive) finding.detail = `not heard of since ${seen_at}`;
      return [`worker:${worker}`, finding];
    });
}

/** As its checks have last found it; a service without checks is unknown, and counts as neither. */
function standingOf({ baseUrl, instances }: Service): DependencyHealth {
  const standing = serviceStatus(instances);
  const worst = instances.find(({ health, expired }) => expired || health === 'unhealthy') ?? instances[0];
  const status = standing === 'healthy' || standing === 'unknown' ? standing : 'unhealthy';
  const finding: DependencyHealth = {
    kind: 'service',
    status,
    latency_ms: worst?.latencyMs ?? null,
    url: withoutCredentials(baseUrl),
  };
  if (worst?.checkedAt != null) finding.checked_at = worst.checkedAt.toISOString();
  if (status === 'unhealthy')
    finding.detail = worst?.expired === true ? 'no heartbeat in time' : (worst?.lastError ?? standing);
  return finding;
}

/** As the worker that checks it has last found it. */
function peerOf({ url, status: standing, lastSeenAt, lastError, latencyMs }: PeerView): DependencyHealth {
  const status = standing === 'up' ? 'healthy' : standing === 'down' ? 'unhealthy' : 'unknown';
  const finding: DependencyHealth = { kind: 'peer', status, latency_ms: latencyMs, url: withoutCredentials(url) };
  if (lastSeenAt !== null) finding.seen_at = isoText(lastSeenAt);
  if (status === 'unhealthy') finding.detail = lastError ?? 'does not take what it is owed';
  return finding;
}

/** Never rejects, and says nothing of why in other words than ours: an error may name hosts. */
async function within<T>(work: Promise<T>, timeoutMs: number): Promise<{ answer: T | undefined; detail: string }> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<{ answer: undefined; detail: string }>((resolve) => {
    const detail = `does not answer within ${timeoutMs / 1_000} s`;
    timer = setTimeout(() => resolve({ answer: undefined, detail }), timeoutMs);
  });
  const done = work.then(
    (answer) => ({ answer, detail: 'cannot be reached' }),
    () => ({ answer: undefined, detail: 'cannot be reached' }),
  );
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}

/** One reading at a time for all callers, and none again for a while after it has ended. */
function cached<T>(now: () => number, read: () => Promise<T>): () => Promise<T> {
  let last: { value: Promise<T>; endedAt: number | undefined } | undefined;
  return () => {
    if (last !== undefined && (last.endedAt === undefined || now() - last.endedAt <= CACHED_MS)) return last.value;
    const entry: { value: Promise<T>; endedAt: number | undefined } = { value: read(), endedAt: undefined };
    const ended = () => {
      entry.endedAt = now();
    };
    entry.value.then(ended, ended);
    last = entry;
    return entry.value;
  };
}
