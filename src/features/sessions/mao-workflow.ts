/** `mao`: several agents, each with a directive, which is an execution of `directive` of its own. Pure. */
import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import type { JsonObject } from '../../schemas/json.ts';

export const MAO_WORKFLOW = 'mao';
const DIRECTIVE_WORKFLOW = 'directive';
/** The action that has a child execution for each directive. */
export const AGENTS = 'agents';
const AT_ONCE = 10;
const COMPLETION_SECONDS = 90;
const SOON: JsonObject = { max_attempts: 4, backoff: 'exponential', initial_delay_seconds: 0.5 };

export const directiveWorkflow: SystemWorkflow = {
  name: DIRECTIVE_WORKFLOW,
  definition: {
    description: 'One agent: a token with the capabilities of its directive, and the completion of its prompt.',
    parameters: [
      { name: 'orchestration_id', type: 'string' },
      { name: 'tenant', type: 'string' },
      { name: 'initiator', type: 'string' },
      { name: 'directive', type: 'object' },
    ],
    actions: [
      { action_id: 'token', action_type: 'session_step', config: { step: 'agent_token' }, retry: SOON },
      {
        action_id: 'completion',
        action_type: 'session_step',
        depends_on: ['token'],
        config: { step: 'agent_completion' },
        timeout_seconds: COMPLETION_SECONDS,
        retry: SOON,
      },
    ],
    output: { token: '{{token}}', slm_response: '{{completion}}' },
  },
};

export const maoWorkflow: SystemWorkflow = {
  name: MAO_WORKFLOW,
  uses: [DIRECTIVE_WORKFLOW],
  definition: {
    description: 'Several agents at the same time; what becomes of each is in the result.',
    parameters: [
      { name: 'tenant', type: 'string' },
      { name: 'initiator', type: 'string' },
      { name: 'directives', type: 'array' },
      { name: 'notification_channel', type: 'string', required: false },
      { name: 'metadata', type: 'object', default: {} },
    ],
    actions: [
      {
        action_id: AGENTS,
        action_type: 'workflow',
        for_each: { items: '{{params.directives}}', max_parallel: AT_ONCE, on_item_failure: 'continue' },
        config: {
          workflow_id: `system:${DIRECTIVE_WORKFLOW}`,
          parameters: {
            orchestration_id: '{{run.id}}',
            tenant: '{{tenant}}',
            initiator: '{{initiator}}',
            directive: '{{item}}',
          },
        },
        // A child that failed has tried again itself.
        retry: { max_attempts: 1 },
      },
      {
        action_id: 'service',
        action_type: 'find_service',
        when: 'has(params.notification_channel)',
        config: { names: ['notification', 'notification_service'] },
      },
      {
        action_id: 'notify',
        action_type: 'service_call',
        depends_on: [AGENTS],
        when: 'service != null && service.service != null',
        config: {
          service: '{{service.service}}',
          endpoint: '/notify',
          method: 'POST',
          parameters: {
            tenant_id: '{{tenant}}',
            channel: '{{notification_channel}}',
            severity: 'info',
            message: 'The orchestration {{run.id}} has ended.',
          },
        },
        retry: SOON,
        on_failure: 'continue',
      },
    ],
    output: { agents: `{{${AGENTS}}}` },
  },
};
