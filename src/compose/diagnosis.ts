/** `/why` and the problems of the system, put together on connections of their own. */
import pg from 'pg';
import type { Config } from '../config.ts';
import type { QueueUse } from '../domain/queue-room.ts';
import type { EngineHealth, LaneDepths } from '../engine/engine-health.ts';
import { createPlans } from '../engine/plans.ts';
import { createSystemProblems, type SystemProblems } from '../engine/system-problems.ts';
import { createWhy, type WhyOfRuns } from '../engine/why.ts';
import type { Backend, LaneQueue } from '../queue/backend.ts';
import { createJobLooks } from '../queue/job-looks.ts';
import { createDefinitions } from '../store/definitions.ts';
import { payloadSettings } from '../store/payload-client.ts';
import { SESSION } from '../store/session.ts';
import { TenantPool, type TenantPoolOptions } from '../store/tenant-pool.ts';
import { createWhyStore, DIAGNOSIS_OPTIONS } from '../store/why.ts';
import { VERSION } from '../version.ts';
import { payloadsOf } from './payloads.ts';

export interface DiagnosisDeps {
  databaseUrl: string;
  backend: Pick<Backend, 'lockLeftMs'>;
  queues(names: readonly string[]): LaneQueue[];
  depths: LaneDepths;
  engineHealth: EngineHealth;
  queueUse(): QueueUse | undefined;
  queueRejects(): string | undefined;
  lanes: readonly string[];
  wall: Omit<TenantPoolOptions, 'everyTenant'> & { gap(): Promise<string | undefined> };
  onError(error: Error): void;
}

const CONNECTIONS = 2;

export function diagnosisOf(
  config: Pick<Config, 'admissionWindow' | 'secretKeys' | 'encryptPayloads'>,
  deps: DiagnosisDeps,
): { why: WhyOfRuns; problems: SystemProblems; close(): Promise<void> } {
  // The pool of the process may be what everything waits for.
  const options = {
    ...payloadSettings(payloadsOf(config)),
    connectionString: deps.databaseUrl,
    application_name: 'orchestrator-api-why',
    options: DIAGNOSIS_OPTIONS,
    onConnect: (client: pg.ClientBase): unknown => client.query(SESSION),
    max: CONNECTIONS,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 10_000,
  };
  const everyTenant = new pg.Pool(options);
  const pool = new TenantPool(options, { ...deps.wall, everyTenant });
  for (const one of [pool, everyTenant]) one.on('error', deps.onError);
  const store = createWhyStore(pool, everyTenant);
  const { queueUse, queueRejects, lanes } = deps;
  const queueOf = (name: string) => {
    const [queue] = deps.queues([name]);
    if (queue === undefined) throw new Error(`no queue '${name}'`);
    return queue;
  };
  return {
    why: createWhy({
      store,
      plans: createPlans(createDefinitions(pool)),
      jobs: createJobLooks(deps.backend, queueOf),
      depths: deps.depths,
      queueUse,
      queueRejects,
      window: config.admissionWindow,
      engine: deps.engineHealth,
      version: VERSION,
    }),
    problems: createSystemProblems({
      store,
      engine: deps.engineHealth,
      gapInWall: deps.wall.gap,
      queueUse,
      queueRejects,
      lanes,
      version: VERSION,
      now: Date.now,
    }),
    async close() {
      await Promise.all([pool.end(), everyTenant.end()]);
    },
  };
}
