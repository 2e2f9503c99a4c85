/** A run with the `dedupe` key that its workflow gives it. */
import { dedupeKeyOf } from '../../domain/definition/dedupe.ts';
import type { Definition } from '../../domain/definition/definition.ts';
import type { NewRun } from '../ports/runs.ts';
import { requestHash } from './request-hash.ts';

export function withDedupe(
  run: NewRun,
  { workflow_id, version }: { workflow_id: string; version: number },
  definition: Definition,
): NewRun {
  const { dedupe } = definition;
  if (dedupe === undefined) return run;
  const value = dedupeKeyOf(definition, run.parameters, {
    workflow_id,
    workflow_version: version,
    tenant_id: run.tenantId,
    user_id: run.userId,
    correlation_id: run.correlationId ?? null,
  });
  if (value === undefined) return run;
  const { window_seconds: windowSeconds, policy } = dedupe;
  return { ...run, dedupe: { key: requestHash(value), windowSeconds, policy } };
}
