/** What somebody who may do everything does to our tables and rights. */
import { OWNER, PROGRAM } from '../support/operations/installation.ts';
import { operationsTest } from '../support/operations/operations-test.ts';

const NOT_USABLE = { named: ['database_not_usable'], why: ['database_not_usable'] };

operationsTest(
  'a table is renamed: nothing is accepted that cannot be committed, and what was accepted is done once it is back',
  {},
  {
    async inject({ db }) {
      await db.query('ALTER TABLE task RENAME TO task_of_before');
      return async () => void (await db.query('ALTER TABLE task_of_before RENAME TO task'));
    },
    ...NOT_USABLE,
  },
);

operationsTest(
  'privileges are taken away from both roles',
  {},
  {
    async inject({ db }) {
      await db.query(`REVOKE INSERT, UPDATE ON run, task FROM ${PROGRAM}, ${OWNER}`);
      return async () => void (await db.query(`GRANT INSERT, UPDATE ON run, task TO ${PROGRAM}, ${OWNER}`));
    },
    ...NOT_USABLE,
  },
);

operationsTest(
  'the primary becomes read-only',
  {},
  {
    async inject({ db }) {
      const readOnly = async (change: string) => {
        await db.query(`ALTER SYSTEM ${change}`);
        await db.query('SELECT pg_reload_conf()');
      };
      await readOnly('SET default_transaction_read_only = on');
      return () => readOnly('RESET default_transaction_read_only');
    },
    ...NOT_USABLE,
  },
);
