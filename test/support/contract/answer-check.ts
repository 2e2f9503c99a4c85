/**
 * Compares answers of the API with its OpenAPI document: the status is listed, so is the content type, and a JSON body fits
 * its schema, which for a problem limits the code too.
 */
import { type ApiDocument, createFaultsAt, resolved, step, wordsOf } from './document.ts';

export interface AnswerSeen {
  method: string;
  /** Without the query. */
  path: string;
  status: number;
  /** Null: there was none. */
  contentType: string | null;
  /** Undefined: not read, as of a stream. */
  text: string | undefined;
}

/** What is not as described; undefined: all is, or the path is that of no operation. */
export type AnswerCheck = (answer: AnswerSeen) => string | undefined;

interface Template {
  path: string;
  pattern: RegExp;
}

const MAX_SHOWN = 600;

export function createAnswerCheck(document: ApiDocument, faultsAt = createFaultsAt(document)): AnswerCheck {
  const templates = Object.keys(document.paths).map(templateOf).sort(fixedWordsFirst);
  return (answer) => {
    const { status, contentType, text } = answer;
    const template = templates.find(({ pattern }) => pattern.test(answer.path));
    // HEAD is answered as GET is, without a body.
    const method = answer.method === 'HEAD' ? 'get' : answer.method.toLowerCase();
    const found = template && document.paths[template.path]?.[method];
    // By HTTP nothing is served where a WebSocket is.
    const operation = found?.['x-websocket'] === undefined ? found : undefined;
    const ofNone = document['x-responses-of-no-operation'][`${status}`];
    const isOfNone = operation === undefined || (ofNone !== undefined && isUnread(text));
    if (isOfNone && ofNone === undefined) return undefined;

    const what = isOfNone
      ? `${answer.method} ${answer.path} answered ${status}`
      : `${operation.operationId} answered ${status}`;
    const response = isOfNone ? ofNone : operation.responses[`${status}`];
    if (response === undefined) return `${what}, which is not listed: ${excerpt(text)}`;
    const own = `#/paths/${step(template?.path ?? '')}/${method}/responses/${status}`;
    const { pointer, value } = resolved(document, response, own);
    const types = Object.keys(value.content ?? {});
    // A redirect has a short note for who does not follow it (RFC 9110, 15.4).
    if (status === 302) return undefined;
    if (types.length === 0)
      return isEmpty(text) ? undefined : `${what} with a body, which is not listed: ${excerpt(text)}`;
    if (answer.method === 'HEAD') return undefined;
    const type = (contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
    if (!types.includes(type)) return `${what} with '${type}' instead of ${types.join(' or ')}`;
    if (text === undefined || !/[/+]json$/.test(type)) return undefined;

    const faults = faultsAt(`${pointer}/content/${step(type)}/schema`, JSON.parse(text));
    if (faults.length === 0) return undefined;
    return `${what} with what does not fit its schema: ${wordsOf(faults)}: ${excerpt(text)}`;
  };
}

/** The HTTP parser rejected the request: not even its path is known. */
function isUnread(text = ''): boolean {
  return text.includes('"instance":""');
}

function templateOf(path: string): Template {
  const pattern = path.replaceAll(/[.]/g, '\\.').replaceAll(/\{\w+\}/g, '[^/]+');
  return { path, pattern: new RegExp(`^${pattern === '/' ? '' : pattern}/?$`) };
}

/** As the router has them: where two paths differ first, a fixed word comes before an id. */
function fixedWordsFirst(one: Template, other: Template): number {
  const key = ({ path }: Template) => path.replaceAll(/\{\w+\}/g, '\uffff');
  return key(one) < key(other) ? -1 : 1;
}

function isEmpty(text: string | undefined): boolean {
  return text === undefined || text === '';
}

function excerpt(text = 'a stream'): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
