/** `store_document`: saves a document with the service itself, for those who have no document store. */
import { z } from 'zod';
import { anyJson, defineAdapter, NonRetryableError } from '../../../workers/adapter.ts';

const MAX_BYTES = 1_048_576;

export const storeDocument = defineAdapter({
  type: 'store_document',
  description: 'Saves a document in the database of the service; one with the same id is replaced.',
  usesEngine: true,
  idempotent: true,
  config: z.strictObject({
    id: z.string().min(1).max(255).nullish().meta({ description: 'Default: one of the task' }),
    content: z
      .string()
      .refine((text) => Buffer.byteLength(text) <= MAX_BYTES, `must be at most ${MAX_BYTES} bytes`)
      .meta({ description: `At most ${MAX_BYTES} bytes` }),
    metadata: z.record(z.string(), anyJson).nullish(),
  }),
  output: z.object({ id: z.string(), content_hash: z.string(), created_at: z.string() }),
  async run({ id, content, metadata }, { engine }) {
    const platform = engine?.platform;
    if (platform === undefined) throw new NonRetryableError('documents are saved by the engine, which is not here');
    return platform.saveDocument({ id: id ?? undefined, content, metadata: metadata ?? undefined });
  },
});
