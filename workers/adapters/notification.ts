/** `notification`: sends a message over one or more channels. */
import { createTransport } from 'nodemailer';
import { z } from 'zod';
import {
  type AdapterContext,
  anyJson,
  defineAdapter,
  expectOk,
  NonRetryableError,
  RetryableError,
} from '../adapter.ts';

const SMTP_TIMEOUT_MS = 10_000;

const config = z.strictObject({
  message: anyJson.meta({ description: 'A text; anything else is sent as JSON', examples: ['Done'] }),
  channels: z
    .array(z.enum(['log', 'console', 'webhook', 'slack', 'email']))
    .min(1)
    .max(10)
    .default(['log'])
    .meta({ description: 'console is an older name of log' }),
  title: z.string().max(500).optional().meta({ description: 'Subject of an e-mail, first line elsewhere' }),
  metadata: z.record(z.string(), anyJson).optional(),
  webhook_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Default: NOTIFICATION_WEBHOOK_URL' }),
  slack_webhook_url: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({ description: 'Default: SLACK_WEBHOOK_URL' }),
  to: z
    .union([z.email(), z.array(z.email()).min(1).max(50)])
    .optional()
    .meta({ description: 'Default: NOTIFICATION_EMAIL_TO' }),
});
const output = z.object({
  delivered: z.array(
    z.object({
      channel: z.enum(['log', 'webhook', 'slack', 'email']),
      status: z.int().optional(),
      message_id: z.string().optional(),
    }),
  ),
});
type Input = z.output<typeof config>;
type Delivered = z.output<typeof output>['delivered'][number];
type Send = () => Promise<Delivered>;

export const notification = defineAdapter({
  type: 'notification',
  description: 'Sends a message to the log, a webhook, Slack or by e-mail.',
  config,
  output,
  sendsByFetchAlone: (input) => {
    const channels = config.shape.channels.safeParse((input as { channels?: unknown } | null)?.channels);
    return channels.success && channels.data.every((channel) => channel === 'webhook' || channel === 'slack');
  },
  run: (input, context) => notify(input, context),
});

/** What sending takes of the context: the API sends links by the same channels. */
export type NotifyContext = Pick<
  AdapterContext,
  'log' | 'run' | 'setting' | 'fetch' | 'signal' | 'idempotencyKey' | 'now'
>;

export async function notify(input: Input, context: NotifyContext): Promise<{ delivered: Delivered[] }> {
  const channels = new Set(input.channels.map((channel) => (channel === 'console' ? 'log' : channel)));
  // Every channel is checked before the first one sends: what is not configured must not end half delivered.
  const sends = [...channels].map((channel) => prepare(channel, input, context));
  const delivered: Delivered[] = [];
  for (const send of sends) delivered.push(await send());
  return { delivered };
}

function prepare(channel: Delivered['channel'], input: Input, context: NotifyContext): Send {
  const { title, metadata } = input;
  const message = typeof input.message === 'string' ? input.message : JSON.stringify(input.message);
  switch (channel) {
    case 'log':
      return () => {
        context.log.info(message, {
          ...(title === undefined ? {} : { title }),
          ...(metadata === undefined ? {} : { metadata }),
        });
        return Promise.resolve({ channel });
      };
    case 'webhook': {
      const target = targetOf(channel, input, context);
      const { id, actionId } = context.run;
      const body = {
        message,
        title,
        metadata,
        execution_id: id,
        action_id: actionId,
        timestamp: context.now().toISOString(),
      };
      return () => post(channel, target, body, context);
    }
    case 'slack': {
      const target = targetOf(channel, input, context);
      return () => post(channel, target, { text: title === undefined ? message : `*${title}*\n${message}` }, context);
    }
    case 'email':
      return prepareEmail(input, message, context);
  }
}

const TARGETS = {
  webhook: { field: 'webhook_url', setting: 'NOTIFICATION_WEBHOOK_URL' },
  slack: { field: 'slack_webhook_url', setting: 'SLACK_WEBHOOK_URL' },
} as const;

/** An address from the definition goes through the outbound policy, one from the configuration is trusted. */
function targetOf(
  channel: keyof typeof TARGETS,
  input: Input,
  context: NotifyContext,
): { url: string; trusted: boolean } {
  const { field, setting } = TARGETS[channel];
  const fromDefinition = input[field];
  if (fromDefinition !== undefined) return { url: fromDefinition, trusted: false };
  const url = context.setting(setting);
  if (url !== undefined) return { url, trusted: true };
  throw notConfigured(channel, `give ${field} or set ${setting}`);
}

async function post(
  channel: 'webhook' | 'slack',
  { url, trusted }: { url: string; trusted: boolean },
  body: object,
  { fetch, signal, idempotencyKey }: NotifyContext,
): Promise<Delivered> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'Idempotency-Key': `${idempotencyKey}.${channel}` },
    body: JSON.stringify(body),
    signal,
    trusted,
  });
  await expectOk(answer, `the ${channel} channel`);
  return { channel, status: answer.status };
}

function prepareEmail(input: Input, message: string, { setting, signal, idempotencyKey }: NotifyContext): Send {
  const url = setting('SMTP_URL');
  const to = input.to ?? setting('NOTIFICATION_EMAIL_TO');
  if (url === undefined) throw notConfigured('email', 'set SMTP_URL');
  if (to === undefined) throw notConfigured('email', 'give to or set NOTIFICATION_EMAIL_TO');
  return async () => {
    const transport = createTransport({
      url,
      connectionTimeout: SMTP_TIMEOUT_MS,
      greetingTimeout: SMTP_TIMEOUT_MS,
      socketTimeout: SMTP_TIMEOUT_MS,
      disableFileAccess: true,
      disableUrlAccess: true,
    });
    try {
      const sent = await transport.sendMail({
        from: setting('SMTP_FROM') ?? 'orchestrator@localhost',
        to,
        subject: input.title ?? message.split('\n', 1)[0]?.slice(0, 100) ?? '',
        text: input.metadata === undefined ? message : `${message}\n\n${JSON.stringify(input.metadata, null, 2)}`,
        // The same for every attempt: a mail server or a reader can recognise a repetition.
        messageId: `<${idempotencyKey}@orchestrator>`,
        signal,
      });
      return { channel: 'email', message_id: sent.messageId };
    } catch (error) {
      signal.throwIfAborted();
      throw smtpError(error);
    } finally {
      transport.close();
    }
  };
}

function smtpError(error: unknown): RetryableError | NonRetryableError {
  const { message, permanent, responseCode } = error as { message: string; permanent?: boolean; responseCode?: number }; // nodemailer's errors
  const text = `the mail server could not take the message: ${message}`;
  if (permanent === true) return new NonRetryableError(text, { code: 'upstream_rejected', cause: error });
  return new RetryableError(text, {
    code: responseCode === undefined ? 'network_error' : 'upstream_error',
    cause: error,
  });
}

function notConfigured(channel: string, how: string): NonRetryableError {
  return new NonRetryableError(`the channel ${channel} is not configured: ${how}`, { code: 'input_invalid' });
}
