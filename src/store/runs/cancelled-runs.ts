/**
 * How a run that is cancelling ends, as parts of the statements that end runs: `r` is its row. A deadline ends a run as a
 * cancellation does, and only says so in the row; the reason is its message.
 */
export const CANCELLED_AS = `coalesce(r.ends_as, 'cancelled')`;
export const CANCELLED_ERROR = `CASE WHEN r.ends_as = 'timed_out'
  THEN jsonb_build_object('code', 'run_timed_out', 'message', r.cancel_reason) END`;

/** Why a run fails, of all its tasks that failed: $1 is the run. */
export const FIRST_FAILURE = `SELECT error FROM task WHERE run_id = $1 AND status = 'failed' AND NOT tolerated ORDER BY finished_at LIMIT 1`;
