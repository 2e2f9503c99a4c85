/** Sends the links of approvals to their approvers, by the channels that the configuration names. */
import { randomUUID } from 'node:crypto';
import { notify } from '../../../workers/adapters/notification.ts';
import { createAdapterFetch } from '../../../workers/egress-fetch.ts';
import type { Config } from '../../config/config.ts';
import type { Egress } from '../../egress/egress.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { SendLinks } from './decide-approvals.ts';

/** Within that of a request. */
const TIMEOUT_MS = 20_000;
const MAIL_ADDRESS = /^[^\s@<>,;]+@[^\s@<>,;]+$/;
const MISSING =
  'set PUBLIC_URL, and NOTIFICATION_WEBHOOK_URL, or SMTP_URL where the ids of users are their mail addresses';

export function approvalNotices(
  { adapterSettings: settings, publicUrl }: Pick<Config, 'adapterSettings' | 'publicUrl'>,
  egress: Egress,
  log: Logger,
): SendLinks {
  return {
    // A channel of Slack has many readers: the caller may be one of them.
    channelFor(userId) {
      if (publicUrl === undefined) return { missing: MISSING };
      if (settings['SMTP_URL'] !== undefined && MAIL_ADDRESS.test(userId)) return { channel: 'email' };
      return settings['NOTIFICATION_WEBHOOK_URL'] === undefined ? { missing: MISSING } : { channel: 'webhook' };
    },
    async send(channel, { row, for: approver, approve, reject, expiresAt }, stopping) {
      const signal = within(TIMEOUT_MS, stopping);
      const [yes, no] = [approve, reject].map((token) => `${publicUrl ?? ''}/approvals/${token}`);
      const question = row.message ?? `The action ${row.actionId} asks for approval.`;
      const message = `${question}\n\nApprove: ${yes}\nReject: ${no}\n\nThe links are for ${approver}, until ${expiresAt.toISOString()}.`;
      const idempotencyKey = `${row.runId}.${row.epoch}.${row.actionId}.link.${randomUUID()}`;
      const input = {
        channels: [channel],
        message,
        title: `Approval asked: ${row.actionId}`,
        ...(channel === 'email' ? { to: approver } : {}),
        ...(channel === 'webhook'
          ? { metadata: { for: approver, approve: yes ?? '', reject: no ?? '', expires_at: expiresAt.toISOString() } }
          : {}),
      };
      const tenantId = row.tenantId;
      await notify(input, {
        fetch: createAdapterFetch(egress, {
          signal,
          idempotencyKey,
          tenantId,
          correlationId: undefined,
          traceparent: undefined,
        }),
        run: { id: row.runId, actionId: row.actionId, tenantId, userId: approver },
        setting: (name) => settings[name],
        now: () => new Date(),
        ...{ log, signal, idempotencyKey },
      });
    },
  };
}
