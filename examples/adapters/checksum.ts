import { createHash } from 'node:crypto';
import { z } from 'zod';
import { assertOk, defineAdapter, NonRetryableError } from '../../workers/adapter.ts';

/** `checksum`: reads `url`, answers the SHA-256 (hex) and size in bytes of its body. */
export const checksum = defineAdapter({
  type: 'checksum',
  description: 'The SHA-256 of what a URL answers.',
  config: z.strictObject({ url: z.url(), max_bytes: z.int().positive().default(10_000_000) }),
  output: z.object({ sha256: z.string(), bytes: z.int() }),
  async run({ url, max_bytes }, { fetch, signal }) {
    // The context's fetch obeys the outbound policy; assertOk knows which statuses are retryable.
    const answer = assertOk(await fetch(url, { signal }));
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of answer.body ?? []) {
      bytes += chunk.length;
      if (bytes > max_bytes) throw new NonRetryableError(`${url} exceeds ${max_bytes} bytes`);
      hash.update(chunk);
    }
    return { sha256: hash.digest('hex'), bytes };
  },
});
