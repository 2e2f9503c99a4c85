/** What an API process has of it. */

import { randomBytes } from 'node:crypto';
import { type FeatureApi, featureApi } from '../../feature.ts';
import { apiKeyRoutes } from './api-key-routes.ts';
import { createApiKeyStore } from './api-key-store.ts';
import { credentialsOf } from './credentials.ts';
import { loginRoutes } from './login-routes.ts';
import { loginSessionRoutes } from './login-session-routes.ts';
import { createLoginSessions } from './login-session-store.ts';
import { createApiKeys } from './manage-api-keys.ts';

const endpoints = featureApi([apiKeyRoutes, loginSessionRoutes, loginRoutes], ({ pool, login, links, newId }) => ({
  apiKeys: createApiKeys({ keys: createApiKeyStore(pool), newId, random: randomBytes }),
  loginSessions: createLoginSessions(pool),
  login,
  links,
}));

export const api: FeatureApi = { ...endpoints, credentials: credentialsOf };
