/** Runs of the service's own workflows: what an endpoint does by a run, which can be seen, retried and stopped like any other. */

import type { RunReader } from '../ports/read-models.ts';
import type { RunStore } from '../ports/runs.ts';
import type { SystemRuns } from '../ports/system-workflows.ts';
import type { AcceptRuns, WaitForRuns } from '../ports/use-cases.ts';
import type { SystemWorkflows } from './system-workflows.ts';

export interface SystemRunDeps {
  system: SystemWorkflows;
  accept: Pick<AcceptRuns, 'executeWorkflow'>;
  /** The same, for runs that are stored otherwise. */
  acceptInto(runs: Pick<RunStore, 'accept'>): Pick<AcceptRuns, 'executeWorkflow'>;
  wait: WaitForRuns;
  reader: Pick<RunReader, 'execution'>;
}

export function createSystemRuns({ system, accept, acceptInto, wait, reader }: SystemRunDeps): SystemRuns {
  const start: SystemRuns['start'] = async (caller, name, parameters, request) => {
    const { id, version } = await system.ensure(caller.tenantId, name);
    const { correlationId, idempotencyKey, priority, saga, runs } = request;
    return (runs === undefined ? accept : acceptInto(runs)).executeWorkflow(caller, id, {
      parameters,
      version,
      correlation_id: correlationId,
      idempotency_key: idempotencyKey,
      priority,
      saga,
      strict: true,
    });
  };
  return {
    start,
    async runAndWait(caller, name, parameters, { waitMs, signal, ...request }) {
      const accepted = await start(caller, name, parameters, request);
      const final = await wait.waitUntilFinal(accepted.id, waitMs, signal);
      return { accepted, ended: final ? await reader.execution(caller.tenantId, accepted.id) : undefined };
    },
  };
}
