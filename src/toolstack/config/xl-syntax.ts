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
import { quoted } from '../quoted.ts';
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

const TOKENS =
  /(?<space>(?:[ \t\r]|\\\r?\n|#[^\n]*)+)|(?<end>[\n;])|(?<name>[A-Za-z_][A-Za-z0-9_]*)|(?<number>-?(?:0[xX][0-9a-fA-F]+|[0-9]+)(?![A-Za-z0-9_]))|(?<string>"(?:[^"\\\n]|\\[^\n])*"|'(?:[^'\\\n]|\\[^\n])*')|(?<mark>\+=|[=[\],])/y;

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0' };

/** Reads a domain file. `file` is what errors call it. Raises ConfigError. */
export function parseXlFile(text: string, file: string): XlSettings {
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
  if (key === undefined) throw new ConfigError(text, 'expected key=value');
  return { key, value: literalOr(raw), where: text };
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
  const pattern = new RegExp(TOKENS);
  while (pattern.lastIndex < text.length) {
    const start = pattern.lastIndex;
    const groups = pattern.exec(text)?.groups;
    if (groups === undefined) throw new ConfigError(`${file}:${line}`, unexpected(text.slice(start)));
    const { end, name, number, string, mark } = groups;
    if (end !== undefined)
      tokens.push({ kind: 'end', text: end === '\n' ? 'the end of the line' : end, line });
    else if (name !== undefined) tokens.push({ kind: 'name', text: name, line });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number, line });
    else if (string !== undefined) tokens.push({ kind: 'string', text: unquote(string), line });
    else if (mark !== undefined) tokens.push({ kind: 'mark', text: mark, line });
    line += text.slice(start, pattern.lastIndex).split('\n').length - 1;
  }
  tokens.push({ kind: 'end', text: 'the end of the file', line });
  return tokens;
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
    if (operator.text !== '=' && operator.text !== '+=') throw this.error(`= after ${name.text}`);
    this.next++;
    let value = this.readValue();
    if (this.peek().kind !== 'end') throw this.error(`the end of the line after ${name.text}`);
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
    const found = kind === 'string' ? quoted(text) : text;
    return new ConfigError(`${this.file}:${line}`, `expected ${expected}, found ${found}`);
  }
}

function append(before: XlValue, value: XlValue, where: string, key: string): XlValue {
  if (typeof before === 'string' && typeof value === 'string') return before + value;
  if (Array.isArray(before) && Array.isArray(value)) return [...before, ...value];
  throw new ConfigError(where, `${key}: += joins two strings or two lists`);
}
