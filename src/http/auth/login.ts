import type { ClaimRules } from './jwt-claims.ts';
import type { LoginProvider } from './oidc-provider.ts';
import type { Sealer } from './sealed.ts';
import type { Sessions } from './sessions.ts';

/** How people log in; where it is missing nobody can. */
export interface Login {
  provider: LoginProvider;
  sessions: Sessions;
  /** Keeps what a login is bound to. */
  attempts: Sealer;
  claims: ClaimRules;
  publicUrl: string;
}
