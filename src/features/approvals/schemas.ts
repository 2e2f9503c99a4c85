/** Requests and responses of the API about approvals. */
import { z } from 'zod';
import { pageExample, paging, RUN, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const MAX_COMMENT = 10_000;
const DAY_SECONDS = 86_400;
const DEFAULT_LINK_SECONDS = 7 * DAY_SECONDS;
const MAX_LINK_SECONDS = 90 * DAY_SECONDS;

const actionId = z
  .string()
  .min(1)
  .max(400)
  .regex(/^[^[~]{1,255}(?:$|[[~])/, 'must name an action by at most 255 characters')
  .meta({
    description: 'The action, one of its items (`each[3]`), or its compensation (`book~undo`)',
    example: 'review',
  });
const comment = z.string().max(MAX_COMMENT).optional().meta({ example: 'as discussed' });

export const decisionRequest = z
  .strictObject({ action_id: actionId, comment })
  .meta({ id: 'DecisionRequest', example: { action_id: 'review', comment: 'as discussed' } });

export const decisionAnswer = z
  .object({
    execution_id: text,
    action_id: text,
    decision: z.enum(['approved', 'rejected']),
    by: text,
    comment: text.nullable(),
    at: time,
  })
  .meta({
    id: 'Decision',
    example: { execution_id: RUN, action_id: 'review', decision: 'approved', by: 'anna', comment: null, at: WHEN },
  });

export const linkRequest = z
  .strictObject({
    for: z.string().min(1).max(255).meta({ description: 'The approver who decides with the link', example: 'anna' }),
    expires_in_seconds: z.int().min(1).max(MAX_LINK_SECONDS).default(DEFAULT_LINK_SECONDS).meta({
      description: 'Lifetime of the links, limited by the deadline of the approval',
      example: DEFAULT_LINK_SECONDS,
    }),
  })
  .meta({ id: 'ApprovalLinkRequest', example: { for: 'anna' } });

export const linkAnswer = z.object({ approve: text, reject: text, for: text, expires_at: time }).meta({
  id: 'ApprovalLinks',
  example: { approve: '/approvals/W10.c2ln', reject: '/approvals/W11.c2ln', for: 'anna', expires_at: WHEN },
});

export const linkSentAnswer = z.object({ for: text, sent_by: z.enum(['email', 'webhook']), expires_at: time }).meta({
  id: 'SentApprovalLinks',
  example: { for: 'anna@example.com', sent_by: 'email', expires_at: WHEN },
});

export const linkView = z
  .object({
    execution_id: text,
    action_id: text,
    decision: z.enum(['approved', 'rejected']).meta({ description: 'The decision that POST to the same URL makes' }),
    for: text,
    message: text.nullable(),
    expires_at: time,
  })
  .meta({
    id: 'ApprovalLink',
    example: {
      ...{ execution_id: RUN, action_id: 'review', decision: 'approved', for: 'anna', message: 'Pay 42?' },
      expires_at: WHEN,
    },
  });

export const linkDecisionRequest = z
  .strictObject({ comment })
  .meta({ id: 'LinkDecisionRequest', example: { comment: 'as discussed' } });

const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
export const approvalQuery = z.object({
  status: z.enum(['pending', 'decided']).default('pending').meta({ example: 'pending' }),
  approver: z.string().min(1).max(255).optional().meta({
    description: 'Approvals that this user may decide; `me`: the caller',
    example: 'me',
  }),
  page: integer(1, 1_000_000).default(1).meta({ example: 1 }),
  page_size: integer(1, 200).default(50).meta({ example: 50 }),
});

const approval = z
  .object({
    execution_id: text,
    action_id: text,
    message: text.nullable(),
    approvers: z.array(text).meta({ description: 'Null: everybody in the tenant' }),
    four_eyes: z.boolean().meta({ description: 'The user who started the execution may not decide' }),
    requested_at: time,
    deadline: time.nullable(),
    escalated_at: time.nullable(),
    status: z.enum(['pending', 'approved', 'rejected', 'timed_out']),
    by: text.nullable(),
    comment: text.nullable(),
    decided_at: time.nullable(),
  })
  .meta({
    id: 'Approval',
    example: {
      ...{ execution_id: RUN, action_id: 'review', message: 'Pay 42?', approvers: ['anna'], four_eyes: true },
      ...{ requested_at: WHEN },
      ...{ deadline: null, escalated_at: null, status: 'pending', by: null, comment: null, decided_at: null },
    },
  });

export const approvalList = z
  .object({
    items: z.array(approval),
    ...paging,
  })
  .meta({ id: 'ApprovalList', example: pageExample(approval) });

export type ApprovalView = z.infer<typeof approval>;
