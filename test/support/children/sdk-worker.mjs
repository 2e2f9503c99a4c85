/** A worker of the SDK as a program: `sdk url topic id`. Says each task that it takes. */
const [, , sdk, url, topic, id] = process.argv;
const { createClient, createWorker } = await import(sdk);
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
