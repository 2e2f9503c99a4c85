import type { ClaimRules } from './jwt-claims.ts';
import type { Sealer } from './sealed.ts';
import type { Sessions } from './sessions.ts';

/** Logging in with a browser; where it is missing nobody can. */
export interface Login {
  provider: LoginProvider;
  sessions: Sessions;
  /** Seals what a login is bound to. */
  attempts: Sealer;
  claims: ClaimRules;
  publicUrl: string;
}

/** What a login is bound to, from its start to its end. */
export interface Attempt {
  state: string;
  nonce: string;
  verifier: string;
}

export interface LoginProvider {
  /** Where the browser is sent. */
  start(attempt: Attempt): Promise<URL>;
  /** `answer`: where the browser came back to. The claims of the token, once everything about it is valid. */
  finish(answer: URL, attempt: Attempt): Promise<Readonly<Record<string, unknown>>>;
  /** Where its own session is ended; undefined: it has none, or it cannot be read at the moment. */
  endOfSession(returnTo: string): Promise<URL | undefined>;
}
