/** What the HTTP door takes and answers about the audit. */
import { z } from 'zod';
import { count, FLOW, json, text, time } from './answer-shapes.ts';
import { moment } from './requests.ts';

/** allowed: it was done; denied: by who asks (401, 403); refused: by what was asked; failed: it could not be done. */
export const AUDIT_DECISIONS = ['allowed', 'denied', 'refused', 'failed'] as const;

const exact = z.string().min(1).max(255);

export const auditQuery = z.object({
  from: moment.optional().meta({ description: 'Written at or after' }),
  to: moment.optional().meta({ description: 'Written before' }),
  actor: exact.optional().meta({ description: 'The user id' }),
  action: exact.optional().meta({ description: 'The id of an operation in this document', example: 'deleteWorkflow' }),
  resource: exact.optional().meta({ description: 'The id of what it was done to' }),
  decision: z.enum(AUDIT_DECISIONS).optional(),
  chain: z
    .enum(['tenant', 'installation'])
    .default('tenant')
    .meta({ description: 'installation: requests of nobody known; for the tenant `default` only' }),
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the page before' }),
});

const nullable = text.nullable();

export const auditEntry = z
  .object({
    tenant_id: text,
    seq: z.int().min(1).meta({ description: 'The place in the chain of the tenant, from 1 without gaps' }),
    at: time,
    actor: text.meta({ description: 'The user id; `unknown`: nobody known', example: 'anna' }),
    means: text.meta({ description: 'By what the actor was known: none, api_key, jwt, certificate, session' }),
    credential: nullable.meta({ description: 'The id of the credentials, where they have one' }),
    action: text.meta({ description: 'The id of the operation', example: 'deleteWorkflow' }),
    permission: nullable,
    resource_type: nullable.meta({ example: 'workflow' }),
    resource_id: nullable.meta({ example: FLOW }),
    address: nullable.meta({ description: 'From where', example: '192.0.2.7' }),
    user_agent: nullable,
    decision: z.enum(AUDIT_DECISIONS).meta({
      description:
        'allowed; denied: by who asks (401, 403); refused: by what was asked (other 4xx); failed: it could not be done',
    }),
    reason: nullable.meta({ description: 'The code of the error' }),
    status: count.nullable(),
    request_id: nullable,
    trace_id: nullable,
    details: json.meta({
      description:
        'Other ids of the path, the query, the names of the fields of the body; `more`: how many of the same within `within_seconds` are not written one by one',
    }),
    hash: text.meta({
      description: 'SHA-256 of the hash before it and this entry without its hash, as JSON with its keys sorted',
    }),
  })
  .meta({ id: 'AuditEntry' });

export const auditList = z
  .object({ items: z.array(auditEntry), next_cursor: text.nullable() })
  .meta({ id: 'AuditList' });
