/** Somebody else on the same server locks a table of ours and goes away: a backup, a migration by hand. In `npm test` too. */
import { lockTable } from '../support/operations/locks.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

operationsTest(
  'somebody else locks the table task: outcomes wait, and requests are answered',
  {},
  {
    inject: ({ databaseUrl }) => lockTable(databaseUrl, 'task'),
    named: ['database_blocked'],
    why: ['database_blocked'],
  },
);
