/** Endpoints for other services, each by an execution: document store, report service, secure analyzer. */

import { createHash } from 'node:crypto';
import { OrchestratorError } from '../../domain/errors.ts';
import { isoText } from '../../domain/texts/iso-text.ts';
import type { SystemRuns } from '../../engine/ports/system-workflows.ts';
import type { Links } from '../../http/server/links.ts';
import { endpoints, notFound, operation, type Routes, sendJson } from '../../http/server/operation.ts';
import type { JsonObject } from '../../schemas/json.ts';
import type { DocumentStore } from './ports.ts';
import * as schemas from './proxy-schemas.ts';
import { defined, EXECUTION_HEADERS, IDEMPOTENCY_HEADER, RUN_PROBLEMS, runForAnswer, waitQuery } from './system-run.ts';

const MAX_CONTENT_BYTES = 1_048_576;
const common = { tag: 'Platform', method: 'post', query: waitQuery, headers: IDEMPOTENCY_HEADER } as const;

export const saveDocument = operation({
  ...common,
  id: 'saveDocument',
  permission: 'executions:run',
  path: '/docstore/save',
  summary: 'Save a document',
  description:
    'The document is saved in the document store, or in this service if there is none. The request is handled by an execution of `system:docstore_save`.',
  body: schemas.saveDocumentRequest,
  answers: { 200: { description: 'Saved', schema: schemas.savedDocument, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export const getDocument = operation({
  id: 'getDocument',
  permission: 'executions:read',
  tag: 'Platform',
  method: 'get',
  path: '/docstore/documents/{document_id}',
  summary: 'Get a document that is stored in this service',
  description: 'Documents are stored in this service if there is no document store.',
  notFound: 'Document not found',
  answers: { 200: { description: 'The document', schema: schemas.storedDocument } },
});

export const requestReport = operation({
  ...common,
  id: 'requestReport',
  permission: 'executions:run',
  path: '/report/request',
  summary: 'Request a report from the report service',
  description:
    'The request is handled by an execution of `system:request_report`. The response is that of the service `reporting`.',
  body: schemas.reportRequest,
  answers: { 200: { description: 'The report', schema: schemas.reportAnswer, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export const suggestSummary = operation({
  ...common,
  id: 'suggestSummary',
  permission: 'executions:run',
  path: '/summarization/suggest',
  summary: 'Summarize a text',
  description:
    'Only models that the policy permits may read the text. The request is handled by an execution of `system:suggest_summary`, which calls the service `secure_analyzer` for both the policy decision and the summary.',
  body: schemas.suggestRequest,
  answers: { 200: { description: 'The summary', schema: schemas.suggestAnswer, headers: EXECUTION_HEADERS } },
  problems: RUN_PROBLEMS,
});

export const demoE2e = operation({
  ...common,
  id: 'demoE2e',
  permission: 'executions:run',
  path: '/demo/e2e',
  summary: 'Get a report summary and a log analysis',
  description:
    'The request is handled by an execution of `system:demo_e2e`. It uses the service `reporting`, or, if there is none, the newest executions of the tenant and their events.',
  body: schemas.demoRequest,
  bodyOptional: true,
  answers: {
    200: { description: 'The summary and the analysis', schema: schemas.demoAnswer, headers: EXECUTION_HEADERS },
  },
  problems: RUN_PROBLEMS,
});

interface Needs {
  clock: { now(): Date };
  documents: Pick<DocumentStore, 'find'>;
  system: SystemRuns;
  links: Links;
}

export const proxyRoutes = endpoints([saveDocument, getDocument, requestReport, suggestSummary, demoE2e], serve);

function serve(routes: Routes, deps: Needs): void {
  const { links } = deps;
  const access = { deps, links };

  routes.serve(saveDocument, async (call) => {
    const { content, content_hash: claimed, ...rest } = call.body;
    if (Buffer.byteLength(content) > MAX_CONTENT_BYTES) {
      throw new OrchestratorError('payload_too_large', `content is larger than ${MAX_CONTENT_BYTES} bytes`);
    }
    const hash = createHash('sha256').update(content).digest('hex');
    if (claimed != null && claimed.toLowerCase().replace('sha256:', '') !== hash) {
      const message = `is not the SHA-256 of the content, which is ${hash}`;
      throw new OrchestratorError('invalid_request', `content_hash ${message}`, {
        errors: [{ path: 'content_hash', message }],
      });
    }
    const run = await runForAnswer(call, access, 'docstore_save', { ...defined(rest), content, content_hash: hash });
    if (run === undefined) return;
    const saved = schemas.savedOutput.parse(run.output);
    const created_at = saved.created_at ?? isoText(run.finishedAt ?? deps.clock.now());
    sendJson(call.response, 200, { ...saved, created_at });
  });

  routes.serve(getDocument, async ({ params, caller, response }) => {
    const found = await deps.documents.find(caller.tenantId, params['document_id'] ?? '');
    if (found === undefined) throw notFound('Document not found');
    sendJson(response, 200, {
      id: found.id,
      content: found.content,
      content_hash: found.contentHash,
      metadata: found.metadata,
      created_at: found.createdAt.toISOString(),
      updated_at: found.updatedAt.toISOString(),
    });
  });

  routes.serve(requestReport, async (call) => {
    const { kind, format, payload } = call.body;
    const body: JsonObject = { ...payload, ...(format == null ? {} : { format }) };
    const run = await runForAnswer(call, access, 'request_report', { path: schemas.REPORT_PATHS[kind], body });
    if (run !== undefined) sendJson(call.response, 200, run.output);
  });

  routes.serve(suggestSummary, async (call) => {
    const run = await runForAnswer(call, access, 'suggest_summary', defined(call.body));
    if (run !== undefined) sendJson(call.response, 200, schemas.suggestAnswer.parse(run.output));
  });

  routes.serve(demoE2e, async (call) => {
    const { format, log_service: service, log_level: level, log_limit: limit } = call.body;
    const log: JsonObject = { limit: limit ?? 100, ...defined({ service, level }) };
    const log_request: JsonObject = { format: format ?? 'json', ...log };
    const run = await runForAnswer(call, access, 'demo_e2e', { format: format ?? 'json', log, log_request });
    if (run !== undefined) sendJson(call.response, 200, schemas.demoAnswer.parse(run.output));
  });
}
