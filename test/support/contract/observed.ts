/**
 * What tests have seen of the API that is not as its document says: answers, events of streams, messages of sockets. One
 * store for all files of tests in a process, although each loads its modules anew: to read the document takes a second.
 */
import { type AnswerCheck, createAnswerCheck } from './answer-check.ts';
import { createFaultsAt, type FaultsAt, readContract, wordsOf } from './document.ts';

interface Contract {
  check: AnswerCheck;
  faultsAt: FaultsAt;
  /** By the name of an event: the pointer to the schema of its data. */
  events: ReadonlyMap<string, string>;
  messages: string;
  /** Statuses with which the upgrade to a WebSocket is answered. */
  upgrades: ReadonlySet<string>;
}
interface Observed {
  wrong: Set<string>;
  contract: Contract | undefined;
}

const MARK = Symbol.for('what is compared with the document');
const place = globalThis as { [MARK]?: Observed };

function observed(): Observed {
  place[MARK] ??= { wrong: new Set(), contract: undefined };
  return place[MARK];
}

/** Read at the first use. */
export function contract(): Contract {
  const store = observed();
  store.contract ??= readAll();
  return store.contract;
}

function readAll(): Contract {
  const document = readContract();
  const faultsAt = createFaultsAt(document);
  const { responses } = operationAt('/workflows/executions/{execution_id}/events');
  const stream = responses['200']?.content?.['text/event-stream']?.['x-events'] ?? {};
  const socket = operationAt('/ws/task/{task_id}');
  return {
    check: createAnswerCheck(document, faultsAt),
    faultsAt,
    events: new Map(Object.entries(stream).map(([name, { $ref }]) => [name, $ref])),
    messages: socket['x-websocket']?.messages.$ref ?? '',
    upgrades: new Set(Object.keys(socket.responses)),
  };

  function operationAt(path: string) {
    const operation = document.paths[path]?.['get'];
    if (operation === undefined) throw new Error(`the document has no ${path}`);
    return operation;
  }
}

export function noteWrong(fault: string | undefined): void {
  if (fault !== undefined) observed().wrong.add(fault);
}

/** What was wrong since the last call. */
export function takeWrong(): string[] {
  const { wrong } = observed();
  const taken = [...wrong];
  wrong.clear();
  return taken;
}

/** An event of an event stream; those whose name is not listed are described together. */
export function noteEvent(name: string, data: unknown): void {
  const { events, faultsAt } = contract();
  const faults = faultsAt(events.get(name) ?? events.get('*') ?? '', data);
  if (faults.length > 0) noteWrong(`the event ${name}: ${wordsOf(faults)}: ${JSON.stringify(data)}`);
}

export function noteMessage(message: unknown): void {
  const { messages, faultsAt } = contract();
  const faults = faultsAt(messages, message);
  if (faults.length > 0) noteWrong(`a message of a socket: ${wordsOf(faults)}: ${JSON.stringify(message)}`);
}

export function noteUpgrade(status: number): void {
  if (!contract().upgrades.has(`${status}`)) noteWrong(`an upgrade was answered ${status}, which is not listed`);
}
