/** One workflow begins another, waits for it, and uses its output; both have pages of their own that link to each other. */
import { begin, created, type Example, executionWhen } from './example.ts';

const TRANSLATE = {
  name: 'translate',
  parameters: [{ name: 'text', type: 'string', required: true }],
  actions: [{ action_id: 'work', action_type: 'transform', config: { outputs: { text: 'params.text + "!"' } } }],
  output: { text: '{{work.text}}' },
};

export const subworkflow: Example = {
  name: 'subworkflow',
  async run(api, say) {
    const { workflow_id } = await api.post('/workflows', TRANSLATE, created);
    const publish = {
      name: 'publish',
      actions: [
        { action_id: 'title', action_type: 'workflow', config: { workflow_id, parameters: { text: 'Hello' } } },
        { action_id: 'print', action_type: 'test_task', config: { line: '{{title.output.text}}' } },
      ],
      output: '{{print.line}}',
    };
    const id = await begin(api, publish);
    const found = await executionWhen(api, id);
    const child = found.tasks[0]?.['child'] as { execution_id: string; status: string; link: string } | undefined;
    if (child === undefined) return false;
    const below = await executionWhen(api, child.execution_id);
    const parent = below['parent'] as { execution_id: string; action_id: string } | null;
    say(`${found.status}: ${JSON.stringify(found.output)}, by ${child.link}, begun by '${parent?.action_id}'`);
    return found.output === 'Hello!' && below.status === 'completed' && parent?.execution_id === id;
  },
};
