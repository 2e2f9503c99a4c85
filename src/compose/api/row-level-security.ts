/**
 * Row-level security, for an API: for whom its work at hand is done, and whether the database has the policies, which is
 * found out once, when it can first be asked, and said when it has not.
 */
import type pg from 'pg';
import type { Config } from '../../config/config.ts';
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import { createTenantScope, type TenantScope } from '../../engine/tenant-scope.ts';
import { findGap } from '../../store/core/row-level-security.ts';

/** The gap that was asked for. */
export const TURNED_OFF = 'ROW_LEVEL_SECURITY is off';

export interface RowLevelSecurity {
  scope: TenantScope;
  /** What keeps it from standing for this process; undefined: it stands. Rejects while the database cannot be asked. */
  gap(everyTenant: pg.Pool): Promise<string | undefined>;
  /** Rejects as `gap` does. */
  stands(everyTenant: pg.Pool): Promise<boolean>;
  /** At start: rejects when it must stand and does not. */
  expected(everyTenant: pg.Pool): Promise<void>;
}

export function createRowLevelSecurity(wanted: Config['rowLevelSecurity'], log: Logger): RowLevelSecurity {
  let asked: Promise<string | undefined> | undefined;
  const gap = (everyTenant: pg.Pool) => {
    asked ??= findGap(everyTenant).then(
      (found) => {
        if (found !== undefined) log.warn('row_level_security_off', { reason: found });
        return found;
      },
      (error: unknown) => {
        asked = undefined;
        throw error;
      },
    );
    return asked;
  };
  const scope = createTenantScope();
  return {
    gap: (everyTenant) => (wanted === 'off' ? Promise.resolve(TURNED_OFF) : gap(everyTenant)),
    // To follow what is awaited has its price, which is not paid for nothing.
    scope: wanted === 'off' ? { ...scope, in: (_caller, work) => work() } : scope,
    async stands(everyTenant) {
      if (wanted === 'off') return false;
      const found = await gap(everyTenant);
      if (found !== undefined && wanted === 'required') throw new Error(`ROW_LEVEL_SECURITY is required, and ${found}`);
      return found === undefined;
    },
    async expected(everyTenant) {
      if (wanted === 'off') return;
      const found = await gap(everyTenant).catch((error: unknown) => {
        // An API begins without its database too; nothing is served to a tenant before this is known.
        log.warn('row_level_security_unknown', { error: errorMessage(error) });
        return undefined;
      });
      if (found !== undefined && wanted === 'required') throw new Error(`ROW_LEVEL_SECURITY is required, and ${found}`);
    },
  };
}
