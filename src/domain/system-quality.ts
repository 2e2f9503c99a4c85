/** `recalc_quality`: how many documents the document store has flagged. */
import { SOON } from './system-retries.ts';
import type { SystemWorkflow } from './system-workflow.ts';

/** A list, or an object with one in `items` or `data.items`; anything else fails, because it is no answer. */
const ITEMS =
  '(type(quality.response) == list ? quality.response : has(quality.response.items) ? quality.response.items : quality.response.data.items)';

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
          expression: `store.service == null ? {"status": "skipped", "flagged": 0, "reason": "no document store is configured: register doc_store or set DOC_STORE_URL"} : {"status": "success", "flagged": size(${ITEMS}.filter(item, has(item.flags) && size(item.flags) > 0))}`,
        },
      },
    ],
    output: '{{result}}',
  },
};
