/** Libraries that come without types. */
declare module 'lz4js' {
  /** Of a whole frame. */
  const lz4: { decompress(frame: Uint8Array): Uint8Array };
  export = lz4;
}

declare module 'snappyjs' {
  /** Throws when it would be longer than that. */
  const snappy: { uncompress(compressed: Uint8Array, maxLength?: number): Uint8Array };
  export = snappy;
}
