/** A session as it stands: its execution, in the words of sessions. */
import { OrchestratorError } from '../../domain/errors.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { RunView } from '../../engine/ports/run-views.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { ROUNDS, sessionIdsIn } from './domain.ts';
import type { SessionRow, SessionStore } from './ports.ts';

export interface ReadSessionDeps {
  sessions: Pick<SessionStore, 'find'>;
  reader: Pick<RunReader, 'execution' | 'parts'>;
}

export interface SessionView {
  row: SessionRow;
  /** What its steps gave; null until the last of them has ended. */
  result: JsonObject | null;
  error: Json;
}

export function createReadSession({ sessions, reader }: ReadSessionDeps) {
  /** Of a session id, which wins, or a workflow id. */
  async function find(tenantId: string, id: string): Promise<SessionRow> {
    for (const sessionId of sessionIdsIn(id)) {
      const row = await sessions.find(tenantId, sessionId);
      if (row !== undefined) return row;
    }
    throw new OrchestratorError('not_found', 'Session not found');
  }

  async function view(tenantId: string, id: string): Promise<SessionView> {
    const row = await find(tenantId, id);
    const run = await reader.execution(tenantId, row.runId);
    const result = run === undefined ? null : resultOf(run);
    if (run === undefined || result === null || !row.keepOpen) return { row, result, error: run?.error ?? null };
    return { row, result: { ...result, ...(await latestRound(tenantId, run)) }, error: run.error };
  }

  async function latestRound(tenantId: string, run: RunView): Promise<JsonObject> {
    const counts = run.tasks.find(({ actionId }) => actionId === ROUNDS)?.parts;
    const rounds = counts?.completed ?? 0;
    if (rounds === 0) return { rounds };
    // Iterations are one after the other, so the completed ones come first.
    const query = { of: ROUNDS, status: 'completed', limit: 1, after: rounds - 2 } as const;
    const found = await reader.parts(tenantId, run.id, { ...query, ...(rounds === 1 ? { after: undefined } : {}) });
    const output = found?.items[0]?.output;
    if (!isObject(output)) return { rounds };
    const { policy = {}, slm_response: response = {} } = output;
    return { rounds, policy, slm_response: response };
  }

  return { find, view };
}

function resultOf(run: RunView): JsonObject | null {
  const audit = run.tasks.find(({ actionId, status }) => actionId === 'audit' && status === 'completed');
  return isObject(audit?.output) ? audit.output : null;
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
