/**
 * Checks the credentials of a long connection again while it is open, as those of a new request: they may have expired,
 * been revoked or lost roles, or their session may have ended.
 */
import { allows, type Permission } from '../../domain/access.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { Identify } from '../auth/identify.ts';
import type { AuthRequest } from '../auth/presented.ts';
import type { TraceContext } from './context.ts';

/** With the seconds for which a key is believed it is less than a minute. */
export const CREDENTIALS_WATCHED_EVERY_MS = 30_000;

/** Calls `onOver` once, when they are. Until `stop` is called. */
export function watchCredentials(
  { identify, everyMs = CREDENTIALS_WATCHED_EVERY_MS }: { identify: Identify; everyMs?: number | undefined },
  opened: { request: AuthRequest; context: TraceContext; caller: Caller; needed: Permission },
  onOver: () => void,
): { stop(): void } {
  const { request, context, caller, needed } = opened;

  async function stillHold(): Promise<boolean> {
    const found = await identify(request, context);
    if (!('caller' in found)) return false;
    const { tenantId, userId } = found.caller;
    return (
      tenantId === caller.tenantId && userId === caller.userId && allows({ tenantId, access: found.access }, needed)
    );
  }

  async function check(): Promise<void> {
    // While they cannot be checked the last result counts.
    if (await stillHold().catch(() => true)) return;
    clearInterval(timer);
    onOver();
  }

  let checking = false;
  const timer = setInterval(() => {
    if (checking) return;
    checking = true;
    void check().finally(() => {
      checking = false;
    });
  }, everyMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
