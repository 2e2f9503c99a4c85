/** The settings as an operator may see them. */
import { z } from 'zod';
import { json, text } from './answer-shapes.ts';

const source = z.string().meta({
  description:
    'Where the setting was found: `environment`, the file (`.env`, `config/orchestrator.yaml`, …), or `default`',
});
const foundAs = text.optional().meta({ description: 'The name under which it was found, if it is another one' });

export const effectiveSetting = z
  .object({
    value: json.meta({ description: '`***` for a secret that is set, null for a setting that is not set' }),
    source,
    found_as: foundAs,
  })
  .meta({ id: 'EffectiveSetting' });

export const effectiveConfig = z
  .object({
    settings: z.record(text, effectiveSetting),
    services: z
      .record(text, z.object({ url: text, source, found_as: foundAs }))
      .meta({ description: 'Services that `service_call` finds by name because of the configuration' }),
    secrets: z
      .record(text, z.object({ source, found_as: foundAs }))
      .meta({ description: 'Names that templates may use; never the values' }),
    without_effect: z
      .record(text, text)
      .meta({ description: 'Settings that have no effect in this version, with the reason' }),
  })
  .meta({
    id: 'EffectiveConfig',
    example: {
      settings: {
        PORT: { value: 5099, source: 'environment', found_as: 'FASTAPI_PORT' },
        API_KEY: { value: '***', source: '.env' },
        LOG_LEVEL: { value: 'info', source: 'config/orchestrator.yaml', found_as: 'monitoring.log_level' },
        WORKER_CONCURRENCY: { value: 50, source: 'default' },
      },
      services: { doc_store: { url: 'http://doc-store:5087', source: 'environment', found_as: 'DOC_STORE_URL' } },
      secrets: { TOKEN: { source: '/run/secrets' } },
      without_effect: { TEMPORAL_HOST: 'This service is its own engine and connects to no Temporal.' },
    },
  });

export type EffectiveConfig = z.infer<typeof effectiveConfig>;
export type EffectiveSetting = z.infer<typeof effectiveSetting>;
