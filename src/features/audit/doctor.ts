/** What `npm run doctor` sees of it: whether the chains are as they were written. */
import type pg from 'pg';
import { type Finding, ok, problem } from '../../doctor/finding.ts';
import { createAuditStore } from './store.ts';
import { verifyAudit } from './verify.ts';

const IDS_SHOWN = 20;

export async function* checkAuditChain(pool: pg.Pool): AsyncGenerator<Finding> {
  const { chains, entries, broken } = await verifyAudit(createAuditStore(pool), new Map(), () => undefined);
  const named = { invariant: 'I13' };
  if (broken.length === 0) {
    yield { ...ok('audit_chain', `${entries} entries of ${chains} chains are as they were written`), ...named };
    return;
  }
  const ids = broken.map(
    ({ tenantId, fault }) => `${tenantId || 'the installation'}: entry ${fault.seq} ${fault.what}`,
  );
  const words = `${broken.length} chains of the audit were tampered with`;
  yield {
    ...problem('audit_chain', words, 'Compare with the anchors, and find out who had access.'),
    ...named,
    ids: ids.slice(0, IDS_SHOWN),
    total: broken.length,
  };
}
