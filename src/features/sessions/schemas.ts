/** What sessions take and answer. */
import { z } from 'zod';
import { count, json, object, RUN, text, time } from '../../schemas/answer-shapes.ts';
import { jsonObject } from '../../schemas/requests.ts';
import { DEFAULT_MODEL, MAX_SESSION_ID } from './domain.ts';

/** Of all fields but the prompt. */
const MAX_REQUEST_BYTES = 65_536;
const MAX_PROMPT = 65_536;
const MAX_EXTENSION_SECONDS = 2_592_000;
const SESSION = 'session-7e4c1a52-9d0f-4a7e-8f0b-3c2d1e0f9a8b';

const name = z.string().min(1).max(255);
const capabilities = z.array(name).max(100);
const mfaCode = z.string().min(1).max(64);
const prompt = z.string().min(1).max(MAX_PROMPT);

const metadata = z
  .looseObject({
    session_id: z
      .string()
      .min(1)
      .max(MAX_SESSION_ID)
      .optional()
      .meta({ description: 'Unique within the tenant; a repeated one returns the first session' }),
    keep_open: z.boolean().optional().meta({ description: 'The session waits for messages until it expires' }),
    requires_approval: z.boolean().optional().meta({ description: 'Somebody has to approve the session first' }),
    approvers: z.array(name).max(100).optional(),
    capabilities: capabilities.optional(),
    mfa_code: mfaCode.optional(),
  })
  .meta({ description: 'Known fields, `volcano_*` of the Kubernetes job, and any others' });

/** The older gateway sends the names with `_id`. */
function withNames(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const fields = body as Record<string, unknown>; // JSON.
  return {
    ...fields,
    tenant: fields['tenant'] ?? fields['tenant_id'],
    user: fields['user'] ?? fields['user_id'],
  };
}

const known = z.looseObject({
  tenant: name,
  user: name,
  prompt,
  model: name.default(DEFAULT_MODEL),
  metadata: metadata.default({}),
  capabilities: capabilities.optional().meta({ description: 'Of the token; also in `metadata`' }),
  mfa_code: mfaCode.optional().meta({ description: 'For the token; also in `metadata`. Needs SECRETS_KEY' }),
  tenant_id: name.optional(),
  user_id: name.optional(),
});

export const startSessionRequest = z.preprocess(
  withNames,
  known.refine(isSmall, {
    error: `without its prompt must be JSON of at most ${MAX_REQUEST_BYTES} bytes`,
    // Named beside the faults of single fields.
    when: () => true,
  }),
);

function isSmall(body: unknown): boolean {
  const { prompt: _, ...rest } = (body ?? {}) as Record<string, unknown>; // What is no object is a fault already.
  return Buffer.byteLength(JSON.stringify(rest)) <= MAX_REQUEST_BYTES;
}

export const startSessionDocument = known
  .extend({
    tenant: name.optional().meta({ description: 'Required, as `tenant` or `tenant_id`' }),
    user: name.optional().meta({ description: 'Required, as `user` or `user_id`' }),
  })
  .meta({ id: 'StartSessionRequest', example: { tenant: 'acme', user: 'ada', prompt: 'Summarize the report.' } });

export const startedSession = z
  .object({
    session_id: text,
    workflow_id: text,
    run_id: text.meta({ description: 'Id of the execution' }),
    task_queue: text,
    status: z.literal('accepted'),
  })
  .meta({
    id: 'StartedSession',
    example: {
      session_id: SESSION,
      workflow_id: `session-${SESSION}`,
      run_id: RUN,
      task_queue: 'somagent.session.workflows',
      status: 'accepted',
    },
  });

export const sessionStatus = z.enum(['running', 'completed', 'failed', 'canceled', 'terminated', 'timed_out']);

const sessionResult = z.object({
  session_id: text,
  tenant: text,
  user: text,
  status: z.enum(['completed', 'rejected']),
  policy: object,
  token: z.object({ expires_in: z.number(), token_type: text }).nullable(),
  slm_response: object,
  audit_event_id: text,
  completed_at: time,
  volcano_job: json.optional(),
  rounds: count.optional().meta({ description: 'Of an open session: number of answered messages' }),
});

export const session = z
  .object({
    session_id: text,
    workflow_id: text,
    run_id: text,
    status: sessionStatus,
    paused: z.literal(true).optional(),
    history_length: count.meta({ description: 'Number of events of the execution' }),
    expires_at: time.optional().meta({ description: 'Of an open session' }),
    result: sessionResult.nullable(),
    error: json.optional().meta({ description: 'Why it failed' }),
  })
  .meta({
    id: 'Session',
    example: {
      session_id: 'session-1',
      workflow_id: 'session-1',
      run_id: RUN,
      status: 'running',
      history_length: 3,
      result: null,
    },
  });

export const sessionAction = z
  .strictObject({
    payload: jsonObject.default({}),
    reason: z.string().min(1).max(1_000).optional().meta({ description: 'Free text, stored with the event' }),
  })
  .meta({ id: 'SessionActionRequest', example: { reason: 'not needed any more' } });

/** By action: what its payload has to be. */
export const payloads = {
  signal: z.object({ payload: z.strictObject({ name, data: json.optional() }) }),
  message: z.object({ payload: z.strictObject({ prompt, metadata: jsonObject.default({}) }) }),
  extend: z.object({
    payload: z.strictObject({ seconds: z.number().positive().max(MAX_EXTENSION_SECONDS).optional() }),
  }),
};

export const sessionActionAnswer = z
  .object({ session_id: text, action: text, status: sessionStatus })
  .meta({ id: 'SessionAction', example: { session_id: SESSION, action: 'cancel', status: 'running' } });

export type StartSession = z.output<typeof startSessionRequest>;
