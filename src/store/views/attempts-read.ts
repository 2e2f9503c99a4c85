/** The attempts of tasks that have ended, as the views of a run show them. */
import type { Json } from '../../schemas/json.ts';
import type { Prisma, PrismaClient } from '../generated/client.ts';
import type { AttemptRecord } from './run-views.ts';

/** In the order in which they were made, task by task. */
export async function readAttempts(
  prisma: PrismaClient,
  where: { runId: string } & Prisma.AttemptWhereInput,
): Promise<AttemptRecord[]> {
  const rows = await prisma.attempt.findMany({
    where,
    omit: { runId: true },
    orderBy: [{ actionId: 'asc' }, { epoch: 'asc' }, { attempt: 'asc' }],
  });
  return rows.map(({ actionId, startedAt, finishedAt, error, ...row }) => ({
    ...row,
    action_id: actionId,
    error: error as Json,
    started_at: startedAt,
    finished_at: finishedAt,
  }));
}
