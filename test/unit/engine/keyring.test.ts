import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { createKeyring, isEnvelope, type Keyring } from '../../../src/engine/keyring.ts';

const key = () => randomBytes(32).toString('base64');
const old = key();
const fresh = key();
const SECRET = 'correct-horse-battery-staple';
const OF = ['secret', 'tenant', 'NAME', '1'];

function ringOf(...keys: string[]): Keyring {
  const ring = createKeyring(keys);
  if (ring === undefined) throw new Error('there are keys');
  return ring;
}

test('without keys there is no keyring', () => {
  expect(createKeyring([])).toBeUndefined();
});

describe('an envelope', () => {
  test('gives back what was sealed, shows nothing of it, and is another one each time', () => {
    const ring = ringOf(fresh);
    const [one, other] = [ring.seal(SECRET, OF), ring.seal(SECRET, OF)];
    expect(ring.open(one, OF)).toBe(SECRET);
    expect(ring.open(ring.seal('', OF), OF)).toBe('');
    expect(ring.open(ring.seal('ü\u0000😀', OF), OF)).toBe('ü\u0000😀');
    expect(one).not.toBe(other);
    expect(isEnvelope(one)).toBe(true);
    for (const text of [SECRET, Buffer.from(SECRET).toString('base64url').slice(0, 20)])
      expect(one).not.toContain(text);
  });

  test('opens for what it was sealed for and for nothing else', () => {
    const ring = ringOf(fresh);
    const envelope = ring.seal(SECRET, OF);
    const others = [
      ['secret', 'another', 'NAME', '1'],
      ['secret', 'tenant', 'OTHER', '1'],
      ['secret', 'tenant', 'NAME', '2'],
      ['secret', 'tenant,NAME', '1'],
      ['webhook', 'tenant', 'NAME', '1'],
    ];
    for (const other of others)
      expect(() => ring.open(envelope, other)).toThrowError(expect.objectContaining({ code: 'unreadable_envelope' }));
  });

  test('that was changed anywhere, or cut, does not open', () => {
    const ring = ringOf(fresh);
    const envelope = ring.seal(SECRET, OF);
    const begins = `enc:v1:${ring.newest}:`.length;
    for (let at = begins; at < envelope.length; at += 1) {
      if (envelope[at] === ':') continue;
      // Another character in the middle of its alphabet: the last one of a part may stand for the same bytes.
      const next = envelope[at + 1];
      if (next === ':' || next === undefined) continue;
      const changed = `${envelope.slice(0, at)}${envelope[at] === 'A' ? 'B' : 'A'}${envelope.slice(at + 1)}`;
      expect(() => ring.open(changed, OF), String(at)).toThrowError(/encrypted for something else/);
    }
    for (const cut of ['enc:v1:', envelope.slice(0, -8), envelope.slice(0, 40), `${envelope}:more`, 'plain'])
      expect(() => ring.open(cut, OF)).toThrowError(expect.objectContaining({ code: 'unreadable_envelope' }));
  });

  test('of a key that is not listed says which key is missing', () => {
    const envelope = ringOf(old).seal(SECRET, OF);
    expect(() => ringOf(fresh).open(envelope, OF)).toThrowError(
      expect.objectContaining({ code: 'encryption_key_missing', message: expect.stringContaining(ringOf(old).newest) }),
    );
    expect(ringOf(fresh, old).open(envelope, OF)).toBe(SECRET);
  });

  test('is rewrapped under the newest key with the value as it is, once', () => {
    const envelope = ringOf(old).seal(SECRET, OF);
    const both = ringOf(fresh, old);
    const moved = both.rewrap(envelope, OF);
    expect(ringOf(fresh).open(moved, OF)).toBe(SECRET);
    expect(moved.split(':')[4]).toBe(envelope.split(':')[4]);
    expect(both.rewrap(moved, OF)).toBe(moved);
    expect(() => both.rewrap(envelope, ['secret', 'another', 'NAME', '1'])).toThrowError(/something else/);
  });
});
