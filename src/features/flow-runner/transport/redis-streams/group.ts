/** The commands of one member of a consumer group on one stream, and what Redis answers, as messages. */
import { errorMessage } from '../../../../domain/texts/error-message.ts';
import type { IncomingMessage } from '../ports.ts';
import type { StreamsClient } from './client.ts';
import { messageOf, type RawEntry } from './entries.ts';
import { FORGET_CONSUMERS, RENEW } from './scripts.ts';

/** A consumer that has nothing and was not seen for so long has ended without saying so. */
const FORGET_MS = 3_600_000;
/** Longer than anybody waits before claiming. */
const ABANDONED_MS = 30 * 86_400_000;

export interface Membership {
  topic: string;
  group: string;
  /** The name of this consumer. */
  member: string;
}

export interface GroupMember {
  /**
   * Makes the group where there is none, and the stream with it: a group that begins at the end must be there before the first
   * entry. Resolves to whether it was made.
   */
  join(from: '$' | '0'): Promise<boolean>;
  /** Those that this member got and has not acknowledged, from the oldest on. */
  own(count: number): Promise<IncomingMessage[]>;
  /** Those of members that have not been heard of for so long. */
  claim(idleMs: number, count: number): Promise<IncomingMessage[]>;
  /** Waits for new ones for as long as that connection blocks. */
  read(blocking: StreamsClient, blockMs: number, count: number): Promise<IncomingMessage[]>;
  acknowledge(messages: readonly IncomingMessage[]): Promise<void>;
  /** Resolves to the offsets of those that this member still has. */
  renew(messages: readonly IncomingMessage[]): Promise<ReadonlySet<string>>;
  /** Others may claim them at once. */
  giveBack(messages: readonly IncomingMessage[]): Promise<void>;
  /** Removes consumers that have ended. */
  forgetEnded(): Promise<void>;
  leave(): Promise<void>;
}

export function createGroupMember(client: StreamsClient, { topic, group, member }: Membership): GroupMember {
  /** Where the claiming goes on: it reads a part of the open entries at a time. */
  let cursor = '0-0';

  /** An entry that was deleted can only be acknowledged. */
  async function messagesOf(entries: readonly RawEntry[]): Promise<IncomingMessage[]> {
    const deleted = entries.filter(([, fields]) => fields === null);
    if (deleted.length > 0) await client.call('XACK', topic, group, ...deleted.map(([id]) => id));
    return entries.filter(([, fields]) => fields !== null).map((entry) => messageOf(topic, entry));
  }

  const renewed = async (messages: readonly IncomingMessage[], idleMs: number) => {
    const offsets = messages.map(({ offset }) => offset);
    const mine = await client.call('EVAL', RENEW, 1, topic, group, member, idleMs, ...offsets);
    return new Set((mine as Buffer[]).map(String)); // The script returns ids.
  };
  const forget = (...args: Array<string | number>) => client.call('EVAL', FORGET_CONSUMERS, 1, topic, group, ...args);

  return {
    async join(from) {
      try {
        await client.call('XGROUP', 'CREATE', topic, group, from, 'MKSTREAM');
        return true;
      } catch (error) {
        if (errorMessage(error).startsWith('BUSYGROUP')) return false;
        throw error;
      }
    },
    async own(count) {
      const answer = await client.call('XREADGROUP', 'GROUP', group, member, 'COUNT', count, 'STREAMS', topic, '0');
      return messagesOf(entriesOf(answer));
    },
    async claim(idleMs, count) {
      const answer = await client.call('XAUTOCLAIM', topic, group, member, idleMs, cursor, 'COUNT', count);
      const [next, entries] = answer as [Buffer, Array<RawEntry | null>]; // What the command returns.
      cursor = next.toString();
      // Redis 6.2 has null for what was deleted.
      return messagesOf(entries.filter((entry) => entry !== null));
    },
    async read(blocking, blockMs, count) {
      const options = ['GROUP', group, member, 'COUNT', count, 'BLOCK', blockMs, 'STREAMS', topic, '>'];
      return messagesOf(entriesOf(await blocking.call('XREADGROUP', ...options)));
    },
    async acknowledge(messages) {
      await client.call('XACK', topic, group, ...messages.map(({ offset }) => offset));
    },
    renew: (messages) => renewed(messages, 0),
    async giveBack(messages) {
      if (messages.length > 0) await renewed(messages, ABANDONED_MS);
    },
    async forgetEnded() {
      await forget(FORGET_MS);
    },
    async leave() {
      await forget(0, member);
    },
  };
}

/** Of the one stream that was read; null: there was nothing. */
function entriesOf(answer: unknown): RawEntry[] {
  const [stream] = (answer ?? []) as Array<[Buffer, RawEntry[]]>; // What XREADGROUP returns.
  return stream?.[1] ?? [];
}
