/** Requests and responses of the API about erasing and exporting. */
import { z } from 'zod';
import { count, json, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const yes = z.enum(['true', 'false']).default('false');

export const eraseQuery = z.object({
  subject: z
    .string()
    .min(1)
    .max(255)
    .optional()
    .meta({ description: 'A user id: only data of this user; by default all data of the tenant' }),
  dry_run: yes.meta({ description: 'true: counts what would be deleted, without deleting it' }),
  force: yes.meta({ description: 'true: live executions are cancelled first' }),
});

const rows = z.record(z.string(), count).meta({ description: 'Number of rows by table' });

export const erasePreview = z
  .object({
    dry_run: z.literal(true),
    tenant_id: text,
    subject: text.nullable(),
    rows,
    active_executions: count.meta({ description: 'Live executions; if there are any, `force` is required' }),
  })
  .meta({
    id: 'ErasePreview',
    example: { dry_run: true, tenant_id: 'acme', subject: null, rows: { Run: 12 }, active_executions: 0 },
  });

export const erasure = z
  .object({
    erasure_id: text,
    tenant_id: text,
    subject: text.nullable(),
    force: z.boolean(),
    status: z.enum(['pending', 'running', 'completed']),
    removed: rows.meta({
      description:
        'Rows removed so far, by table; `(changed)`: a name was removed from them; `job`: queue jobs of executions',
    }),
    requested_by: text,
    requested_at: time,
    finished_at: time.nullable(),
    links: z.object({ self: text }),
  })
  .meta({
    id: 'Erasure',
    example: {
      ...{ erasure_id: RUN, tenant_id: 'acme', subject: null, force: false, status: 'completed', removed: { Run: 12 } },
      ...{
        requested_by: 'anna',
        requested_at: WHEN,
        finished_at: WHEN,
        links: { self: `/tenants/acme/erasures/${RUN}` },
      },
    },
  });

export const exportLine = z
  .union([
    z.object({ kind: z.literal('header'), format: z.literal(1), tenant_id: text, at: time }),
    z.object({
      kind: text.meta({ description: 'The name of the table' }),
      data: json.meta({ description: 'The columns of the row' }),
    }),
    z.object({ kind: z.literal('end'), counts: rows }),
  ])
  .meta({ id: 'ExportLine', example: { kind: 'run', data: { id: RUN, created_at: WHEN } } });
