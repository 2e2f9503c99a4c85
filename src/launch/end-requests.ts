/** When this process is to end: a signal, or the loss of the npm that started it. */

export interface EndRequests {
  /** Aborted, with the reason, when everything is to be stopped in good order. */
  ending: AbortSignal;
  /** Aborted by a second, later signal. */
  atOnce: AbortSignal;
}

/** npm and `timeout` forward a signal to a process that already received it; only a later one is a second request. */
const SAME_SIGNAL_MS = 1_000;
const PARENT_POLL_MS = 500;

export function endRequests(options: { signals: readonly NodeJS.Signals[]; startedByNpm: boolean }): EndRequests {
  const ending = new AbortController();
  const atOnce = new AbortController();
  let firstAt = 0;
  const request = (why: string) => {
    if (!ending.signal.aborted) {
      firstAt = performance.now();
      ending.abort(why);
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      atOnce.abort(why);
    }
  };
  for (const signal of options.signals) process.on(signal, () => request(signal));
  if (options.startedByNpm) {
    // A SIGTERM to npm ends npm and its shell; the shell does not pass it on.
    const parent = process.ppid;
    const poll = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(poll);
      request('npm is gone');
    }, PARENT_POLL_MS);
    poll.unref();
  }
  return { ending: ending.signal, atOnce: atOnce.signal };
}
