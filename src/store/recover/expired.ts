/** The removal of rows whose time is over. Nobody serves them any more; one that is just being renewed is locked, and stays. */
import type pg from 'pg';
import type { ExpiryStore } from '../../engine/recover/remove-expired.ts';

const TABLES = [
  'run_dedupe',
  'output_cache',
  'service_use',
  'service_turn',
  'call_span',
  'platform_event',
  'incoming_event',
  'erasure',
  'control_operation',
] as const;

export function createExpiryStore(pool: pg.Pool): ExpiryStore {
  return {
    async removeExpired(limit) {
      let most = 0;
      for (const table of TABLES) {
        const { rowCount } = await pool.query({
          name: `expired-${table}`,
          text: `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
                   SELECT ctid FROM ${table} WHERE expires_at <= now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED))`,
          values: [limit],
        });
        most = Math.max(most, rowCount ?? 0);
      }
      return most;
    },
  };
}
