/** What others get of a message that could not be taken in. */
import type { MessageHeaders, OutgoingMessage } from '../transport/ports.ts';
import type { Poison } from './ports.ts';

/** What a broker adds to key, value and headers, generously. */
const OVERHEAD_BYTES = 512;
/** Of an error that does not fit otherwise. */
const SHORT_ERROR_CHARACTERS = 500;

export interface DeadLetterLimits {
  topic: string;
  maxBytes: number;
}

/** An original that does not fit beside the rest is left out: the row has it. */
export function poisonMessage(
  { message, code, error }: Poison,
  { topic, maxBytes }: DeadLetterLimits,
): OutgoingMessage {
  const { partition, offset, key, value, headers } = message;
  const head = { code, topic: message.topic, partition, offset };
  const original = value === null ? null : value.toString('base64');
  const write = (text: string, shown: MessageHeaders, base64: string | null) =>
    JSON.stringify({
      error: text,
      ...head,
      headers: shown,
      original_base64: base64,
      original_bytes: value?.length ?? 0,
    });
  const room = maxBytes - OVERHEAD_BYTES - Buffer.byteLength(key ?? '');
  const fits = (text: string) => Buffer.byteLength(text) <= room;
  let text = original !== null && original.length > room ? '' : write(error, headers, original);
  if (text === '' || !fits(text)) text = write(error, headers, null);
  if (!fits(text)) text = write(error.slice(0, SHORT_ERROR_CHARACTERS), {}, null);
  return { topic, key: key ?? `${message.topic}/${partition}/${offset}`, value: text, headers: {} };
}
