// Preloaded by `node --import`: SIGUSR2 fills the heap until the process is ended for it, as a leak would.
process.on('SIGUSR2', () => {
  const leak = [];
  for (;;) leak.push(new Array(10_000).fill(leak.length));
});
