/** The settings of retention and of the audit. */
import path from 'node:path';
import { flag, secretList, text, whole } from '../types.ts';
import { optional, setting } from './setting.ts';

export const retention = {
  retentionDays: setting('RETENTION_DAYS', whole(0, 36_500), {
    default: '0',
    description:
      'Executions are deleted this many days after they ended, with their tasks, attempts, events and idempotency keys; 0: never. `retention_days` of a workflow takes precedence.',
  }),
  retentionBytes: setting('RETENTION_BYTES', whole(0), {
    default: '0',
    description:
      'Approximate maximum size of stored executions in bytes, without indexes and free space; beyond that the oldest ended executions are deleted, regardless of their age; 0: no limit.',
  }),
  traceRetentionHours: setting('TRACE_RETENTION_HOURS', whole(0, 8_760), {
    default: '72',
    description: 'How long calls made by workers are retained for traces; 0: they are not recorded.',
  }),
  auditReads: setting('AUDIT_READS', flag(), {
    default: 'false',
    description:
      'true: every request is recorded in the audit, including reads. false: changes, denied requests, and reads of sensitive data.',
  }),
  auditRetentionDays: setting('AUDIT_RETENTION_DAYS', whole(30, 36_500), {
    default: '730',
    description: 'Audit entries are deleted after this many days, from the start of each chain.',
  }),
  auditAnchorFile: optional('AUDIT_ANCHOR_FILE', text(), {
    description:
      'A file to which the ends of the audit chains are appended, preferably on an append-only medium; `npm run audit:verify` checks against it. By default they are only logged.',
    inConfig: (file, folder) => (file === undefined ? undefined : path.resolve(folder, file)),
  }),
  auditAnchorSecrets: setting('AUDIT_ANCHOR_SECRET', secretList(32), {
    default: '',
    description:
      'Signs these ends (HMAC-SHA256); a list: the first one signs, `npm run audit:verify` accepts all. With it, a file that contains lines not signed by any of them is rejected: start a new file when you set this.',
    secret: true,
  }),
};
