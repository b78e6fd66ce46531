/**
 * A shared page whose guest runs at the same time as its host, as on a second processor: before each access of the host
 * the guest may change any byte. Today's guests stand still while the toolstack works; the rings must not rely on it.
 */
import assert from 'node:assert/strict';
import { BufferPage, PAGE_BYTES, type SharedPage } from '../../src/toolstack/shared-page.ts';

/** From an offset to past the end. */
type Range = readonly [from: number, to: number];

/** What the host is to touch of a page. */
export interface PageRules {
  /** Where it reads bytes, and where it writes them. */
  readonly readable: Range;
  readonly writable: Range;
  /** Offsets of the words that it writes. */
  readonly words: readonly number[];
  /** How often one call of the host may touch the page at all. */
  readonly mostAccesses: number;
}

export class HostilePage implements SharedPage {
  /** The guest's view of it. */
  readonly buffer = new BufferPage();
  /** Called before each access of the host, with its number. */
  guest: (access: number) => void = () => {};
  /** Accesses of the host since `begin`. */
  accesses = 0;
  private readonly rules: PageRules;

  constructor(rules: PageRules) {
    this.rules = rules;
  }

  read32(offset: number): number {
    this.step();
    assert.ok(offset % 4 === 0 && offset >= 0 && offset < PAGE_BYTES);
    // As the machine's memory gives it: a signed word.
    return this.buffer.read32(offset) | 0;
  }
  write32(offset: number, value: number): void {
    this.step();
    assert.ok(this.rules.words.includes(offset), `the word at ${offset} was written`);
    this.buffer.write32(offset, value);
  }
  readBytes(offset: number, into: Uint8Array): void {
    this.step();
    assertWithin(offset, into.length, this.rules.readable);
    this.buffer.readBytes(offset, into);
  }
  writeBytes(offset: number, from: Uint8Array): void {
    this.step();
    assertWithin(offset, from.length, this.rules.writable);
    this.buffer.writeBytes(offset, from);
  }

  /** The host is called: it may touch the page so often and not more, lest it never come back. */
  begin(): void {
    this.accesses = 0;
  }

  private step(): void {
    assert.ok(this.accesses < this.rules.mostAccesses, `${this.accesses} accesses to the page`);
    this.guest(this.accesses++);
  }
}

function assertWithin(offset: number, length: number, [from, to]: Range): void {
  assert.ok(offset >= from && offset + length <= to, `${length} bytes at ${offset} were touched`);
}

/** Values for an index of a ring of `size` bytes that now has the value `index`. */
export function indexValues(index: number, size: number): readonly number[] {
  const near = [-size - 1, -size, -size + 1, -1, 1, 19, size - 1, size, size + 1];
  return [...near.map((distance) => (index + distance) >>> 0), 0, 0x7fffffff, 0x80000000, 0xffffffff];
}
