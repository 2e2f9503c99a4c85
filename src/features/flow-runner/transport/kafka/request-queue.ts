/**
 * The client checks each millisecond, for as long as a connection is open, whether a request waits to be sent, with timeouts
 * that are negative, which newer versions of Node warn of. Nothing needs that check while none waits.
 */
import { createRequire } from 'node:module';

interface RequestQueue {
  prototype: { scheduleCheckPendingRequests(this: { pending: readonly unknown[] }): void };
}

let corrected = false;

export function correctRequestQueue(): void {
  if (corrected) return;
  corrected = true;
  const queue = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as RequestQueue; // A file of the pinned version.
  const schedule = queue.prototype.scheduleCheckPendingRequests;
  queue.prototype.scheduleCheckPendingRequests = function scheduleCheck() {
    if (this.pending.length > 0) schedule.call(this);
  };
}
