/** What the adapters of the older platform's features get of the engine, bound to the task that they run. */
import { createHash } from 'node:crypto';
import { OrchestratorError } from '../../domain/errors.ts';
import type { ExecutionCall } from '../../engine/ports/executor.ts';
import type { DocumentStore, PlatformAccess, ReportReader } from './ports.ts';
import { runReport } from './run-report.ts';

export function createPlatformAccess(deps: {
  documents: Pick<DocumentStore, 'save'>;
  report: ReportReader;
}): (call: { run: Pick<ExecutionCall['run'], 'id' | 'tenantId'>; actionId: string }) => { platform: PlatformAccess } {
  return ({ run, actionId }) => ({
    platform: {
      async saveDocument({ id, content, metadata }) {
        const contentHash = createHash('sha256').update(content).digest('hex');
        // The same for every attempt, so that one that is tried again saves no second document.
        const own = id ?? `${run.id}.${actionId}`;
        const document = { id: own, content, contentHash, metadata, runId: run.id };
        const saved = await deps.documents.save(run.tenantId, document);
        if (saved === undefined) {
          const full = 'as many documents as may be are saved here: register a doc_store for more';
          throw new OrchestratorError('conflict', full);
        }
        return { id: saved.id, content_hash: saved.contentHash, created_at: saved.createdAt.toISOString() };
      },
      async reportRuns(query) {
        const [statuses, events] = await Promise.all([
          deps.report.statuses(run.tenantId, run.id),
          deps.report.events(run.tenantId, run.id),
        ]);
        return runReport(statuses, events, query);
      },
    },
  });
}
