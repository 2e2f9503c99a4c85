/** Sessions of browsers: what their tenant sees of them, and which ones were ended. */
import type pg from 'pg';
import type { SessionDirectory } from '../../http/auth/sessions.ts';
import { columnsOf } from '../../store/core/columns.ts';
import type { Prisma } from '../../store/generated/client.ts';
import type { LoginSessions } from './login-session-ports.ts';

const SHOWN = { id: true, userId: true, createdAt: true, expiresAt: true } as const;
type Row = Prisma.LoginSessionGetPayload<{ select: typeof SHOWN }>;

// Those that are over say nothing any more.
const FORGET = 'DELETE FROM login_session WHERE expires_at <= now()';
const BEGIN = `
INSERT INTO login_session (id, tenant_id, user_id, expires_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4::float8))`;

const OPEN = `tenant_id = $1 AND ($2::text IS NULL OR user_id = $2) AND ended_at IS NULL AND expires_at > now()`;
const LIST = `
SELECT ${columnsOf(SHOWN)} FROM login_session WHERE ${OPEN} ORDER BY created_at DESC, id DESC LIMIT $3 OFFSET $4`;
const COUNT = `SELECT count(*)::int AS total FROM login_session WHERE ${OPEN}`;
const END = `UPDATE login_session SET ended_at = now(), ended_by = $4 WHERE ${OPEN} AND id = $3`;
const ENDED = 'SELECT id FROM login_session WHERE expires_at > now() AND ended_at IS NOT NULL';

export function createLoginSessions(pool: pg.Pool): LoginSessions {
  return {
    async list(tenantId, userId, page, pageSize) {
      const whose = [tenantId, userId ?? null];
      const [found, counted] = await Promise.all([
        pool.query<Row>(LIST, [...whose, pageSize, (page - 1) * pageSize]),
        pool.query<{ total: number }>(COUNT, whose),
      ]);
      return { items: found.rows, total: counted.rows[0]?.total ?? 0 };
    },
    async end(tenantId, userId, id, by) {
      return (await pool.query(END, [tenantId, userId ?? null, id, by])).rowCount === 1;
    },
  };
}

/** `pool`: for every tenant. */
export function createSessionDirectory(pool: pg.Pool): SessionDirectory {
  return {
    async start({ id, tenantId, userId, seconds }) {
      await pool.query(FORGET);
      await pool.query(BEGIN, [id, tenantId, userId, seconds]);
    },
    async ended() {
      const { rows } = await pool.query<{ id: string }>({ name: 'ended-sessions', text: ENDED });
      return new Set(rows.map(({ id }) => id));
    },
  };
}
