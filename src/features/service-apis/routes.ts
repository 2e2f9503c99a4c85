/** The OpenAPI documents of services: their drift, and fetching them again. */

import { z } from 'zod';
import type { RunReader } from '../../engine/ports/read-models.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { Json, JsonObject } from '../../schemas/json.ts';
import { POLL_ACTION } from '../platform/system-poll-openapi.ts';
import {
  EXECUTION_HEADERS,
  IDEMPOTENCY_HEADER,
  RUN_PROBLEMS,
  runForAnswer,
  waitQuery,
} from '../platform/system-run.ts';
import type { ServiceApiReader } from './poll-apis.ts';
import type { StoredDrift } from './ports.ts';
import * as schemas from './schemas.ts';

const tag = 'Registry';
const notFound = 'Service not found';
/** A run polls no more. */
const MAX_ITEMS = 2_000;

export const pollOpenApi = operation({
  id: 'pollOpenApi',
  permission: 'registry:write',
  tag,
  method: 'post',
  path: '/registry/poll-openapi',
  summary: 'Fetch the OpenAPI documents of services',
  description:
    'The response shows what has changed. The request is handled by an execution of `system:poll_openapi`, which a schedule can start too: `{"workflow_id": "system:poll_openapi", "interval_seconds": 3600}`. The document of a service is at its `openapi_url`, or else at `/openapi.json` below its address.',
  body: schemas.pollRequest,
  bodyOptional: true,
  query: waitQuery,
  headers: IDEMPOTENCY_HEADER,
  answers: {
    200: { description: 'One result for each service', schema: schemas.pollResults, headers: EXECUTION_HEADERS },
  },
  problems: RUN_PROBLEMS,
});

export const getServiceDocument = operation({
  id: 'getServiceDocument',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/registry/{name}/openapi',
  summary: 'Get the OpenAPI document of a service',
  description: 'Returns the document as it was last polled.',
  notFound,
  answers: { 200: { description: 'The document', schema: schemas.serviceDocument } },
});

export const listServiceOperations = operation({
  id: 'listServiceOperations',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/registry/{name}/operations',
  summary: 'List the operations of a service',
  description: '`service_call` can call these operations by `operation_id`.',
  notFound,
  answers: { 200: { description: 'All operations', schema: schemas.serviceOperations } },
});

export const listServiceDrift = operation({
  id: 'listServiceDrift',
  permission: 'registry:read',
  tag,
  method: 'get',
  path: '/registry/{name}/drift',
  summary: 'List changes to the OpenAPI document of a service',
  description: 'The newest changes come first.',
  query: schemas.driftQuery,
  notFound,
  answers: { 200: { description: 'The newest of the last hundred changes', schema: schemas.serviceDrift } },
});

interface Needs {
  runs: RunReader;
  serviceApis: ServiceApiReader;
  system: SystemRuns;
  links: Links;
}

export const serviceApiRoutes = endpoints(
  [pollOpenApi, getServiceDocument, listServiceOperations, listServiceDrift],
  serve,
);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const { serviceApis } = deps;
  routes.serve(pollOpenApi, async (call) => {
    const run = await runForAnswer(call, { deps, links }, 'poll_openapi', asParameters(call.body));
    if (run === undefined) return;
    const query = { of: POLL_ACTION, status: undefined, limit: MAX_ITEMS, after: undefined };
    const items = await deps.runs.parts(call.caller.tenantId, run.id, query);
    const results = (items?.items ?? []).map(({ item, output, error }) => toResult(item, output, error));
    sendJson(call.response, 200, { results });
  });

  routes.serve(getServiceDocument, async ({ params, caller, response }) => {
    const { fetchedAt, changedAt, document, ...rest } = await serviceApis.document(caller, params['name'] ?? '');
    const [fetched_at, changed_at] = [fetchedAt.toISOString(), changedAt.toISOString()];
    sendJson(response, 200, { ...rest, fetched_at, changed_at, document });
  });

  routes.serve(listServiceOperations, async ({ params, caller, response }) => {
    const { service, operations } = await serviceApis.operations(caller, params['name'] ?? '');
    const items = [...operations].map(([operation_id, { name: _name, ...rest }]) => ({ ...rest, operation_id }));
    sendJson(response, 200, { service, items, count: items.length });
  });

  routes.serve(listServiceDrift, async ({ params, query, caller, response }) => {
    const { service, drifts } = await serviceApis.drifts(caller, params['name'] ?? '', query.limit);
    sendJson(response, 200, { service, items: drifts.map(present), count: drifts.length });
  });
}

function asParameters({ services, timeout_seconds }: schemas.PollRequest): JsonObject {
  return {
    ...(services === undefined ? {} : { services }),
    ...(timeout_seconds === undefined ? {} : { timeout_seconds }),
  };
}

const failure = z.object({ message: z.string() });

/** As the adapter has returned it. */
function toResult(item: Json, output: Json, error: Json): object {
  const failed = failure.safeParse(error);
  if (failed.success) return { service: item, error: failed.data.message };
  return typeof output === 'object' && output !== null ? output : { service: item, error: 'it was not polled' };
}

function present({ at, fromHash, hash, changed, ...rest }: StoredDrift): object {
  return { at: at.toISOString(), from_hash: fromHash, hash, ...rest, changed_operations: changed };
}
