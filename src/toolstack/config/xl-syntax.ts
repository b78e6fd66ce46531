/**
 * The syntax of xl's domain files (Xen 4.17, docs/man/xl.cfg.5.pod.in, "SYNTAX"): assignments that look like Python's.
 *
 *     # a comment
 *     name   = "guest"            a string, in either kind of quotes, with \n, \t, \\, \" and the like
 *     memory = 512                a number, decimal or 0x hexadecimal
 *     extra += " quiet"           appends to a string or a list of before
 *     vif    = [ 'bridge=br0',    a list; may go over several lines, and may end in a comma
 *                'bridge=br1', ]
 *     a = 1; b = 2                several assignments on a line
 *
 * A backslash at the end of a line continues it. What the keys mean is the business of `domain-config.ts`.
 */
import { oneLine, quoted } from '../quoted.ts';
import { ConfigError } from './error.ts';

export type XlValue = string | number | readonly XlValue[];

/** One key with its final value, and the place that gave it: `file:line`, or the word on the command line. */
export interface XlSetting {
  readonly key: string;
  readonly value: XlValue;
  readonly where: string;
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
  /(?<end>[\n;])|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![A-Za-z0-9_]))|(?<mark>\+=|[=[\],])/y;
/** Where the inside of a string may end. */
const STRING_STOP = /["'\\\n]/g;

/** Characters. xl's have a few hundred; whatever is larger was meant for something else. */
const LARGEST_FILE = 1 << 20;
/** No key wants more than three. */
const DEEPEST_LIST = 16;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0' };

/** Reads a domain file. `file` is what errors call it. Raises ConfigError. */
export function parseXlFile(text: string, file: string): XlSettings {
  if (text.length > LARGEST_FILE) {
    throw new ConfigError(
      file,
      `expected a configuration of at most ${LARGEST_FILE} characters, found ${text.length}`,
    );
  }
  const settings = new Map<string, XlSetting>();
  new Parser(tokenize(text, file), file).readAll(settings);
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
  return { key, value: literalOr(raw), where };
}

function literalOr(text: string): XlValue {
  try {
    return new Parser(tokenize(text, ''), '').readOnlyValue();
  } catch (error) {
    if (error instanceof ConfigError) return text;
    throw error;
  }
}

function tokenize(text: string, file: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (let at = 0; at < text.length; ) {
    const space = matchAt(SPACE, text, at)?.[0];
    if (space !== undefined) {
      at += space.length;
      if (space.endsWith('\n')) line++;
      continue;
    }
    const token = readString(text, at, line) ?? readWord(text, at, line);
    if (token === undefined) throw new ConfigError(`${file}:${line}`, unexpected(text.slice(at)));
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
function readString(text: string, start: number, line: number): Found | undefined {
  const quote = text[start];
  if (quote !== '"' && quote !== "'") return undefined;
  for (let at = start + 1; ; ) {
    STRING_STOP.lastIndex = at;
    const stop = STRING_STOP.exec(text);
    if (stop === null || stop[0] === '\n') return undefined;
    at = stop.index + 1;
    if (stop[0] === quote) return { kind: 'string', text: unquote(text.slice(start, at)), line, behind: at };
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

function unquote(literal: string): string {
  return literal.slice(1, -1).replace(/\\(.)/g, (_, escaped: string) => ESCAPES[escaped] ?? escaped);
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly file: string;
  private next = 0;
  private depth = 0;

  constructor(tokens: readonly Token[], file: string) {
    this.tokens = tokens;
    this.file = file;
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
    const where = `${this.file}:${name.line}`;
    const before = settings.get(name.text);
    if (operator.text === '+=' && before !== undefined) value = append(before.value, value, where, name.text);
    settings.set(name.text, { key: name.text, value, where });
  }

  private readValue(): XlValue {
    const token = this.peek();
    if (token.kind === 'string') {
      this.next++;
      return token.text;
    }
    if (token.kind === 'number') {
      this.next++;
      return token.text.startsWith('-') ? -Number(token.text.slice(1)) : Number(token.text);
    }
    if (token.kind === 'mark' && token.text === '[') return this.readList();
    throw this.error('a number, a quoted string or a list');
  }

  private readList(): XlValue[] {
    if (++this.depth > DEEPEST_LIST) {
      throw new ConfigError(
        `${this.file}:${this.peek().line}`,
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
    return new ConfigError(`${this.file}:${line}`, `expected ${expected}, found ${found}`);
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
