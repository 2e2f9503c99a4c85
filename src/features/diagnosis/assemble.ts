/** `/why` and the problems of the system, put together on connections of their own. */

import pg from 'pg';
import { payloadsOf } from '../../compose/payloads.ts';
import { createPlans } from '../../engine/accept/plans.ts';
import type { ApiParts } from '../../feature.ts';
import { createJobProbes } from '../../queue/job-looks.ts';
import { payloadSettings } from '../../store/core/payload-client.ts';
import { SESSION } from '../../store/core/session.ts';
import { TenantPool } from '../../store/core/tenant-pool.ts';
import { createDefinitions } from '../../store/runs/definitions.ts';
import { VERSION } from '../../version.ts';
import { createWhy, type WhyOfRuns } from './explain-run.ts';
import { createSystemProblems, type SystemProblems } from './find-problems.ts';
import { createWhyStore, DIAGNOSIS_OPTIONS } from './store.ts';

const CONNECTIONS = 2;

export function diagnosisOf(parts: ApiParts): { why: WhyOfRuns; problems: SystemProblems; close(): Promise<void> } {
  const { config, databaseUrl, backend, queue, queueUse, queueRejects, depths, engineHealth, lanes } = parts;
  // The pool of the process may be what everything waits for.
  const options = {
    ...payloadSettings(payloadsOf(config)),
    connectionString: databaseUrl,
    application_name: 'orchestrator-api-why',
    options: DIAGNOSIS_OPTIONS,
    onConnect: (client: pg.ClientBase): unknown => client.query(SESSION),
    max: CONNECTIONS,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 10_000,
  };
  const everyTenant = new pg.Pool(options);
  const pool = new TenantPool(options, { ...parts.rowLevelSecurity, everyTenant });
  for (const one of [pool, everyTenant]) one.on('error', parts.onDatabaseError);
  const store = createWhyStore(pool, everyTenant);
  return {
    why: createWhy({
      store,
      plans: createPlans(createDefinitions(pool)),
      jobs: createJobProbes(backend, queue),
      depths,
      queueUse,
      queueRejects,
      window: config.admissionWindow,
      engine: engineHealth,
      version: VERSION,
      waitCauses: parts.waitCauses,
      whyWaiting: parts.whyWaiting,
    }),
    problems: createSystemProblems({
      store,
      engine: engineHealth,
      isolationGap: parts.rowLevelSecurity.gap,
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
