/** `session`: the steps of a session. A denied one has only its decision and its audit. Pure. */
import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { MAX_MESSAGES, ROUNDS, SESSION_WORKFLOW } from './domain.ts';

/** The longest a completion may take, and a round with what is remembered. */
const COMPLETION_SECONDS = 90;
const ROUND_SECONDS = 120;
const SOON: JsonObject = { max_attempts: 4, backoff: 'exponential', initial_delay_seconds: 0.5 };
const ALLOWED = 'params.decision.allowed && (approval == null || approval.approved)';

/** `jobType`: the action type of Kubernetes jobs; undefined where there is none. */
export function sessionWorkflow(jobType: string | undefined): SystemWorkflow {
  const jobs = jobType === undefined ? [] : [jobAction(jobType)];
  return { name: SESSION_WORKFLOW, definition: { ...COMMON, actions: actionsOf(jobs) } };
}

/** Its failure fails nothing else. */
function jobAction(type: string): JsonObject {
  return {
    action_id: 'job',
    action_type: type,
    depends_on: ['policy'],
    when: ALLOWED,
    config: '{{params.job_request}}',
    on_failure: 'continue',
    // The session waits for it, and a Job that fails at once fails again.
    retry: { max_attempts: 1 },
  };
}

const COMMON: JsonObject = {
  description: 'A session: decision, approval, token, completion, memory and audit, then a round for each message.',
  parameters: [
    { name: 'session_id', type: 'string' },
    { name: 'tenant', type: 'string' },
    { name: 'user', type: 'string' },
    { name: 'prompt', type: 'string' },
    { name: 'model', type: 'string' },
    { name: 'capabilities', type: 'array', default: [] },
    { name: 'metadata', type: 'object', default: {} },
    { name: 'request', type: 'object', default: {}, description: 'Fields that nothing here reads' },
    { name: 'decision', type: 'object', description: 'That of the policy' },
    { name: 'keep_open', type: 'boolean', default: false },
    { name: 'approval_request', type: 'object', required: false },
    { name: 'job_request', type: 'object', default: {} },
  ],
  output: '{{audit}}',
};

function actionsOf(jobs: readonly JsonObject[]): JsonObject[] {
  return [
    { action_id: 'policy', action_type: 'transform', config: { expression: 'params.decision' } },
    {
      action_id: 'approval',
      action_type: 'approval',
      depends_on: ['policy'],
      when: 'params.decision.allowed && has(params.approval_request)',
      config: '{{params.approval_request}}',
    },
    ...jobs,
    {
      action_id: 'token',
      action_type: 'session_step',
      depends_on: ['policy', ...jobs.map(({ action_id: id }) => String(id))],
      when: ALLOWED,
      config: { step: 'token' },
      retry: SOON,
    },
    {
      action_id: 'completion',
      action_type: 'session_step',
      depends_on: ['policy', 'token'],
      when: ALLOWED,
      config: { step: 'completion' },
      timeout_seconds: COMPLETION_SECONDS,
      retry: SOON,
    },
    {
      action_id: 'memory',
      action_type: 'session_step',
      depends_on: ['policy'],
      when: ALLOWED,
      config: { step: 'memory', completion: '{{completion}}' },
      retry: SOON,
    },
    {
      action_id: 'audit',
      action_type: 'session_step',
      depends_on: ['policy', 'memory'],
      config: {
        step: 'audit',
        approval: '{{approval}}',
        token: '{{token}}',
        completion: '{{completion}}',
        ...(jobs.length === 0 ? {} : { job: '{{job}}' }),
      },
      retry: SOON,
    },
    {
      action_id: ROUNDS,
      action_type: 'session_step',
      depends_on: ['policy', 'audit'],
      when: `params.keep_open && ${ALLOWED}`,
      config: { step: 'round' },
      repeat: { until: `iteration >= ${MAX_MESSAGES}`, max_iterations: MAX_MESSAGES },
      timeout_seconds: ROUND_SECONDS,
      retry: SOON,
    },
  ];
}
