/** The parameters of a run of `system:session`, written by the start and read by the steps. */
import { z } from 'zod';
import { jsonObject } from '../../schemas/requests.ts';

const decision = z.object({
  allowed: z.boolean(),
  score: z.number().nullable(),
  severity: z.string().nullable(),
  reasons: jsonObject,
  failed_open: z.literal(true).optional(),
});
export type RecordedDecision = z.output<typeof decision>;

export const sessionParameters = z.object({
  session_id: z.string(),
  tenant: z.string(),
  user: z.string(),
  prompt: z.string(),
  model: z.string(),
  capabilities: z.array(z.string()),
  metadata: jsonObject,
  request: jsonObject,
  decision,
  keep_open: z.boolean(),
  approval_request: jsonObject.optional(),
  job_request: jsonObject,
});
/** Whose session it is, as its start said. */
export const sessionOwner = sessionParameters.pick({ tenant: true, user: true });
export type SessionParameters = z.output<typeof sessionParameters>;

/** What one agent is to do. */
export const directive = z.object({
  agent_id: z.string(),
  goal: z.string().optional(),
  prompt: z.string(),
  model: z.string().optional(),
  capabilities: z.array(z.string()).default([]),
  metadata: jsonObject.default({}),
});
export const agentParameters = z.object({
  orchestration_id: z.string(),
  tenant: z.string(),
  initiator: z.string(),
  directive,
});

/** The payload of a message to an open session. */
export const messagePayload = z.object({
  prompt: z.string(),
  metadata: jsonObject.default({}),
  decision: decision.optional(),
});
