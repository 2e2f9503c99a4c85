/** The client of the identity service, as the settings describe it. */
import type { Config } from '../../config/config.ts';
import type { Egress } from '../../egress/egress.ts';
import { basicAuthorization, postJson } from '../../egress/post-json.ts';
import { within } from '../../engine/deliver/time-limit.ts';
import type { Logger } from '../../engine/ports/logger.ts';
import type { JwtVerifier } from '../../http/auth/jwt.ts';
import { identityEndpoint } from './domain.ts';
import { createIssueToken, type IssueToken } from './issue-token.ts';
import { createTokenVerifier, type Verified } from './verify-tokens.ts';

export interface IdentityClient {
  /** 503 while the service does not say anything of the token. */
  verify: JwtVerifier;
  issueToken: IssueToken;
}

export interface IdentityClientInit {
  config: Pick<Config, 'identity'>;
  fetch: Egress['fetch'];
  log: Logger;
  /** Called for each answer about a token. */
  count?: ((result: Verified) => void) | undefined;
}

/** Undefined: there is no identity service. */
export function createIdentityClient({ config, fetch, log, count }: IdentityClientInit): IdentityClient | undefined {
  const { url, cacheSeconds, timeoutMs } = config.identity;
  if (url === undefined) return undefined;
  const authorization = basicAuthorization(url);
  const [verifyUrl, issueUrl] = [identityEndpoint(url, 'verify'), identityEndpoint(url, 'issue')];
  return {
    verify: createTokenVerifier({
      ...{ cachedMs: cacheSeconds * 1_000, elapsed: () => performance.now(), now: Date.now, log },
      verified: count ?? (() => undefined),
      ask(token) {
        const body = { token, required_capabilities: [] };
        return postJson(fetch, {
          url: verifyUrl,
          headers: authorization,
          body,
          of: 'identity',
          signal: within(timeoutMs),
        });
      },
    }),
    issueToken: createIssueToken({
      ask(body, idempotencyKey, signal) {
        const headers = { ...authorization, 'idempotency-key': idempotencyKey };
        const late = within(timeoutMs, ...(signal === undefined ? [] : [signal]));
        return postJson(fetch, { url: issueUrl, headers, body, of: 'identity', signal: late });
      },
    }),
  };
}
