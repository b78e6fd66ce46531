/**
 * The wire protocol of xenstore: message numbers, the header, errors by name, strings in payloads.
 *
 * This is the bottom of the folder; nothing here knows what a message means. Numbers and limits follow Xen's
 * public header io/xs_wire.h, the payloads docs/misc/xenstore.txt.
 *
 *     struct xsd_sockmsg { u32 type; u32 req_id; u32 tx_id; u32 len; }  then `len` bytes of payload
 *
 * Strings are bytes: each byte becomes the character of the same number and back, so a token or a leaf name
 * survives whatever it holds. Values stay bytes.
 */
import { quoted } from '../quoted.ts';

export const MessageType = {
  CONTROL: 0,
  DIRECTORY: 1,
  READ: 2,
  GET_PERMS: 3,
  WATCH: 4,
  UNWATCH: 5,
  TRANSACTION_START: 6,
  TRANSACTION_END: 7,
  INTRODUCE: 8,
  RELEASE: 9,
  GET_DOMAIN_PATH: 10,
  WRITE: 11,
  MKDIR: 12,
  RM: 13,
  SET_PERMS: 14,
  WATCH_EVENT: 15,
  ERROR: 16,
  IS_DOMAIN_INTRODUCED: 17,
  RESUME: 18,
  SET_TARGET: 19,
  RESET_WATCHES: 21,
  DIRECTORY_PART: 22,
} as const;

export const HEADER_BYTES = 16;
/** A longer payload, either way, kills the connection. */
export const PAYLOAD_MAX = 4096;
/** Longest absolute path, in bytes. */
export const ABSOLUTE_PATH_MAX = 3072;
/** Longest path below a domain's own directory, in bytes. */
export const RELATIVE_PATH_MAX = 2048;

/** The errors that exist on the wire, in the header's order. */
export const ERROR_NAMES = [
  'EINVAL',
  'EACCES',
  'EEXIST',
  'EISDIR',
  'ENOENT',
  'ENOMEM',
  'ENOSPC',
  'EIO',
  'ENOTEMPTY',
  'ENOSYS',
  'EROFS',
  'EBUSY',
  'EAGAIN',
  'EISCONN',
  'E2BIG',
  'EPERM',
] as const;

export type ErrorName = (typeof ERROR_NAMES)[number];

/** A request that xenstore refuses. On the wire only the name travels; the message is for people. */
export class XenstoreError extends Error {
  readonly errorName: ErrorName;

  constructor(errorName: ErrorName, detail: string) {
    super(`${errorName}: ${detail}`);
    this.name = 'XenstoreError';
    this.errorName = errorName;
  }
}

/** The peer broke the framing, after which no byte of the stream can be trusted. */
export class ProtocolError extends Error {
  constructor(length: number) {
    super(`a xenstore payload holds at most ${PAYLOAD_MAX} bytes, the header announces ${length}`);
    this.name = 'ProtocolError';
  }
}

export interface Message {
  readonly type: number;
  readonly requestId: number;
  readonly transactionId: number;
  readonly payload: Uint8Array;
}

/** One message as bytes. */
export function encodeMessage(message: Message): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + message.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, message.type, true);
  view.setUint32(4, message.requestId, true);
  view.setUint32(8, message.transactionId, true);
  view.setUint32(12, message.payload.length, true);
  bytes.set(message.payload, HEADER_BYTES);
  return bytes;
}

/** Puts messages together from a byte stream. Holds at most one unfinished message. */
export class MessageReader {
  private readonly header = new Uint8Array(HEADER_BYTES);
  private readonly view = new DataView(this.header.buffer);
  private payload: Uint8Array | null = null;
  private filled = 0;

  /** The message that the last `take` completed, else null. */
  message: Message | null = null;

  /**
   * Takes bytes up to the end of one message and says how many it took; `message` then holds it if it is
   * complete. Raises ProtocolError for a payload that is announced too long.
   */
  take(bytes: Uint8Array): number {
    this.message = null;
    let taken = 0;
    if (this.payload === null) {
      taken = Math.min(bytes.length, HEADER_BYTES - this.filled);
      this.header.set(bytes.subarray(0, taken), this.filled);
      this.filled += taken;
      if (this.filled < HEADER_BYTES) return taken;
      const length = this.view.getUint32(12, true);
      if (length > PAYLOAD_MAX) throw new ProtocolError(length);
      this.payload = new Uint8Array(length);
      this.filled = 0;
    }
    const payload = this.payload;
    const rest = Math.min(bytes.length - taken, payload.length - this.filled);
    payload.set(bytes.subarray(taken, taken + rest), this.filled);
    this.filled += rest;
    if (this.filled === payload.length) {
      this.message = {
        type: this.view.getUint32(0, true),
        requestId: this.view.getUint32(4, true),
        transactionId: this.view.getUint32(8, true),
        payload,
      };
      this.reset();
    }
    return taken + rest;
  }

  /** Forgets an unfinished message. */
  reset(): void {
    this.payload = null;
    this.filled = 0;
  }
}

/** Bytes to text, one character a byte. */
export function bytesToText(bytes: Uint8Array): string {
  let text = '';
  // In pieces: an argument list has a limit, and a directory may be long.
  for (let at = 0; at < bytes.length; at += 4096) {
    text += String.fromCharCode(...bytes.subarray(at, at + 4096));
  }
  return text;
}

/** The inverse of `bytesToText`; a character above 255 loses its high bits. */
export function textToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** Strings as a payload, each followed by a nul. */
export function encodeStrings(strings: readonly string[]): Uint8Array {
  return textToBytes(strings.map((string) => `${string}\0`).join(''));
}

/** The nul-terminated strings of a payload; bytes after the last nul do not count. */
export function decodeStrings(payload: Uint8Array): string[] {
  const strings = bytesToText(payload).split('\0');
  strings.pop();
  return strings;
}

/** The only string of a payload that must be one nul-terminated string. Raises EINVAL otherwise. */
export function decodeOneString(payload: Uint8Array): string {
  const nul = payload.indexOf(0);
  if (nul < 0 || nul !== payload.length - 1) {
    throw new XenstoreError('EINVAL', 'expected one nul-terminated string as the payload');
  }
  return bytesToText(payload.subarray(0, nul));
}

/** A decimal number from 0 to `limit`. Raises EINVAL otherwise. */
export function decodeNumber(text: string, limit: number): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (!(value <= limit))
    throw new XenstoreError('EINVAL', `expected a number from 0 to ${limit}, found ${quoted(text)}`);
  return value;
}
