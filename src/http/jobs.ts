/** Jobs of the older workflow platform: run now, or by a schedule of `system:<name>`. */
import { z } from 'zod';
import type { JsonObject } from '../schemas/json.ts';
import * as schemas from '../schemas/platform-jobs.ts';
import type { HttpDeps } from './deps.ts';
import type { Links } from './links.ts';
import { operation, type Routes, sendJson } from './operation.ts';
import { EXECUTION_HEADERS, given, IDEMPOTENCY_HEADER, RUN_PROBLEMS, runForAnswer, waitQuery } from './system-run.ts';

const common = { tag: 'Platform', method: 'post', query: waitQuery, headers: IDEMPOTENCY_HEADER } as const;

export const recalcQuality = operation({
  ...common,
  id: 'recalcQuality',
  permission: 'executions:run',
  path: '/jobs/recalc-quality',
  summary: 'Counts the flagged documents of the document store',
  description: 'By an execution of `system:recalc_quality`, which a schedule can begin too.',
  body: z.strictObject({}),
  bodyOptional: true,
  answers: { 200: { description: 'Counted', schema: schemas.recalcQualityAnswer, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export const notifyConsolidation = operation({
  ...common,
  id: 'notifyConsolidation',
  permission: 'executions:run',
  path: '/jobs/notify-consolidation',
  summary: 'Tells of the pages that the report service holds to be worth putting together',
  description:
    'By an execution of `system:notify_consolidation`, which a schedule can begin too. A webhook is told by the service `notification`, or without one directly.',
  body: schemas.notifyConsolidationRequest,
  bodyOptional: true,
  answers: { 200: { description: 'Told', schema: schemas.notifyConsolidationAnswer, headers: EXECUTION_HEADERS } },
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

  routes.serve(notifyConsolidation, async (call) => {
    const parameters: JsonObject = given(call.body);
    const run = await runForAnswer(call, { deps, links }, 'notify_consolidation', parameters);
    if (run !== undefined) sendJson(call.response, 200, schemas.notifyConsolidationAnswer.parse(run.output));
  });
}
