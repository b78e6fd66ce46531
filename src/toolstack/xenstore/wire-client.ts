/**
 * The other end of the wire, for tests: sends one request at a time over a Connection and decodes what comes
 * back.
 */

import type { Connection } from './connection.ts';
import {
  bytesToText,
  decodeStrings,
  encodeMessage,
  encodeStrings,
  type Message,
  MessageReader,
  MessageType,
} from './wire.ts';

export type MessageName = keyof typeof MessageType;

export class WireClient {
  readonly connection: Connection;
  /** Watch events that have come, as `path token`. */
  events: string[] = [];
  /** Answers that `request` has not taken. */
  readonly answers: Message[] = [];
  private readonly reader = new MessageReader();
  private readonly buffer = new Uint8Array(256);
  private lastRequest = 0;

  constructor(connection: Connection) {
    this.connection = connection;
    connection.onOutput = () => this.drain();
  }

  /** Sends a request, its payload as nul-terminated strings or as bytes, and gives the answer. */
  request(name: MessageName, payload: readonly string[] | Uint8Array, transactionId = 0): Message {
    const requestId = ++this.lastRequest;
    const bytes = payload instanceof Uint8Array ? payload : encodeStrings(payload);
    this.connection.receive(
      encodeMessage({ type: MessageType[name], requestId, transactionId, payload: bytes }),
    );
    const answer = this.answers.pop();
    if (answer?.requestId !== requestId) throw new Error(`request ${requestId} (${name}) was not answered`);
    if (answer.transactionId !== transactionId)
      throw new Error(`the answer to ${name} names another transaction`);
    return answer;
  }

  /** The strings of the answer, or the name of the error. */
  ask(name: MessageName, payload: readonly string[] | Uint8Array, transactionId = 0): string[] | string {
    const answer = this.request(name, payload, transactionId);
    const strings = decodeStrings(answer.payload);
    if (answer.type === MessageType.ERROR) return strings[0]!;
    if (answer.type !== MessageType[name]) throw new Error(`the answer to ${name} has type ${answer.type}`);
    return strings;
  }

  /** The value at a path, or the name of the error. */
  read(path: string, transactionId = 0): string {
    return bytesToText(this.request('READ', [path], transactionId).payload).replace(/\0$/, '');
  }

  /** `OK` or the name of the error. */
  write(path: string, value: string, transactionId = 0): string {
    const bytes = encodeStrings([path, value]).slice(0, -1);
    return String(this.ask('WRITE', bytes, transactionId));
  }

  /** The number of a new transaction. */
  begin(): number {
    return Number(this.ask('TRANSACTION_START', [''])[0]);
  }

  /** The events so far; the list starts anew. */
  takeEvents(): string[] {
    const { events } = this;
    this.events = [];
    return events;
  }

  private drain(): void {
    while (this.connection.pending) {
      let bytes = this.buffer.subarray(0, this.connection.pull(this.buffer));
      while (bytes.length > 0) {
        bytes = bytes.subarray(this.reader.take(bytes));
        const { message } = this.reader;
        if (message?.type === MessageType.WATCH_EVENT)
          this.events.push(decodeStrings(message.payload).join(' '));
        else if (message) this.answers.push(message);
      }
    }
  }
}
