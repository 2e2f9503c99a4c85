/**
 * A member of a consumer group in a process of its own, which is done with nothing: it prints what it gets, a line each, until
 * it is killed. Its first argument: the compiled module, the name of what makes the transport, its options and times, group and topic.
 */
const { module, make, options, times, group, topic } = JSON.parse(process.argv[2] ?? '');
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const loaded = await import(module);
const transport = loaded[make](options, silent, times);
transport.consume({
  ...{ group, topics: [topic] },
  handle(messages) {
    for (const { value } of messages) process.stdout.write(`${value}\n`);
    return new Promise(() => {});
  },
});
