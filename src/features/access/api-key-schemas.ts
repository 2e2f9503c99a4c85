/** Requests and responses of the API about API keys. */
import { z } from 'zod';
import { pageExample, paging, text, time, WHEN } from '../../schemas/answer-shapes.ts';

const KEY = '0197c2a1-9b30-7d02-9c11-8f7e6d5c4b3a';
const TEN_YEARS = 315_360_000;
const A_WEEK = 604_800;
const A_DAY = 86_400;

const role = z.enum(['viewer', 'operator', 'editor', 'admin', 'worker']);

export const apiKeyRequest = z
  .strictObject({
    name: z.string().min(1).max(200).meta({ description: 'A label for the key', example: 'nightly import' }),
    roles: z
      .array(role)
      .min(1)
      .max(5)
      .meta({ description: 'Roles of the key; no more than the caller has', example: ['operator'] }),
    scopes: z
      .array(z.string().max(100))
      .max(100)
      .optional()
      .meta({
        description:
          'Scopes that limit the key: permissions, or `<resource>:*`. Without it the key is not limited; an empty list allows nothing',
        example: ['executions:run', 'executions:read'],
      }),
    expires_in_seconds: z
      .int()
      .min(60)
      .max(TEN_YEARS)
      .optional()
      .meta({ description: 'Lifetime of the key; by default it does not expire', example: 7_776_000 }),
  })
  .meta({ id: 'ApiKeyRequest', example: { name: 'nightly import', roles: ['operator'] } });

export const rotateRequest = z
  .strictObject({
    grace_seconds: z
      .int()
      .min(0)
      .max(A_WEEK)
      .default(A_DAY)
      .meta({ description: 'Grace period during which the replaced key stays valid', example: A_DAY }),
  })
  .meta({ id: 'RotateApiKeyRequest', example: { grace_seconds: 3_600 } });

const integer = (min: number, max: number) => z.coerce.number<string>().int().min(min).max(max);
export const apiKeyListQuery = z.object({
  page: integer(1, 1_000_000).default(1).meta({ example: 1 }),
  page_size: integer(1, 200).default(50).meta({ example: 50 }),
});

const shown = {
  api_key_id: text,
  name: text,
  prefix: text.meta({ description: 'The first characters of the key' }),
  user_id: text.meta({ description: 'The user that requests with this key act as' }),
  roles: z.array(role),
  scopes: z.array(text).nullable().meta({ description: 'null: everything that the roles allow' }),
  expires_at: time.nullable(),
  created_by: text,
  created_at: time,
  rotated_at: time.nullable(),
  previous_valid_until: time
    .nullable()
    .meta({ description: 'Until then the key before the last rotation stays valid' }),
  last_used_at: time.nullable().meta({ description: 'Accurate to about a minute' }),
  revoked_at: time.nullable(),
};
const example = {
  api_key_id: KEY,
  name: 'nightly import',
  prefix: 'orch_Zx3kQ9aB',
  user_id: `api-key-${KEY}`,
  roles: ['operator' as const],
  scopes: null,
  expires_at: WHEN,
  created_by: 'anna',
  created_at: WHEN,
  rotated_at: null,
  previous_valid_until: null,
  last_used_at: null,
  revoked_at: null,
};
export const apiKey = z.object(shown).meta({ id: 'ApiKey', example });
export const issuedApiKey = z
  .object({ ...shown, key: text.meta({ description: 'The key; it is shown only once' }) })
  .meta({
    id: 'IssuedApiKey',
    example: { ...example, key: 'orch_Zx3kQ9aB…' },
  });

export const apiKeyList = z
  .object({ items: z.array(apiKey), ...paging })
  .meta({ id: 'ApiKeyList', example: pageExample(apiKey) });
