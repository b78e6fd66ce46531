/**
 * The syntax of xl's domain files (Xen 4.17, docs/man/xl.cfg.5.pod.in, "SYNTAX"; tools/libs/util/libxlu_cfg_l.l):
 * assignments that look like Python's.
 *
 *     # a comment
 *     name   = "guest"            a string, in either kind of quotes, with \n, \t, \\, \", \x41, \101 and the like
 *     memory = 512                a number: a string like any other, until somebody wants a number of it
 *     extra += " quiet"           appends to a string or a list of before
 *     vif    = [ 'bridge=br0',    a list; may go over several lines, and may end in a comma
 *                'bridge=br1', ]
 *     a = 1; b = 2                several assignments on a line
 *
 * A backslash at the end of a line continues it. What the keys mean is the business of `domain-config.ts`.
 */
import { oneLine, quoted } from '../quoted.ts';
import { ConfigError } from './error.ts';

/** A number is the text that was written: xl has one kind of single value. */
export type XlValue = string | readonly XlValue[];

/** One key with its final value, and the place that gave it: `file:line`, or the word on the command line. */
export interface XlSetting {
  readonly key: string;
  readonly value: XlValue;
  readonly where: string;
  /** Given by +=, in which xl takes no numbers. */
  readonly appended?: boolean;
}

export type XlSettings = ReadonlyMap<string, XlSetting>;

interface Token {
  readonly kind: 'name' | 'number' | 'string' | 'mark' | 'end';
  /** The text as written; of a string, what it stands for. */
  readonly text: string;
  readonly line: number;
}

/**
 * A pattern repeats single characters only: a repeated group would take a piece of the engine's stack for each round,
 * and a file may have a million of them. So strings are scanned by hand.
 */
const SPACE = /[ \t\r]+|\\\r?\n|#[^\n]*/y;
const WORD =
  /(?<end>[\n;])|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<number>[0-9][0-9a-fA-FxX]*(?![A-Za-z0-9_]))|(?<mark>\+=|[=[\],])/y;
/** Where the inside of a string may end. */
const STRING_STOP = /["'\\\n]/g;

/** Characters. xl's have a few hundred; whatever is larger was meant for something else. */
const LARGEST_FILE = 1 << 20;
/** No key wants more than three. */
const DEEPEST_LIST = 16;

const ESCAPES: Readonly<Record<string, string>> = {
  ...{ '\\\\': '\\', '\\"': '"', "\\'": "'" },
  ...{ '\\a': '\x07', '\\b': '\b', '\\f': '\f', '\\n': '\n', '\\r': '\r', '\\t': '\t', '\\v': '\v' },
};
/** The pieces of a string's inside; the last is an escape that is none. */
const PIECES = /[^\\]+|\\x[0-9a-fA-F]{2}|\\[0-7]{1,3}|\\[\ud800-\udbff][\udc00-\udfff]|\\./gs;

/** Reads a domain file. `file` is what errors call it. Raises ConfigError. */
export function parseXlFile(text: string, file: string): XlSettings {
  if (text.length > LARGEST_FILE) {
    throw new ConfigError(
      file,
      `expected a configuration of at most ${LARGEST_FILE} characters, found ${text.length}`,
    );
  }
  const settings = new Map<string, XlSetting>();
  const place = (line: number) => `${file}:${line}`;
  new Parser(tokenize(text, place), place).readAll(settings);
  return settings;
}

/**
 * Reads one `key=value` of a command line, as `xl create` takes them. A value that is no number, string or list in the
 * file's syntax is taken as the string that it is, for a shell has eaten its quotes. Raises ConfigError.
 */
export function parseXlOverride(text: string): XlSetting {
  const [, key, raw] = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/s.exec(text) ?? [];
  const where = oneLine(text);
  if (key === undefined) throw new ConfigError(where, 'expected key=value');
  return { key, value: literalOr(raw, where), where };
}

function literalOr(text: string, where: string): XlValue {
  try {
    const place = () => where;
    return new Parser(tokenize(text, place), place).readOnlyValue();
  } catch (error) {
    // Whoever wrote quotes for us meant a string, and shall hear what is wrong with it.
    const meant = error instanceof EscapeError && /^["']/.test(text);
    if (error instanceof ConfigError && !meant) return text;
    throw error;
  }
}

/** What errors call a line. */
type Place = (line: number) => string;

class EscapeError extends ConfigError {}

function tokenize(text: string, place: Place): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const space = matchAt(SPACE, text, at)?.[0];
    if (space !== undefined) {
      at += space.length;
      if (space.endsWith('\n')) line++;
      continue;
    }
    const token = readString(text, at, line, place) ?? readWord(text, at, line);
    if (token === undefined) throw new ConfigError(place(line), unexpected(text.slice(at)));
    tokens.push(token);
    at = token.behind;
    if (text[at - 1] === '\n') line++;
  }
  tokens.push({ kind: 'end', text: 'the end of the file', line });
  return tokens;
}

/** `behind` is where the text goes on. */
type Found = Token & { readonly behind: number };

function readWord(text: string, at: number, line: number): Found | undefined {
  const match = matchAt(WORD, text, at);
  if (match === null) return undefined;
  const { end, name, number } = match.groups!;
  const word = match[0];
  const behind = at + word.length;
  if (end !== undefined)
    return { kind: 'end', text: end === '\n' ? 'the end of the line' : end, line, behind };
  return {
    kind: name !== undefined ? 'name' : number !== undefined ? 'number' : 'mark',
    text: word,
    line,
    behind,
  };
}

/** Undefined if there is no string, or none that ends in its line. */
function readString(text: string, start: number, line: number, place: Place): Found | undefined {
  const quote = text[start];
  if (quote !== '"' && quote !== "'") return undefined;
  for (let at = start + 1; ; ) {
    STRING_STOP.lastIndex = at;
    const stop = STRING_STOP.exec(text);
    if (stop === null || stop[0] === '\n') return undefined;
    at = stop.index + 1;
    if (stop[0] === quote) {
      const inside = text.slice(start + 1, stop.index);
      return { kind: 'string', text: unescaped(inside, place(line)), line, behind: at };
    }
    // What is behind a backslash ends nothing, but a line.
    if (stop[0] === '\\' && text[at] !== '\n') at++;
  }
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

function unexpected(rest: string): string {
  if (/^["']/.test(rest)) return 'a string is not closed before the end of its line';
  return `unexpected ${quoted(/^\S*/.exec(rest)![0].slice(0, 20) || rest[0]!)}`;
}

/**
 * The inside of a string with its escapes replaced; those by number are bytes of UTF-8. (libxlu_cfg.c:
 * xlu__cfgl_dequote. That one, in fact, refuses every \x and drops what is octal, which nobody can have wanted; here they
 * are what it calls them in its errors.)
 */
function unescaped(inside: string, where: string): string {
  if (!inside.includes('\\')) return inside;
  const parts: string[] = [];
  let bytes: number[] = [];
  const flush = () => {
    if (bytes.length > 0) parts.push(utf8(bytes, where));
    bytes = [];
  };
  for (const [piece] of inside.matchAll(PIECES)) {
    if (/^\\(x.|[0-7])/.test(piece)) {
      bytes.push(byteOf(piece, where));
    } else {
      flush();
      parts.push(piece.startsWith('\\') ? escaped(piece, where) : piece);
    }
  }
  flush();
  return parts.join('');
}

function escaped(piece: string, where: string): string {
  if (piece === '\\x') throw new EscapeError(where, 'an escape \\x without two hexadecimal digits');
  const char = ESCAPES[piece];
  if (char !== undefined) return char;
  const known = Object.keys(ESCAPES).join(' ');
  throw new EscapeError(
    where,
    `there is no escape ${oneLine(piece)} in a string; expected one of ${known}, \\xHH or \\OOO`,
  );
}

function byteOf(piece: string, where: string): number {
  const byte = piece[1] === 'x' ? Number.parseInt(piece.slice(2), 16) : Number.parseInt(piece.slice(1), 8);
  if (byte > 0xff) throw new EscapeError(where, `an escape ${piece} that is no byte`);
  if (byte === 0) throw new EscapeError(where, `an escape ${piece} that would end the string`);
  return byte;
}

function utf8(bytes: readonly number[], where: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes));
  } catch {
    throw new EscapeError(where, 'a string whose escapes are not UTF-8');
  }
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly place: Place;
  private next = 0;
  private depth = 0;

  constructor(tokens: readonly Token[], place: Place) {
    this.tokens = tokens;
    this.place = place;
  }

  readAll(settings: Map<string, XlSetting>): void {
    while (this.next < this.tokens.length) {
      if (this.peek().kind === 'end') this.next++;
      else this.readAssignment(settings);
    }
  }

  /** The whole input is one value. */
  readOnlyValue(): XlValue {
    const value = this.readValue();
    if (this.next !== this.tokens.length - 1) throw this.error('the end');
    return value;
  }

  private readAssignment(settings: Map<string, XlSetting>): void {
    const name = this.peek();
    if (name.kind !== 'name') throw this.error('a key');
    this.next++;
    const operator = this.peek();
    if (operator.text !== '=' && operator.text !== '+=') throw this.error(`= after ${oneLine(name.text)}`);
    this.next++;
    let value = this.readValue();
    if (this.peek().kind !== 'end') throw this.error(`the end of the line after ${oneLine(name.text)}`);
    const where = this.place(name.line);
    const before = settings.get(name.text);
    const appended = operator.text === '+=';
    if (appended && before !== undefined) value = append(before.value, value, where, name.text);
    settings.set(name.text, { key: name.text, value, where, ...(appended && { appended }) });
  }

  private readValue(): XlValue {
    const token = this.peek();
    if (token.kind === 'string' || token.kind === 'number') {
      this.next++;
      return token.text;
    }
    if (token.kind === 'mark' && token.text === '[') return this.readList();
    throw this.error('a number, a quoted string or a list');
  }

  private readList(): XlValue[] {
    if (++this.depth > DEEPEST_LIST) {
      throw new ConfigError(
        this.place(this.peek().line),
        `expected lists at most ${DEEPEST_LIST} deep, found a deeper one`,
      );
    }
    const values = this.readItems();
    this.depth--;
    return values;
  }

  private readItems(): XlValue[] {
    this.next++;
    const values: XlValue[] = [];
    for (;;) {
      this.skipLines();
      if (this.take(']')) return values;
      values.push(this.readValue());
      this.skipLines();
      if (this.take(']')) return values;
      if (!this.take(',')) throw this.error(', or ] in a list');
    }
  }

  private take(mark: string): boolean {
    if (this.peek().kind !== 'mark' || this.peek().text !== mark) return false;
    this.next++;
    return true;
  }

  private skipLines(): void {
    while (this.peek().kind === 'end' && this.next < this.tokens.length - 1) this.next++;
  }

  private peek(): Token {
    return this.tokens[this.next]!;
  }

  private error(expected: string): ConfigError {
    const { kind, text, line } = this.peek();
    const found = kind === 'string' ? quoted(text) : oneLine(text);
    return new ConfigError(this.place(line), `expected ${expected}, found ${found}`);
  }
}

function append(before: XlValue, value: XlValue, where: string, key: string): XlValue {
  if (typeof before === 'string' && typeof value === 'string') return before + value;
  if (Array.isArray(before) && Array.isArray(value)) {
    // In place, for a list that grows by a word at a time: each was made by this parser for this key.
    for (const item of value) before.push(item);
    return before;
  }
  throw new ConfigError(where, `${oneLine(key)}: += joins two strings or two lists`);
}
