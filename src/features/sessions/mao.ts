/** Several agents: started together as one execution, with a child execution for each of them. */
import { OrchestratorError } from '../../domain/errors.ts';
import { FINAL_RUN_STATUSES, type RunStatus } from '../../domain/runs/run-states.ts';
import { systemWorkflowId } from '../../engine/accept/system-workflows.ts';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { PartView } from '../../engine/ports/run-views.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import type { PolicyClient } from '../policy/ask-policy.ts';
import { policyDenied } from '../policy/before-change.ts';
import { agentsStatus, maoRunId, maoWorkflowId } from './domain.ts';
import type { StartMao } from './mao-schemas.ts';
import { AGENTS, MAO_WORKFLOW } from './mao-workflow.ts';
import type { SessionStore } from './ports.ts';
import { decide, requireOwnTenant, type Starter } from './start-session.ts';

export interface MaoDeps {
  /** Undefined: all agents are allowed. */
  policy: PolicyClient | undefined;
  system: Pick<SystemRuns, 'start'>;
  reader: Pick<RunReader, 'execution' | 'parts'>;
  newId(): string;
  sessions: Pick<SessionStore, 'historyLength'>;
}

export interface MaoView {
  runId: string;
  status: RunStatus;
  historyLength: number;
  /** Null until all have ended. */
  result: JsonObject | null;
}

export interface Mao {
  /** The id of the execution. */
  start(starter: Starter, request: StartMao): Promise<{ runId: string; repeated: boolean }>;
  /** 404 unknown. */
  view(tenantId: string, id: string): Promise<MaoView>;
}

const MAX_AGENTS = 50;

export function createMao({ policy, system, reader, sessions, newId }: MaoDeps): Mao {
  return {
    async start(starter, request) {
      requireOwnTenant(starter, [request.tenant]);
      const { tenant, initiator, directives, notification_channel: channel, metadata } = request;
      // One decision about all of them, with what each is to do.
      const decision = await decide(policy, starter, {
        ...{ session_id: maoWorkflowId(newId()), tenant, user: initiator, role: starter.role },
        prompt: directives.map(({ prompt }) => prompt).join('\n\n'),
        metadata: { ...metadata, directives: directives.map(withoutPrompt) },
      });
      if (!decision.allowed) throw policyDenied(decision);
      const parameters = { tenant, initiator, directives: directives as Json[], metadata }; // Of a JSON body.
      const { id, repeated } = await system.start(
        starter.caller,
        MAO_WORKFLOW,
        { ...parameters, ...(channel === undefined ? {} : { notification_channel: channel }) },
        { idempotencyKey: starter.idempotencyKey },
      );
      return { runId: id, repeated };
    },
    async view(tenantId, id) {
      const runId = maoRunId(id);
      const run = await reader.execution(tenantId, runId);
      if (run === undefined || run.workflowId !== systemWorkflowId(tenantId, MAO_WORKFLOW))
        throw new OrchestratorError('not_found', 'Orchestration not found');
      const { status } = run;
      const historyLength = await sessions.historyLength(runId);
      if (!FINAL_RUN_STATUSES.includes(status)) return { runId, status, historyLength, result: null };
      const query = { of: AGENTS, status: undefined, limit: MAX_AGENTS, after: undefined };
      const agents = (await reader.parts(tenantId, runId, query))?.items.map(resultOf) ?? [];
      const completed = agents.filter((agent) => agent['status'] === 'completed').length;
      const total = Array.isArray(run.parameters['directives']) ? run.parameters['directives'].length : agents.length;
      return {
        runId,
        status,
        historyLength,
        result: { status: agentsStatus(completed, total), agent_results: agents },
      };
    },
  };
}

function withoutPrompt({ prompt: _, ...directive }: StartMao['directives'][number]): JsonObject {
  return directive as JsonObject; // Of a JSON body.
}

function resultOf({ status, item, output, error, startedAt, finishedAt }: PartView): JsonObject {
  const { agent_id: agentId = '', goal = null } = objectOf(item);
  const { execution_id: executionId, output: given } = objectOf(output);
  const { token = null, slm_response: response = {} } = objectOf(given);
  return {
    ...{ agent_id: agentId, goal, status: status === 'completed' ? 'completed' : 'failed' },
    ...{ token, slm_response: response },
    ...(error === null ? {} : { error }),
    ...(executionId === undefined ? {} : { execution_id: executionId }),
    started_at: startedAt?.toISOString() ?? null,
    completed_at: finishedAt?.toISOString() ?? null,
  };
}

function objectOf(value: Json | undefined): JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {};
}
