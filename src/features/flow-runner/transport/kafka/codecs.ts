/**
 * Reads batches that producers have compressed with snappy, lz4 or zstd, which kafkajs leaves to others; it knows gzip itself. What
 * this service publishes is not compressed.
 */
import { decompress as zstd } from 'fzstd';
import kafkajs from 'kafkajs';
import lz4 from 'lz4js';
import snappy from 'snappyjs';

/** A batch is larger than what a broker takes by far when it is larger than this: its writer means harm. */
const MAX_BATCH_BYTES = 256 * 1024 * 1024;

/** Of the Java client: this, two versions, and then blocks with their lengths before them (xerial). */
const XERIAL = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00]);
const XERIAL_HEADER_BYTES = 16;
const LENGTH_BYTES = 4;

export function readEveryCompression(): void {
  const { CompressionCodecs, CompressionTypes } = kafkajs;
  const codec = (decompress: (batch: Buffer) => Uint8Array) => () => ({
    compress: () => Promise.reject(new Error('messages are published without this compression')),
    decompress: async (batch: Buffer) => Buffer.from(decompress(batch)),
  });
  CompressionCodecs[CompressionTypes.Snappy] = codec(readSnappy);
  CompressionCodecs[CompressionTypes.LZ4] = codec((batch) => lz4.decompress(batch));
  CompressionCodecs[CompressionTypes.ZSTD] = codec((batch) => zstd(batch));
}

export function readSnappy(batch: Buffer): Uint8Array {
  if (!batch.subarray(0, XERIAL.length).equals(XERIAL)) return snappy.uncompress(batch, MAX_BATCH_BYTES);
  const blocks: Uint8Array[] = [];
  let at = XERIAL_HEADER_BYTES;
  while (at < batch.length) {
    const length = batch.readUInt32BE(at);
    const from = at + LENGTH_BYTES;
    blocks.push(snappy.uncompress(batch.subarray(from, from + length), MAX_BATCH_BYTES));
    at = from + length;
  }
  return Buffer.concat(blocks);
}
