/** `http_request`: calls a URL and gives back status, headers and body. */
import { z } from 'zod';
import {
  anyJson,
  defineAdapter,
  expectOk,
  headerTexts,
  readBody,
  requestHeaders,
  requestMethod,
  requestQuery,
  withQuery,
} from '../adapter.ts';

export const httpRequest = defineAdapter({
  type: 'http_request',
  aliases: ['external_api_call'],
  description: 'Calls a URL. 408, 425, 429, 5xx and network faults are tried again, other 4xx are not.',
  config: z
    .strictObject({
      url: z
        .url({ protocol: /^https?$/ })
        .meta({ description: 'http or https', examples: ['https://example.com/items'] }),
      method: requestMethod.optional().meta({ description: 'Default: POST with a body, else GET' }),
      headers: requestHeaders.optional(),
      query: requestQuery.optional(),
      json: anyJson.optional().meta({ description: 'Sent as JSON' }),
      body: anyJson.optional().meta({ description: 'A text is sent as it is, anything else as JSON' }),
      expect: z.enum(['json', 'text']).optional().meta({ description: 'Default: what the answer says it is' }),
    })
    .refine(({ body, json }) => body === undefined || json === undefined, {
      error: 'body and json exclude each other',
      path: ['json'],
    }),
  sendsByFetchAlone: () => true,
  output: z.object({ status: z.int(), headers: z.record(z.string(), z.string()), body: anyJson }),
  async run({ url, method, headers, query, json, body, expect }, { fetch, signal }) {
    const asJson = json !== undefined || (body !== undefined && typeof body !== 'string');
    const payload = asJson ? JSON.stringify(json ?? body) : body;
    const answer = await fetch(withQuery(new URL(url), query), {
      method: method ?? (payload === undefined ? 'GET' : 'POST'),
      headers: { ...(asJson ? { 'content-type': 'application/json' } : {}), ...headerTexts(headers) },
      ...(typeof payload === 'string' ? { body: payload } : {}),
      signal,
    });
    const what = new URL(url).origin;
    await expectOk(answer, what);
    return { status: answer.status, headers: answer.headers, body: await readBody(answer, expect ?? 'auto', what) };
  },
});
