/** `docstore_save` and `ingest_source`: saved in the document store or, without one, by the service itself. */

import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import { systemAlias } from '../../domain/definition/system-workflow.ts';
import { SOON } from './system-retries.ts';

/** Older services wrap what they answer. */
const SAVED = '(has(remote.response.data) ? remote.response.data : remote.response)';
const HAS_STORE = 'store.service != null';
const HAS_NONE = 'store.service == null';

export const docstoreSave: SystemWorkflow = {
  name: 'docstore_save',
  definition: {
    description: 'Saves a document in the document store, or with the service itself when there is none.',
    parameters: [
      { name: 'id', type: 'string', required: false, min_length: 1, max_length: 255 },
      { name: 'content', type: 'string' },
      { name: 'content_hash', type: 'string', required: false },
      { name: 'metadata', type: 'object', required: false },
    ],
    actions: [
      { action_id: 'store', action_type: 'find_service', config: { names: ['doc_store'] } },
      {
        action_id: 'remote',
        action_type: 'service_call',
        when: HAS_STORE,
        config: { service: 'doc_store', endpoint: '/documents', method: 'POST', parameters: '{{params}}' },
        retry: SOON,
      },
      {
        action_id: 'own',
        action_type: 'store_document',
        when: HAS_NONE,
        config: { id: '{{id}}', content: '{{content}}', metadata: '{{metadata}}' },
        retry: SOON,
      },
      {
        action_id: 'result',
        action_type: 'transform',
        depends_on: ['store', 'remote', 'own'],
        config: {
          expression: `${HAS_NONE} ? own : {"id": string(${SAVED}.id), "content_hash": has(${SAVED}.content_hash) ? ${SAVED}.content_hash : params.content_hash, "created_at": has(${SAVED}.created_at) ? ${SAVED}.created_at : null}`,
        },
      },
    ],
    output: '{{result}}',
  },
};

/** Where an agent's answer has its documents; one that has none of its own is a document. */
const FOUND =
  '(type(fetch.response) == map && has(fetch.response.documents) ? fetch.response.documents : type(fetch.response) == map && has(fetch.response.items) ? fetch.response.items : [])';
const IS_LIST = 'type(fetch.response) == map && (has(fetch.response.documents) || has(fetch.response.items))';
const META = '"metadata": {"source": params.source, "agent": agent.service}';

export const ingestSource: SystemWorkflow = {
  name: 'ingest_source',
  definition: {
    description: 'Has the agent of a source fetch its documents, and saves them.',
    parameters: [
      { name: 'source', type: 'string' },
      { name: 'scope', type: 'object', default: {} },
    ],
    actions: [
      {
        action_id: 'agent',
        action_type: 'find_service',
        config: { names: ['{{source}}_agent', 'source_agent'], required: true },
        retry: SOON,
      },
      {
        action_id: 'fetch',
        action_type: 'service_call',
        config: {
          service: '{{agent.service}}',
          endpoint: '/ingest',
          method: 'POST',
          parameters: { source: '{{source}}', scope: '{{scope}}', correlation_id: '{{run.correlation_id}}' },
        },
        retry: SOON,
      },
      {
        action_id: 'documents',
        action_type: 'transform',
        config: {
          // Inside a longer text an answer is JSON text.
          input: { whole: '{{fetch.response}}\n' },
          expression: `${IS_LIST} ? ${FOUND}.map(item, {"id": params.source + ":" + string(item.id), "content": string(item.content), ${META}}) : [{"id": params.source, "content": input.whole, ${META}}]`,
        },
      },
      { action_id: 'store', action_type: 'find_service', config: { names: ['doc_store'] } },
      {
        action_id: 'remote',
        action_type: 'service_call',
        depends_on: ['documents', 'store'],
        when: HAS_STORE,
        for_each: { items: '{{documents}}', max_parallel: 5 },
        config: { service: 'doc_store', endpoint: '/documents', method: 'POST', parameters: '{{item}}' },
        retry: SOON,
      },
      {
        action_id: 'own',
        action_type: 'store_document',
        depends_on: ['documents', 'store'],
        when: HAS_NONE,
        for_each: { items: '{{documents}}', max_parallel: 5 },
        config: '{{item}}',
        retry: SOON,
      },
      {
        action_id: 'result',
        action_type: 'transform',
        depends_on: ['store', 'remote', 'own'],
        config: {
          outputs: {
            source: 'params.source',
            agent: 'agent.service',
            stored_in: `${HAS_NONE} ? "orchestrator" : store.service`,
            documents: 'documents.map(item, item.id)',
          },
        },
      },
    ],
    output: '{{result}}',
  },
};

const COMPLETED = 'sources.filter(item, item != null)';

export const ingestSources: SystemWorkflow = {
  name: 'ingest_sources',
  uses: ['ingest_source'],
  definition: {
    description: 'Ingests several sources side by side; one that fails does not lose the others.',
    parameters: [
      { name: 'sources', type: 'array', min_length: 1 },
      { name: 'scope', type: 'object', default: {} },
    ],
    actions: [
      {
        action_id: 'sources',
        action_type: 'workflow',
        for_each: { items: '{{params.sources}}', on_item_failure: 'continue' },
        config: {
          workflow_id: systemAlias('ingest_source'),
          parameters: { source: '{{item}}', scope: '{{scope}}' },
        },
        // Each has tried again by itself.
        retry: { max_attempts: 1 },
      },
      {
        action_id: 'result',
        action_type: 'transform',
        config: {
          outputs: {
            completed: `${COMPLETED}.map(item, item.output)`,
            failed: `params.sources.filter(name, !(name in ${COMPLETED}.map(item, item.output.source)))`,
          },
        },
      },
      {
        action_id: 'none',
        action_type: 'test_task',
        when: 'size(result.completed) == 0',
        config: { fail_with: 'no source could be ingested' },
        retry: { max_attempts: 1 },
      },
    ],
    output: '{{result}}',
  },
};
