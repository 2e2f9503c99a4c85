/** `approval`: waits for an approver, without occupying a worker. */
import { z } from 'zod';
import { defineAdapter, NonRetryableError } from '../../../workers/adapter.ts';

export type ApprovalAnswer =
  | { is: 'open'; deadline: Date | undefined }
  | { is: 'approved' | 'rejected' | 'timed_out'; by: string | null; comment: string | null; at: Date };

declare module '../../../workers/adapter.ts' {
  interface EngineCapabilities {
    /** Requests the approval, once in each epoch of the run, and returns how it stands. */
    approval?(question: {
      message: string | undefined;
      approvers: readonly string[];
      /** Who started the run may not decide. */
      fourEyes: boolean;
      timeoutSeconds: number | undefined;
      onTimeout: 'fail' | 'approve' | 'reject' | 'escalate';
      escalateTo: readonly string[];
    }): Promise<ApprovalAnswer>;
  }
}

const MAX_SECONDS = 315_360_000;
const MAX_APPROVERS = 100;

const user = z
  .string()
  .min(1)
  .max(255)
  // There are no roles yet; a user of that name must not be let in by mistake.
  .refine((name) => !name.startsWith('role:'), { error: 'must be a user id: there are no roles yet' });
const users = z.array(user).max(MAX_APPROVERS);

export const approval = defineAdapter({
  type: 'approval',
  description: 'Waits until it is approved or rejected, or its deadline has passed. No worker is held meanwhile.',
  config: z
    .strictObject({
      message: z
        .string()
        .max(10_000)
        .optional()
        .meta({ description: 'What is to be decided, for people', examples: ['Pay {{order.total}}?'] }),
      approvers: users.optional().meta({
        description: 'Ids of the users who may decide; without them everybody of the tenant',
        examples: [['anna', 'ben']],
      }),
      four_eyes: z.boolean().optional().meta({
        description: 'Who began the execution may not decide. Left out: true where `approvers` are named, else false',
      }),
      timeout_seconds: z.number().positive().max(MAX_SECONDS).optional(),
      on_timeout: z.enum(['fail', 'approve', 'reject', 'escalate']).optional().meta({
        description:
          'At the deadline; `fail` without it. `escalate`: `escalate_to` are asked, for as long again, and then it fails',
      }),
      escalate_to: z.union([user.transform((one) => [one]), users.min(1)]).optional(),
      on_reject: z.enum(['fail', 'continue']).optional().meta({
        description: '`fail` without it; `continue`: completes with `approved: false`',
      }),
    })
    .superRefine(({ on_timeout: onTimeout, timeout_seconds: seconds, escalate_to: escalateTo }, context) => {
      const fault = (path: string, message: string) => context.addIssue({ code: 'custom', path: [path], message });
      if (onTimeout !== undefined && seconds === undefined)
        fault('timeout_seconds', 'is required: on_timeout has no effect without a deadline');
      if (onTimeout === 'escalate' && escalateTo === undefined)
        fault('escalate_to', 'is required with on_timeout: escalate');
      if (onTimeout !== 'escalate' && escalateTo !== undefined)
        fault('escalate_to', 'has an effect only with on_timeout: escalate');
    }),
  output: z.object({
    approved: z.boolean(),
    by: z.string().nullable().meta({ description: 'null: nobody, it was the deadline' }),
    comment: z.string().nullable(),
    at: z.iso.datetime(),
    overridden: z.literal(true).optional().meta({
      description: 'Somebody with the permission `approvals:override` completed it in place of the approvers',
    }),
  }),
  idempotent: true,
  usesEngine: true,
  async run(config, { engine, park }) {
    if (engine?.approval === undefined) throw new Error('approvals are the engine’s own, and it is not here');
    const answer = await engine.approval({
      message: config.message,
      approvers: config.approvers ?? [],
      fourEyes: config.four_eyes ?? (config.approvers ?? []).length > 0,
      timeoutSeconds: config.timeout_seconds,
      onTimeout: config.on_timeout ?? 'fail',
      escalateTo: config.escalate_to ?? [],
    });
    if (answer.is === 'open') return park(answer.deadline);
    if (answer.is === 'timed_out') {
      throw new NonRetryableError('nobody decided before the deadline', { code: 'approval_timed_out' });
    }
    if (answer.is === 'rejected' && config.on_reject !== 'continue') {
      throw new NonRetryableError(rejection(answer), { code: 'approval_rejected' });
    }
    return {
      approved: answer.is === 'approved',
      by: answer.by,
      comment: answer.comment,
      at: answer.at.toISOString(),
    };
  },
});

function rejection({ by, comment }: Exclude<ApprovalAnswer, { is: 'open' }>): string {
  return `rejected by ${by ?? 'its deadline'}${comment === null ? '' : `: ${comment}`}`;
}
