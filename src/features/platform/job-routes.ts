/** Jobs of the older workflow platform: run now, or by a schedule of `system:<name>`. */

import { isoText } from '../../domain/texts/iso-text.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { JsonObject } from '../../schemas/json.ts';
import { emptyBody } from '../../schemas/requests.ts';
import * as schemas from './job-schemas.ts';
import { defined, EXECUTION_HEADERS, IDEMPOTENCY_HEADER, RUN_PROBLEMS, runForAnswer, waitQuery } from './system-run.ts';

const common = { tag: 'Platform', method: 'post', query: waitQuery, headers: IDEMPOTENCY_HEADER } as const;

export const recalcQuality = operation({
  ...common,
  id: 'recalcQuality',
  permission: 'executions:run',
  path: '/jobs/recalc-quality',
  summary: 'Count the flagged documents of the document store',
  description: 'The request is handled by an execution of `system:recalc_quality`, which a schedule can start too.',
  body: emptyBody,
  bodyOptional: true,
  answers: { 200: { description: 'Counted', schema: schemas.recalcQualityAnswer, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export const notifyConsolidation = operation({
  ...common,
  id: 'notifyConsolidation',
  permission: 'executions:run',
  path: '/jobs/notify-consolidation',
  summary: 'Notify of pages that should be consolidated',
  description:
    'The report service determines the pages. The request is handled by an execution of `system:notify_consolidation`, which a schedule can start too. A webhook is called by the service `notification`, or directly if there is none.',
  body: schemas.notifyConsolidationRequest,
  bodyOptional: true,
  answers: {
    200: {
      description: 'The notification was sent',
      schema: schemas.notifyConsolidationAnswer,
      headers: EXECUTION_HEADERS,
    },
  },
  problems: RUN_PROBLEMS,
});

interface Needs {
  clock: { now(): Date };
  system: SystemRuns;
  links: Links;
}

export const jobRoutes = endpoints([recalcQuality, notifyConsolidation], serve);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  routes.serve(recalcQuality, async (call) => {
    const run = await runForAnswer(call, { deps, links }, 'recalc_quality', {});
    if (run === undefined) return;
    const { status, flagged, reason } = schemas.recalcQualityOutput.parse(run.output);
    const timestamp = isoText(run.finishedAt ?? deps.clock.now());
    sendJson(call.response, 200, { status, flagged, timestamp, ...(reason === undefined ? {} : { reason }) });
  });

  routes.serve(notifyConsolidation, async (call) => {
    const parameters: JsonObject = defined(call.body);
    const run = await runForAnswer(call, { deps, links }, 'notify_consolidation', parameters);
    if (run !== undefined) sendJson(call.response, 200, schemas.notifyConsolidationAnswer.parse(run.output));
  });
}
