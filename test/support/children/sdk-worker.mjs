/** A worker of the SDK as a program: `url topic id`. Says each task that it takes. */
import { createClient, createWorker } from '../../../sdk/dist/index.js';

const [, , url, topic, id] = process.argv;
const worker = createWorker(createClient({ url }), {
  workerId: id,
  concurrency: 2,
  leaseSeconds: 2,
  adapters: [
    {
      type: topic,
      async run(input, context) {
        process.stdout.write(`took ${context.run.id} ${context.run.actionId}\n`);
        await new Promise((resolve) => setTimeout(resolve, input.ms));
        return { n: input.n, by: id };
      },
    },
  ],
});
await worker.run();
process.stdout.write('ended\n');
