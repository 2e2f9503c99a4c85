/** Jobs of the older workflow platform: run now, or by a schedule of `system:<name>`. */
import { z } from 'zod';
import * as schemas from '../schemas/platform-jobs.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { EXECUTION_HEADERS, IDEMPOTENCY_HEADER, RUN_PROBLEMS, runForAnswer, waitQuery } from './system-run.ts';

export const recalcQuality = operation({
  id: 'recalcQuality',
  tag: 'Platform',
  method: 'post',
  path: '/jobs/recalc-quality',
  summary: 'Counts the flagged documents of the document store',
  description: 'By an execution of `system:recalc_quality`, which a schedule can begin too.',
  body: z.strictObject({}),
  bodyOptional: true,
  query: waitQuery,
  headers: IDEMPOTENCY_HEADER,
  answers: { 200: { description: 'Counted', schema: schemas.recalcQualityAnswer, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export function jobRoutes(routes: Routes, deps: HttpDeps, links: Links): void {
  routes.serve(recalcQuality, async (call) => {
    const run = await runForAnswer(call, { deps, links }, 'recalc_quality', {});
    if (run === undefined) return;
    const { status, flagged, reason } = schemas.recalcQualityOutput.parse(run.output);
    const timestamp = run.finished_at ?? deps.clock.now().toISOString();
    sendJson(call.response, 200, { status, flagged, timestamp, ...(reason === undefined ? {} : { reason }) });
  });
}
