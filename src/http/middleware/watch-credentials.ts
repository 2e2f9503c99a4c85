/**
 * What is open for long was opened with credentials that may be over by now: expired, revoked, their session ended, or with
 * fewer roles. So they are looked at again while it is open, as they would be with a new request.
 */
import { allows, type Permission } from '../../domain/access.ts';
import type { Caller } from '../../engine/ports/use-cases.ts';
import type { WhoAsks } from '../auth/identify.ts';
import type { Asked } from '../auth/presented.ts';
import type { TraceContext } from './context.ts';

/** With the seconds for which a key is believed it is less than a minute. */
export const CREDENTIALS_WATCHED_EVERY_MS = 30_000;

/** Calls `onOver` once, when they are. Until `stop` is called. */
export function watchCredentials(
  { whoAsks, everyMs = CREDENTIALS_WATCHED_EVERY_MS }: { whoAsks: WhoAsks; everyMs?: number | undefined },
  opened: { request: Asked; context: TraceContext; caller: Caller; needed: Permission },
  onOver: () => void,
): { stop(): void } {
  const { request, context, caller, needed } = opened;

  async function hold(): Promise<boolean> {
    const found = await whoAsks(request, context);
    if (!('caller' in found)) return false;
    const { tenantId, userId } = found.caller;
    return (
      tenantId === caller.tenantId && userId === caller.userId && allows({ tenantId, access: found.access }, needed)
    );
  }

  async function look(): Promise<void> {
    // While nobody can be asked, what was said last holds.
    if (await hold().catch(() => true)) return;
    clearInterval(timer);
    onOver();
  }

  let looking = false;
  const timer = setInterval(() => {
    if (looking) return;
    looking = true;
    void look().finally(() => {
      looking = false;
    });
  }, everyMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}
