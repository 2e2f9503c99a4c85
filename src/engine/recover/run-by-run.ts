/** Work on many runs of which one that fails, of whatever tenant, is no matter of the others. */
import { errorMessage } from '../../domain/texts/error-message.ts';
import type { Logger } from '../ports/logger.ts';
import type { RunRow } from '../ports/rows.ts';

/** Side by side; more would only wait for connections. */
const AT_ONCE = 20;

export async function inBatches<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  for (let at = 0; at < items.length; at += AT_ONCE) await Promise.all(items.slice(at, at + AT_ONCE).map(work));
}

/** A run that cannot be added (its definition is gone, say) must not prevent that of the others. */
export async function onItsOwn(deps: { log: Logger }, run: RunRow, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    logNotReconciled(deps, run, error);
  }
}

/** All in one, or each alone where that fails: then `failed` is called with those that do so again. */
export async function togetherOrAlone<T>(
  items: readonly T[],
  work: (some: readonly T[]) => Promise<void>,
  failed: (item: T, error: unknown) => void,
): Promise<void> {
  try {
    await work(items);
  } catch {
    await inBatches(items, (item) => work([item]).catch((error: unknown) => failed(item, error)));
  }
}

export function logNotReconciled({ log }: { log: Logger }, run: RunRow, error: unknown): void {
  log.error('run_not_swept', { run_id: run.id, error: errorMessage(error) });
}
