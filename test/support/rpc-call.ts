/** Calls any RPC by its description, to its first message or its status. */
import { create, type DescMethod } from '@bufbuild/protobuf';
import { type CallOptions, ConnectError, type Transport } from '@connectrpc/connect';
import { messageFor } from './rpc-methods.ts';

export interface Outcome {
  /** Undefined: it went well. */
  error: ConnectError | undefined;
  /** The first one. */
  message: Record<string, unknown> | undefined;
}

export async function callOnce(
  transport: Transport,
  method: DescMethod,
  ids: Readonly<Record<string, string>> = {},
  { headers = {}, signal }: CallOptions & { headers?: Record<string, string> } = {},
): Promise<Outcome> {
  const init = messageFor(method, ids);
  const ended = new AbortController();
  const stop = AbortSignal.any([ended.signal, ...(signal === undefined ? [] : [signal])]);
  try {
    if (method.methodKind === 'unary') {
      const answer = await transport.unary(method as never, stop, undefined, headers, create(method.input, init));
      return { error: undefined, message: answer.message as never };
    }
    const once = (async function* () {
      yield create(method.input, init);
    })();
    const answer = await transport.stream(method as never, stop, undefined, headers, once as never);
    for await (const message of answer.message) return { error: undefined, message: message as never };
    return { error: undefined, message: undefined };
  } catch (error) {
    return { error: ConnectError.from(error), message: undefined };
  } finally {
    ended.abort();
  }
}
