/** Requests and responses of the API about the audit. */

import { z } from 'zod';
import { count, exampleOf, FLOW, json, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { AUDIT_DECISIONS } from '../../schemas/audit-decisions.ts';
import { moment } from '../../schemas/requests.ts';

const exact = z.string().min(1).max(255);

export const auditQuery = z.object({
  from: moment.optional().meta({ description: 'Recorded at or after' }),
  to: moment.optional().meta({ description: 'Recorded before' }),
  actor: exact.optional().meta({ description: 'The user id' }),
  action: exact.optional().meta({ description: 'An operationId of this document', example: 'deleteWorkflow' }),
  resource: exact.optional().meta({ description: 'The id of the affected resource' }),
  decision: z.enum(AUDIT_DECISIONS).optional(),
  chain: z
    .enum(['tenant', 'installation'])
    .default('tenant')
    .meta({ description: 'installation: unauthenticated requests; only for the tenant `default`' }),
  limit: z.coerce.number<string>().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(1024).optional().meta({ description: 'next_cursor of the previous page' }),
});

const nullable = text.nullable();

export const auditEntry = z
  .object({
    tenant_id: text,
    seq: z.int().min(1).meta({ description: 'Position in the chain of the tenant, from 1 without gaps' }),
    at: time,
    actor: text.meta({ description: 'The user id; `unknown`: not authenticated', example: 'anna' }),
    means: text.meta({ description: 'Means of authentication: none, api_key, jwt, identity, certificate, session' }),
    credential: nullable.meta({ description: 'The id of the credentials, if they have one' }),
    action: text.meta({ description: 'The operationId', example: 'deleteWorkflow' }),
    permission: nullable,
    resource_type: nullable.meta({ example: 'workflow' }),
    resource_id: nullable.meta({ example: FLOW }),
    address: nullable.meta({ description: 'The client address', example: '192.0.2.7' }),
    user_agent: nullable,
    decision: z.enum(AUDIT_DECISIONS).meta({
      description:
        '`allowed`; `denied`: because of the caller (401, 403); `refused`: because of the request (other 4xx); `failed`: because of an error',
    }),
    reason: nullable.meta({ description: 'The error code' }),
    status: count.nullable(),
    request_id: nullable,
    trace_id: nullable,
    details: json.meta({
      description:
        'Other ids of the path, the query, and the field names of the body; `more`: number of identical requests within `within_seconds` that are not recorded one by one',
    }),
    hash: text.meta({
      description: 'SHA-256 of the previous hash and this entry without its hash, as JSON with sorted keys',
    }),
  })
  .meta({
    id: 'AuditEntry',
    example: {
      ...{
        tenant_id: 'default',
        seq: 1,
        at: WHEN,
        actor: 'anna',
        means: 'jwt',
        credential: null,
        action: 'deleteWorkflow',
      },
      ...{ permission: 'workflows:write', resource_type: 'workflow', resource_id: FLOW, address: '192.0.2.7' },
      ...{ user_agent: null, decision: 'allowed', reason: null, status: 204, request_id: null, trace_id: null },
      ...{ details: null, hash: 'sha256:9f86d081884c7d65' },
    },
  });

export const auditList = z
  .object({ items: z.array(auditEntry), next_cursor: text.nullable() })
  .meta({ id: 'AuditList', example: { items: [exampleOf(auditEntry)], next_cursor: null } });
