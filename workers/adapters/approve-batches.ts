/** `approve_batches`: has batches approved or rejected by the system at `ESC_URL`; without it, a simulation that says so. */
import { z } from 'zod';
import { type AdapterContext, type AdapterResponse, defineAdapter, expectOk, readBody } from '../adapter.ts';

type Decision = 'approved' | 'rejected' | 'pending';

const batchId = z.union([
  z.int(),
  z
    .string()
    .min(1)
    .max(255)
    .regex(/^(?!\.{1,2}$)/, 'must not be a path'),
]);

export const approveBatches = defineAdapter({
  type: 'approve_batches',
  description: 'Has batches approved or rejected by the system at ESC_URL. Without ESC_URL it simulates that system.',
  config: z.strictObject({
    batch_ids: z
      .array(batchId)
      .max(10_000)
      .meta({ description: 'The batches', examples: [[1, 2, 3]] }),
    auto_approve: z.boolean().default(true).meta({
      description: 'false: nothing is decided, the batches that the system has decided already are counted',
    }),
  }),
  output: z.object({
    processed_batches: z.int(),
    approved: z.int(),
    rejected: z.int(),
    simulated: z.literal(true).optional().meta({ description: 'Present when ESC_URL is not set' }),
  }),
  async run({ batch_ids: ids, auto_approve: autoApprove }, context) {
    const url = context.setting('ESC_URL');
    const decisions: Decision[] = [];
    for (const id of ids) {
      decisions.push(url === undefined ? simulate(id, autoApprove) : await decide(url, id, autoApprove, context));
    }
    return {
      processed_batches: decisions.length,
      approved: decisions.filter((decision) => decision === 'approved').length,
      rejected: decisions.filter((decision) => decision === 'rejected').length,
      ...(url === undefined ? { simulated: true as const } : {}),
    };
  },
});

/** A batch whose trailing number is divisible by 3 has faults. */
function simulate(id: number | string, autoApprove: boolean): Decision {
  const digits = /\d+$/.exec(String(id))?.[0];
  if (digits !== undefined && BigInt(digits) % 3n === 0n) return 'rejected';
  return autoApprove ? 'approved' : 'pending';
}

async function decide(
  base: string,
  id: number | string,
  autoApprove: boolean,
  context: AdapterContext,
): Promise<Decision> {
  const batch = `${base.replace(/\/+$/, '')}/batches/${encodeURIComponent(String(id))}`;
  const what = `batch ${id}: the ESC system`;
  const found = await readBody(await expectOk(await context.fetch(batch, { trusted: true }), what), 'json', what);
  const { status, valid, approvable } = z
    .looseObject({ status: z.unknown(), valid: z.unknown(), approvable: z.unknown() })
    .partial()
    .catch({})
    .parse(found);
  // Decided before, perhaps by an earlier attempt of this task.
  if (status === 'approved' || status === 'rejected') return status;
  if (!autoApprove) return 'pending';
  if (valid !== false && approvable !== false) {
    const answer = await post(`${batch}/approve`, id, context);
    if (answer.status !== 409 && answer.status !== 422) {
      await expectOk(answer, what);
      return 'approved';
    }
  }
  await expectOk(await post(`${batch}/reject`, id, context), what);
  return 'rejected';
}

function post(url: string, id: number | string, { fetch, idempotencyKey }: AdapterContext): Promise<AdapterResponse> {
  // One key for each batch and each decision: with the task's own key the second batch would look like a repetition.
  const key = `${idempotencyKey}.${encodeURIComponent(String(id))}.${url.slice(url.lastIndexOf('/') + 1)}`;
  return fetch(url, { method: 'POST', headers: { 'Idempotency-Key': key }, trusted: true });
}
