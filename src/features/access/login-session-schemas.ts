/** Requests and responses of the API about sessions of browsers. */
import { z } from 'zod';
import { pageExample, paging, text, time, WHEN } from '../../schemas/answer-shapes.ts';
import { apiKeyListQuery } from './api-key-schemas.ts';

const SESSION = '0197c2a1-9b30-7d02-9c11-8f7e6d5c4b3b';

export const loginSessionQuery = apiKeyListQuery.extend({
  of: z
    .enum(['me', 'tenant'])
    .default('me')
    .meta({ description: 'tenant: sessions of all users, for callers who may revoke keys', example: 'me' }),
});

export const loginSession = z
  .object({
    session_id: text,
    user_id: text,
    created_at: time,
    expires_at: time,
    current: z.boolean().meta({ description: 'Whether this is the session of the caller' }),
  })
  .meta({
    id: 'LoginSession',
    example: { session_id: SESSION, user_id: 'anna', created_at: WHEN, expires_at: WHEN, current: true },
  });

export const loginSessionList = z
  .object({ items: z.array(loginSession), ...paging })
  .meta({ id: 'LoginSessionList', example: pageExample(loginSession) });
