/** The attempts of tasks that have ended, as the views of a run show them. */
import type { AttemptView } from '../../engine/ports/run-views.ts';
import type { Json } from '../../schemas/json.ts';
import type { Prisma, PrismaClient } from '../generated/client.ts';

/** In the order in which they were made, task by task. */
export async function readAttempts(
  prisma: PrismaClient,
  where: { runId: string } & Prisma.AttemptWhereInput,
): Promise<Map<string, AttemptView[]>> {
  const rows = await prisma.attempt.findMany({
    where,
    omit: { runId: true },
    orderBy: [{ actionId: 'asc' }, { epoch: 'asc' }, { attempt: 'asc' }],
  });
  const byTask = new Map<string, AttemptView[]>();
  for (const { actionId, error, ...row } of rows) {
    const ofTask = byTask.get(actionId) ?? [];
    byTask.set(actionId, ofTask);
    ofTask.push({ ...row, error: error as Json });
  }
  return byTask;
}
