import { createRequire } from 'node:module';
import { expect, test } from 'vitest';
import { readSnappy } from '../../../../src/features/flow-runner/transport/kafka/codecs.ts';

const { compress } = createRequire(import.meta.url)('snappyjs') as { compress(bytes: Buffer): Buffer };

const TEXT = 'the same words again and again '.repeat(100);

test('snappy is read as it is, and in the blocks of the Java client', () => {
  const block = (text: string) => {
    const bytes = compress(Buffer.from(text));
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const header = Buffer.from('82534e41505059000000000100000001', 'hex');
  expect(Buffer.from(readSnappy(compress(Buffer.from(TEXT)))).toString()).toBe(TEXT);
  expect(Buffer.from(readSnappy(Buffer.concat([header, block(TEXT), block('end')]))).toString()).toBe(`${TEXT}end`);
});

test('a batch that says it is enormous is rejected before there is memory for it', () => {
  expect(() => readSnappy(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x07, 0x00]))).toThrow('too big');
});
