// Preloaded by `node --import`: SIGUSR2 blocks the event loop for BLOCK_MS, as a computation without a pause would.
const blockMs = Number(process.env.BLOCK_MS ?? 0);
process.on('SIGUSR2', () => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockMs);
});
