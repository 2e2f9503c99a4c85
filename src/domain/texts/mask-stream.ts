/** Keeps secrets out of a text that comes in pieces: one may start in one piece and end in another. */
import { maskedParts, maskOf } from './mask-secrets.ts';

export interface MaskedText {
  /** What can be shown of all that was added and not yet taken; `all`: nothing more comes, so nothing is buffered. */
  take(all: boolean): string;
  add(text: string): void;
  /** Characters that wait. */
  size(): number;
}

/** At most `end`, and not between the halves of a character. */
export function endOfCharacter(text: string, end: number): number {
  const last = text.charCodeAt(end - 1);
  return end < 2 || Number.isNaN(last) || last < 0xd800 || last > 0xdbff ? Math.min(end, text.length) : end - 1;
}

export function maskText(secrets: readonly string[]): MaskedText {
  const parts = maskedParts(secrets);
  const mask = maskOf(secrets);
  const longest = parts[0]?.length ?? 0;
  let raw = '';

  /** Where the text may be cut: not within a secret, nor within what may become one. */
  function cut(): number {
    let at = Math.max(0, raw.length - Math.max(0, longest - 1));
    for (let moved = true; moved; ) {
      moved = false;
      for (const part of parts) {
        const begins = at === 0 ? -1 : raw.lastIndexOf(part, at - 1);
        if (begins < 0 || begins + part.length <= at) continue;
        at = begins;
        moved = true;
      }
    }
    return endOfCharacter(raw, at);
  }

  return {
    add(text) {
      raw += text;
    },
    size: () => raw.length,
    take(all) {
      const at = all ? raw.length : cut();
      const shown = mask(raw.slice(0, at));
      raw = raw.slice(at);
      return shown;
    },
  };
}
