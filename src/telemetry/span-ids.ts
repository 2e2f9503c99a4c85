/** Span ids of W3C Trace Context: 8 random bytes in hex. Random bytes for many are drawn at a time. */
import { randomFillSync } from 'node:crypto';

const BYTES = 8;
const IDS_AT_A_TIME = 512;

export function createSpanIds(): () => string {
  const random = Buffer.alloc(BYTES * IDS_AT_A_TIME);
  let at = random.length;
  return () => {
    if (at === random.length) {
      randomFillSync(random);
      at = 0;
    }
    at += BYTES;
    return random.toString('hex', at - BYTES, at);
  };
}
