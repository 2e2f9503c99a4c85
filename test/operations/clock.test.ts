/** The clock of the database is set while everything runs, by an hour, and set right again. */
import type { Installation } from '../support/operations/installation.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

const HOUR_S = 3_600;

const setBy = (seconds: number) => async (installation: Installation) => {
  const { clock } = installation.postgres;
  if (clock === undefined) throw new Error('the clock of this PostgreSQL cannot be set');
  await clock.set(seconds);
  return () => clock.set(0);
};
const fault = {
  named: ['clock_skew'],
  // Nothing is held up.
  why: [],
  movesClock: true,
  schedule: { everySeconds: 2, timesSet: 2 },
  lastsMs: 15_000,
};

operationsTest(
  'the clock of the database is set an hour forward, and back: nothing waits for that hour afterwards',
  { clock: true },
  { ...fault, inject: setBy(HOUR_S) },
);

operationsTest(
  'the clock of the database is set an hour back, and forward: nothing that waits stays behind',
  { clock: true },
  { ...fault, inject: setBy(-HOUR_S) },
);
