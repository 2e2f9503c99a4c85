/** `recalc_quality` and `notify_consolidation`: what the document store has flagged, and the notifications of candidates. */

import type { SystemWorkflow } from '../../domain/definition/system-workflow.ts';
import { SOON } from './system-retries.ts';

/** A list, or an object with one in `items` or `data.items`; anything else fails, because it is no answer. */
const itemsOf = (answer: string) =>
  `(type(${answer}) == list ? ${answer} : has(${answer}.items) ? ${answer}.items : ${answer}.data.items)`;

const NO_STORE = 'no document store is configured: register doc_store or set DOC_STORE_URL';

export const recalcQuality: SystemWorkflow = {
  name: 'recalc_quality',
  definition: {
    description: 'Asks the document store for the quality of its documents and counts those that are flagged.',
    actions: [
      { action_id: 'store', action_type: 'find_service', config: { names: ['doc_store'] } },
      {
        action_id: 'quality',
        action_type: 'service_call',
        when: 'store.service != null',
        config: { service: 'doc_store', endpoint: '/documents/quality', method: 'GET' },
        retry: SOON,
      },
      {
        action_id: 'result',
        action_type: 'transform',
        depends_on: ['store', 'quality'],
        config: {
          expression: `store.service == null ? {"status": "skipped", "flagged": 0, "reason": "${NO_STORE}"} : {"status": "success", "flagged": size(${itemsOf('quality.response')}.filter(item, has(item.flags) && size(item.flags) > 0))}`,
        },
      },
    ],
    output: '{{result}}',
  },
};

/** `doc-7 conf=0.91 owners=[ann,bob] flags=duplicate`: as the older platform wrote it. */
const LINE =
  'string(item.id) + " conf=" + "%.2f".format([double(item.confidence)]) + " owners=[" + (has(item.owners) && item.owners != null ? item.owners.join(",") : "") + "] flags=" + (has(item.flags) && item.flags != null ? item.flags.join(",") : "")';
const TITLE = 'Confluence consolidation candidates';
const HAS_CANDIDATES = 'size(chosen) > 0';
const TO_WEBHOOK = `${HAS_CANDIDATES} && has(params.webhook_url)`;

export const notifyConsolidation: SystemWorkflow = {
  name: 'notify_consolidation',
  definition: {
    description: 'Tells people which pages the report service holds to be worth putting together.',
    parameters: [
      { name: 'min_confidence', type: 'number', default: 0 },
      { name: 'webhook_url', type: 'string', required: false },
      { name: 'limit', type: 'integer', default: 20 },
    ],
    actions: [
      {
        action_id: 'report',
        action_type: 'service_call',
        config: {
          service: 'reporting',
          endpoint: '/reports/confluence/consolidation',
          method: 'GET',
          parameters: { min_confidence: '{{min_confidence}}' },
        },
        retry: SOON,
      },
      {
        action_id: 'chosen',
        action_type: 'transform',
        config: {
          expression: `${itemsOf('report.response')}.filter(item, double(item.confidence) >= double(params.min_confidence)).slice(0, params.limit).map(item, ${LINE})`,
        },
      },
      {
        action_id: 'message',
        action_type: 'transform',
        when: HAS_CANDIDATES,
        config: { expression: 'chosen.join("\\n")' },
      },
      {
        action_id: 'service',
        action_type: 'find_service',
        when: TO_WEBHOOK,
        config: { names: ['notification', 'notification_service'] },
      },
      {
        action_id: 'notify',
        action_type: 'service_call',
        depends_on: ['message', 'service'],
        when: 'service != null && service.service != null',
        config: {
          service: '{{service.service}}',
          endpoint: '/notify',
          method: 'POST',
          parameters: {
            channel: 'webhook',
            target: '{{webhook_url}}',
            title: TITLE,
            message: '{{message}}',
            metadata: { count: '{{told}}' },
          },
        },
        retry: SOON,
      },
      { action_id: 'told', action_type: 'transform', config: { expression: 'size(chosen)' } },
      {
        action_id: 'webhook',
        action_type: 'notification',
        depends_on: ['message', 'service'],
        when: 'service != null && service.service == null',
        config: {
          channels: ['webhook'],
          webhook_url: '{{webhook_url}}',
          title: TITLE,
          message: '{{message}}',
          metadata: { count: '{{told}}' },
        },
        retry: SOON,
      },
      {
        action_id: 'log',
        action_type: 'notification',
        when: `${HAS_CANDIDATES} && !has(params.webhook_url)`,
        config: { channels: ['log'], title: TITLE, message: '{{message}}', metadata: { count: '{{told}}' } },
      },
    ],
    output: { status: 'ok', sent: '{{told}}' },
  },
};
