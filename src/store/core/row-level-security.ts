/**
 * Row-level security between tenants: policies of the database for the role under which an API works for one tenant. They are
 * made from what the tables themselves say, after every migration, so that a new table has its policy without anybody
 * having to think of it. docs/decisions/0043-a-second-wall.md.
 */
import pg from 'pg';
import { runScript } from '../migrations/migration-script.ts';
import { SESSION } from './session.ts';

/** Of the whole server, not of one database; nobody logs in with it. */
export const TENANT_ROLE = 'orchestrator_tenant';
export const TENANT_SETTING = 'orchestrator.tenant';
const POLICY = 'one_tenant';
const OPEN_POLICY = 'everyone';

const WRITTEN = 'SELECT, INSERT, UPDATE, DELETE';

/** What nobody writes for a tenant: the audit is written for all of them, and by nobody who is one. */
export const ONLY_READ: ReadonlySet<string> = new Set(['audit_entry', 'audit_head']);

/** What has neither `tenant_id` nor `run_id`, and belongs to a tenant through what it hangs on. */
const HANGS_ON: ReadonlyMap<string, { column: string; parent: string }> = new Map([
  ['workflow_version', { column: 'workflow_id', parent: 'workflow' }],
  ['schedule_slot', { column: 'schedule_id', parent: 'schedule' }],
]);

/** What belongs to no tenant. The role may do no more with it than stands here. */
const NOBODYS: ReadonlyMap<string, { grants: string; why: string }> = new Map([
  ['_prisma_migrations', { grants: '', why: 'the list of migrations' }],
  [
    'worker',
    { grants: 'SELECT', why: 'processes serve all tenants; what a circuit says counts as long as its worker is there' },
  ],
  ['sweep_pass', { grants: '', why: 'the pass is one for all tenants' }],
  ['service_rate', { grants: '', why: 'only workers take turns at services' }],
  ['service_use', { grants: '', why: 'as service_rate' }],
  ['service_turn', { grants: '', why: 'as service_rate' }],
  ['metric_total', { grants: '', why: 'counts of all tenants together' }],
  ['request_count', { grants: '', why: 'clients are counted before their tenant is known' }],
  ['peer', { grants: '', why: 'peers get the services of all tenants' }],
  ['installation', { grants: '', why: 'what the installation calls itself' }],
  ['event_stream', { grants: 'SELECT', why: 'a trigger of events asks whether there is a stream' }],
  ['flow_publisher', { grants: 'SELECT', why: 'a trigger of failures asks whether there is a publisher' }],
  ['event_out', { grants: 'INSERT', why: 'what a trigger of events owes that stream; only workers read it' }],
]);

export type Rule =
  | { kind: 'tenant' }
  | { kind: 'parent'; column: string; parent: string }
  | { kind: 'nobodys'; grants: string };

/** Undefined: nothing says whose the rows are. */
export function ruleFor(table: string, columns: readonly string[]): Rule | undefined {
  const nobodys = NOBODYS.get(table);
  if (nobodys !== undefined) return { kind: 'nobodys', grants: nobodys.grants };
  if (columns.includes('tenant_id')) return { kind: 'tenant' };
  const above = HANGS_ON.get(table);
  if (above !== undefined) return { kind: 'parent', ...above };
  if (columns.includes('run_id')) return { kind: 'parent', column: 'run_id', parent: 'run' };
  return undefined;
}

export interface TableStanding {
  table: string;
  rule: Rule | undefined;
  /** The policy is there, and enabled. */
  hasPolicy: boolean;
  /** The role has a right to it. */
  granted: boolean;
}

/** Partitions are left out: the role has no right to them, and through their table its policies count. */
const TABLES = `
SELECT c.relname AS table,
  (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
  c.relrowsecurity AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = '${POLICY}') AS walled,
  EXISTS (SELECT FROM aclexplode(c.relacl) x JOIN pg_roles r ON r.oid = x.grantee AND r.rolname = '${TENANT_ROLE}') AS granted
FROM pg_class c WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname`;

export async function standingOfTables(db: Pick<pg.Pool, 'query'>): Promise<TableStanding[]> {
  const { rows } = await db.query<{ table: string; columns: string[]; walled: boolean; granted: boolean }>(TABLES);
  return rows.map(({ columns, walled: hasPolicy, ...row }) => ({
    ...row,
    hasPolicy,
    rule: ruleFor(row.table, columns),
  }));
}

/** Why row-level security is not complete; undefined: it is. */
export async function findGap(db: Pick<pg.Pool, 'query'>): Promise<string | undefined> {
  const { rows } = await db.query<{ above: boolean; ours: boolean }>(
    `SELECT rolsuper OR rolbypassrls AS above, pg_has_role(session_user, oid, 'MEMBER') AS ours
     FROM pg_roles WHERE rolname = '${TENANT_ROLE}'`,
  );
  const role = rows[0];
  if (role === undefined) return `the role ${TENANT_ROLE} is missing, and may not be created by the one that migrates`;
  if (role.above) return `the role ${TENANT_ROLE} stands above all policies`;
  if (!role.ours) return `the role of DATABASE_URL may not take the role ${TENANT_ROLE}`;
  const open = (await standingOfTables(db)).filter(needsPolicy);
  if (open.length > 0) return `tables have no policy: ${open.map(({ table }) => table).join(', ')}`;
  return undefined;
}

/** Creates missing policies, and returns what `findGap` finds then. Only for the holder of the lock of migrations. */
export async function applyPolicies(databaseUrl: string): Promise<string | undefined> {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    application_name: 'migrate',
    max: 1,
    onConnect: (client): unknown => client.query(SESSION),
  });
  pool.on('error', () => undefined);
  try {
    if (await makeRole(pool)) {
      // Each in a transaction of its own: nobody waits for a table because another one is busy.
      for (const { table, rule } of (await standingOfTables(pool)).filter(isOutdated)) {
        await runScript(pool, policyOf(table, rule));
      }
      await runScript(pool, takeBack);
    }
    return await findGap(pool);
  } finally {
    await pool.end();
  }
}

function needsPolicy({ rule, hasPolicy, granted }: TableStanding): boolean {
  return rule !== undefined && rule.kind !== 'nobodys' && !(hasPolicy && granted);
}

function isOutdated(standing: TableStanding): standing is TableStanding & { rule: Rule } {
  const { rule, granted } = standing;
  return needsPolicy(standing) || (rule?.kind === 'nobodys' && rule.grants !== '' && !granted);
}

/** Two at a time may try, of several databases: roles are the server's. */
const MAKE_ROLE = `
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${TENANT_ROLE}') THEN
    CREATE ROLE ${TENANT_ROLE} NOLOGIN NOINHERIT;
  END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN NULL;
END $$;
DO $$ DECLARE counter record; BEGIN
  -- Policies for a role count for whoever inherits from it too, which the role that logs in must not.
  IF NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member
                 WHERE r.rolname = '${TENANT_ROLE}' AND u.rolname = session_user
                   AND coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
     AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = session_user) THEN
    IF current_setting('server_version_num')::int >= 160000 THEN
      EXECUTE format('GRANT ${TENANT_ROLE} TO %I WITH INHERIT FALSE, SET TRUE', session_user);
    ELSE
      EXECUTE format('GRANT ${TENANT_ROLE} TO %I', session_user);
    END IF;
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO ${TENANT_ROLE}', current_schema());
  FOR counter IN SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace
      AND CASE WHEN c.relkind = 'S' THEN NOT has_sequence_privilege('${TENANT_ROLE}', c.oid, 'USAGE') ELSE false END
  LOOP
    EXECUTE format('GRANT USAGE ON SEQUENCE %s TO ${TENANT_ROLE}', counter.name);
  END LOOP;
EXCEPTION WHEN insufficient_privilege OR undefined_object OR unique_violation THEN NULL;
END $$`;

/** False: there is none, and it may not be made. */
async function makeRole(pool: pg.Pool): Promise<boolean> {
  await pool.query(MAKE_ROLE);
  const { rowCount } = await pool.query(`SELECT FROM pg_roles WHERE rolname = '${TENANT_ROLE}'`);
  return rowCount === 1;
}

/** Whoever else may read and write a table does so as before: the restriction is for the one role. */
function policyOf(table: string, rule: Rule): string {
  const name = pg.escapeIdentifier(table);
  if (rule.kind === 'nobodys') return `GRANT ${rule.grants} ON ${name} TO ${TENANT_ROLE}`;
  const own = conditionOf(name, rule);
  return `
    ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY;
    DROP POLICY IF EXISTS ${OPEN_POLICY} ON ${name};
    CREATE POLICY ${OPEN_POLICY} ON ${name} USING (true) WITH CHECK (true);
    DROP POLICY IF EXISTS ${POLICY} ON ${name};
    CREATE POLICY ${POLICY} ON ${name} AS RESTRICTIVE TO ${TENANT_ROLE} USING (${own}) WITH CHECK (${own});
    GRANT ${ONLY_READ.has(table) ? 'SELECT' : WRITTEN} ON ${name} TO ${TENANT_ROLE}`;
}

/** What earlier versions gave. A right that is not there is not taken back: that would lock its table for nothing. */
const takeBack = `
DO $$ DECLARE given record; BEGIN
  FOR given IN SELECT c.oid::regclass AS name FROM pg_class c
    WHERE c.relnamespace = quote_ident(current_schema())::regnamespace AND c.relname IN (${[...ONLY_READ].map((table) => `'${table}'`).join(', ')})
      AND has_table_privilege('${TENANT_ROLE}', c.oid, 'INSERT, UPDATE, DELETE')
  LOOP
    EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON %s FROM ${TENANT_ROLE}', given.name);
  END LOOP;
END $$`;

/** The parent's own policy counts within it. */
function conditionOf(name: string, rule: Exclude<Rule, { kind: 'nobodys' }>): string {
  if (rule.kind === 'tenant') return `tenant_id = current_setting('${TENANT_SETTING}', true)`;
  const { parent, column } = rule;
  return `EXISTS (SELECT FROM ${pg.escapeIdentifier(parent)} above WHERE above.id = ${name}.${pg.escapeIdentifier(column)})`;
}
