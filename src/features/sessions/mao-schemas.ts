/** What several agents take and answer. */
import { z } from 'zod';
import { count, json, object, RUN, text, time } from '../../schemas/answer-shapes.ts';
import { jsonObject } from '../../schemas/requests.ts';
import { sessionStatus } from './schemas.ts';

const MAX_DIRECTIVES = 50;
const MAX_PROMPT = 65_536;
const name = z.string().min(1).max(255);

const directive = z.looseObject({
  agent_id: name,
  goal: z.string().max(10_000).optional(),
  prompt: z.string().min(1).max(MAX_PROMPT),
  model: name.optional(),
  capabilities: z.array(name).max(100).default([]),
  metadata: jsonObject.default({}),
});

export const startMaoRequest = z
  .looseObject({
    tenant: name,
    initiator: name,
    directives: z.array(directive).min(1).max(MAX_DIRECTIVES),
    notification_channel: name.optional().meta({ description: 'The service `notification` is called at the end' }),
    metadata: jsonObject.default({}),
  })
  .meta({
    id: 'StartMaoRequest',
    example: {
      tenant: 'acme',
      initiator: 'ada',
      directives: [{ agent_id: 'reader', goal: 'facts', prompt: 'List the facts of the report.' }],
    },
  });

export const startedMao = z.object({ workflow_id: text, run_id: text, orchestration_id: text, task_queue: text }).meta({
  id: 'StartedMao',
  example: {
    workflow_id: `mao-${RUN}`,
    run_id: RUN,
    orchestration_id: RUN,
    task_queue: 'somagent.session.workflows',
  },
});

const agentResult = z.object({
  agent_id: text,
  goal: text.nullable(),
  status: z.enum(['completed', 'failed']),
  token: json,
  slm_response: object,
  error: json.optional(),
  execution_id: text.optional().meta({ description: 'Its child execution' }),
  started_at: time.nullable(),
  completed_at: time.nullable(),
});

export const mao = z
  .object({
    workflow_id: text,
    run_id: text,
    orchestration_id: text,
    status: sessionStatus,
    history_length: count,
    result: z
      .object({ status: z.enum(['completed', 'partial', 'failed']), agent_results: z.array(agentResult) })
      .nullable(),
  })
  .meta({
    id: 'Mao',
    example: {
      workflow_id: 'mao-1',
      run_id: RUN,
      orchestration_id: 'mao-1',
      status: 'running',
      history_length: 3,
      result: null,
    },
  });

export type StartMao = z.output<typeof startMaoRequest>;
