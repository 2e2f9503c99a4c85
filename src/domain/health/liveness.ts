/** After how long something is gone, late or stuck, alike for engine health, `/why`, the metrics and the doctor. */

/** Of a worker, after its last sign of life: four heartbeats. */
export const ALIVE_SECONDS = 20;
/** Of the reconciler, which passes every second. */
export const RECONCILE_LATE_SECONDS = 30;
/** Of an execution of which nothing has moved. */
export const STUCK_AFTER_SECONDS = 600;
/** Of the clock of a process against the database's: more than what a question to the database takes. */
export const SKEW_MS = 1_000;
