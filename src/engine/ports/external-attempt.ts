/** A task for workers outside, as the adapter that waits for it sees it. */
import type { Json } from '../../schemas/json.ts';

/** How far an attempt is. `closed`: nobody waits for it any more. */
export type ExternalAttempt =
  | { status: 'open'; deadline: Date }
  | { status: 'completed'; output: Json }
  | { status: 'failed'; code: string; message: string; retryable: boolean }
  | { status: 'timed_out' }
  | { status: 'closed' };
