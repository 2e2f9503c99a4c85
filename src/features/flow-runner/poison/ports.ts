/** Messages that can never be taken in, whichever topic they came from. */
import type { IncomingMessage, PoisonCode } from '../transport/ports.ts';

export interface Poison {
  message: IncomingMessage;
  code: PoisonCode;
  /** What is wrong, in words. */
  error: string;
  /** Whose the message is, where its word for it may be believed; undefined: the installation’s. */
  tenantId?: string | undefined;
}

/**
 * Resolves when all of them are stored, and what says so to others is in the outbox. The same message may come as often as it
 * likes.
 */
export type StorePoison = (poison: readonly Poison[]) => Promise<void>;
