/** One tenant has a thousand executions waiting; the first one of another tenant does not wait behind them. */
import { z } from 'zod';
import { type Orchestrator, openOrchestrator } from '../orchestrator.ts';
import { begin, created, type Example, executionWhen } from './example.ts';

const DEFINITION = {
  name: 'work',
  actions: [{ action_id: 'work', action_type: 'test_task', config: { duration: 0.1 } }],
};
const WAITING = 1_000;
const PATIENCE_MS = 60_000;

const accepted = z.object({ items: z.array(z.looseObject({ execution_id: z.string() })) });
const list = z.looseObject({ items: z.array(z.looseObject({ finished_at: z.string() })), total: z.number() });

export const fairness: Example = {
  name: 'fairness',
  async run(api, say) {
    const tenant = (name: string) =>
      openOrchestrator({ url: api.url, apiKey: undefined, tenant: `${name}-${Date.now()}` });
    const [busy, other] = [tenant('busy'), tenant('other')];
    const { workflow_id: id } = await busy.post('/workflows', DEFINITION, created);
    const items = Array.from({ length: WAITING }, () => ({}));
    await busy.post(`/workflows/${id}/executions`, { items }, accepted);
    const own = await executionWhen(other, await begin(other, DEFINITION));
    const ended = String(own['finished_at']);
    const last = await lastEndOf(busy, id);
    say(`the one of the other tenant ended ${ended}, the last of the busy one ${last}`);
    return own.status === 'completed' && ended < last;
  },
};

/** When the last of them ended, once all of them have. */
async function lastEndOf(api: Orchestrator, workflowId: string): Promise<string> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const { total, items } = await api.get(`/workflows/${workflowId}/executions?status=completed&limit=200`, list);
    if (total === WAITING)
      return (
        items
          .map(({ finished_at }) => finished_at)
          .sort()
          .at(-1) ?? ''
      );
    if (performance.now() > deadline) throw new Error(`${total} of ${WAITING} have ended: is a worker running?`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}
