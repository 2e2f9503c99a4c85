/** The settings of secrets and of encryption. */
import { flag, keyList, list, text } from '../types.ts';
import { setting } from './setting.ts';

export const secrets = {
  secretsDir: setting('SECRETS_DIR', text(), {
    default: '/run/secrets',
    description: 'A folder of files, each the secret of its name; SECRET_<NAME>=… does the same for one.',
  }),
  secretsShared: setting('SECRETS_SHARED', list(), {
    default: 'default',
    description:
      'The tenants whose tasks may use these secrets; a list, or * for all. Secrets of the tenant itself, stored with PUT /secrets, take precedence.',
    inConfig: (tenants) => (tenants.includes('*') ? ('*' as const) : tenants),
  }),
  secretKeys: setting('SECRETS_KEY', keyList(), {
    default: '',
    description:
      'Encrypts stored secrets (PUT /secrets, the secrets of webhooks); the same for the API and all workers. A list: the first key encrypts, all of them decrypt; `npm run secrets:rotate` re-encrypts everything with the first. May be a file of that name in SECRETS_DIR. Without it PUT /secrets is rejected.',
    secret: true,
  }),
  encryptPayloads: setting('ENCRYPT_PAYLOADS', flag(), {
    default: 'false',
    description:
      'Encrypts the inputs, outputs and logs of executions before they are stored in PostgreSQL. Needs SECRETS_KEY; data stored before does not change. docs/security.md says what is encrypted.',
  }),
};
