/** Server-Sent Events, as the HTTP API writes them, read one by one. */

export interface SentEvent {
  /** Empty: it is no position. */
  id: string;
  event: string;
  data: string;
}

/** Comments and `retry` are passed over. */
export async function* sentEvents(chunks: AsyncIterable<string>): AsyncGenerator<SentEvent> {
  let rest = '';
  for await (const chunk of chunks) {
    rest += chunk;
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const fields = fieldsOf(block);
      const event = fields.get('event');
      const data = fields.get('data');
      if (event !== undefined && data !== undefined) yield { id: fields.get('id') ?? '', event, data };
    }
  }
}

function fieldsOf(block: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const at = line.indexOf(': ');
    if (at > 0) fields.set(line.slice(0, at), line.slice(at + 2));
  }
  return fields;
}
