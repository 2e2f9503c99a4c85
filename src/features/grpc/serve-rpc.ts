/** Serves calls beside HTTP: by gRPC (over HTTP/2), gRPC-Web, its form as text, and Connect. */

import type { Socket } from 'node:net';
import { createContextValues } from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { universalResponseToNodeResponse } from '@connectrpc/connect-node';
import { corsHeaders } from '../../http/middleware/cors.ts';
import type { OwnProtocol } from '../../http/server/http2.ts';
import type { RpcRequest, RpcResponse } from '../../http/server/server.ts';
import { CALL_ORIGIN } from './http-calls.ts';
import { type BodyForm, bodyFormOf, checkedBody } from './messages.ts';

interface RpcConfig {
  corsOrigins: readonly string[];
  bodyLimitBytes: number;
}

/** All paths of calls, and none of HTTP, start so. */
const PATH = /^\/(?:orchestrator|grpc)\./;
/** To send the whole request, as for HTTP; a client of reflection asks one thing after the other. */
const REQUEST_MS = 30_000;
const STREAM_MS = 600_000;
const GRPC_UNIMPLEMENTED = '12';
const TEXT_TYPE = 'application/grpc-web-text+proto';

export function createRpcProtocol(
  handlers: readonly UniversalHandler[],
  config: RpcConfig,
): OwnProtocol<RpcRequest, RpcResponse> {
  const byPath = new Map(handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response, carrier) => {
    if (request.method !== 'POST' || request.url === undefined || !PATH.test(request.url)) return false;
    const contentType = String(request.headers['content-type'] ?? '');
    const form = bodyFormOf(contentType);
    const handler = byPath.get(request.url.split('?', 1)[0] ?? '');
    // Everything else is answered as HTTP: a client of gRPC makes a status of that too.
    if (form === undefined) return false;
    if (handler === undefined) {
      if (!contentType.startsWith('application/grpc')) return false;
      response.writeHead(200, { 'content-type': contentType, 'grpc-status': GRPC_UNIMPLEMENTED });
      response.end();
      return true;
    }
    void serve({ request, response, carrier, form }, handler, config).catch(() => cutOff(response));
    return true;
  };
}

interface RpcCall {
  request: RpcRequest;
  response: RpcResponse;
  carrier: Socket;
  form: BodyForm;
}

async function serve(call: RpcCall, handler: UniversalHandler, config: RpcConfig): Promise<void> {
  const { request, response, form } = call;
  response.on('error', () => undefined);
  const unfinished = setTimeout(
    () => cutOff(response),
    handler.method.methodKind === 'bidi_streaming' ? STREAM_MS : REQUEST_MS,
  );
  unfinished.unref();
  request.once('end', () => clearTimeout(unfinished));
  response.once('close', () => clearTimeout(unfinished));
  for (const [name, value] of corsHeaders(config.corsOrigins, request.headers.origin)) response.setHeader(name, value);
  response.setHeader('cache-control', 'no-store');
  response.setHeader('x-content-type-options', 'nosniff');
  const answer = await handler(universalRequest(call, handler, config.bodyLimitBytes));
  await universalResponseToNodeResponse(form.text ? asText(answer) : answer, response);
}

function universalRequest(
  { request, response, carrier, form }: RpcCall,
  handler: UniversalHandler,
  limitBytes: number,
): UniversalServerRequest {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const contextValues = createContextValues();
  contextValues.set(CALL_ORIGIN, { carrier, headers: request.rawHeaders });
  return {
    httpVersion: request.httpVersion,
    method: 'POST',
    url: `http://localhost${handler.requestPath}`,
    header: headersOf(request, form),
    body: checkedBody(request as AsyncIterable<Buffer>, form, handler, limitBytes), // No encoding is set.
    signal: gone.signal,
    contextValues,
  };
}

function headersOf(request: RpcRequest, { text }: BodyForm): Headers {
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    if (value === undefined || name.startsWith(':')) continue;
    headers.set(name, Array.isArray(value) ? value.join(', ') : value);
  }
  if (text) headers.set('content-type', 'application/grpc-web+proto');
  return headers;
}

/** The messages and the trailers, each in base64. */
function asText(answer: UniversalServerResponse): UniversalServerResponse {
  const header = new Headers(answer.header);
  if (header.get('content-type')?.startsWith('application/grpc-web') === true) header.set('content-type', TEXT_TYPE);
  return { ...answer, header, ...(answer.body === undefined ? {} : { body: toBase64(answer.body) }) };
}

async function* toBase64(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const bytes of body) yield Buffer.from(Buffer.from(bytes).toString('base64'), 'latin1');
}

/** Nothing can be said any more: the client sees that the stream broke off. */
function cutOff(response: RpcResponse): void {
  if ('stream' in response) response.stream.destroy();
  else response.destroy();
}
