/**
 * The console's ring against a guest that changes indices and bytes while the host works: the host stays within the
 * page, ends soon, loses none of its own bytes, and serves the guest again as soon as that behaves.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CONSOLE_IN_BYTES,
  CONSOLE_OUT_BYTES,
  ConsoleOffset as Offset,
  PvConsole,
} from '../../src/toolstack/console/console.ts';
import { HostilePage, indexValues } from './hostile-page.ts';
import { LENGTH, Random, SEED } from './random.ts';

const ROUNDS = 20_000 * LENGTH;
/** What one call of the host may touch the page, and more than enough. */
const MOST_ACCESSES = 200;
const BACKLOG_BYTES = 3000;
const INDICES = [Offset.IN_CONS, Offset.IN_PROD, Offset.OUT_CONS, Offset.OUT_PROD] as const;

/** A console, someone who types the numbers 0 to 250 over and over, and what the guest has made of it. */
class Bench {
  readonly page = new HostilePage({
    readable: [Offset.OUT, Offset.IN_CONS],
    writable: [Offset.IN, Offset.OUT],
    words: [Offset.IN_PROD, Offset.OUT_CONS],
    mostAccesses: MOST_ACCESSES,
  });
  readonly console = new PvConsole(this.page, () => {}, {
    backlogBytes: BACKLOG_BYTES,
    onOutput: (bytes) => {
      assert.ok(bytes.length > 0 && bytes.length <= CONSOLE_OUT_BYTES, `${bytes.length} bytes of output`);
      this.printed = bytes;
    },
  });
  printed: Uint8Array = new Uint8Array();
  private typed = 0;

  /** Does what the host does, within bounds. */
  host(action: () => void): void {
    this.page.begin();
    action();
    assert.ok(this.console.inputWaiting >= 0 && this.console.inputWaiting <= BACKLOG_BYTES);
  }

  type(count: number): void {
    const bytes = Uint8Array.from({ length: count }, (_, i) => (this.typed + i) % 251);
    this.host(() => {
      this.typed += this.console.write(bytes);
    });
  }

  /** The guest behaves: both directions work, and what was typed and waits comes complete and in order. */
  recover(): void {
    const { page, console } = this;
    const { buffer } = page;
    page.guest = () => {};
    for (const index of INDICES) buffer.write32(index, 0xffffff00);
    let next = (this.typed - console.inputWaiting) % 251;
    for (;;) {
      this.host(() => console.poll());
      const end = buffer.read32(Offset.IN_PROD);
      let at = buffer.read32(Offset.IN_CONS);
      if (at === end) break;
      for (; at !== end; at = (at + 1) >>> 0) {
        assert.equal(buffer.bytes[Offset.IN + (at % CONSOLE_IN_BYTES)], next);
        next = (next + 1) % 251;
      }
      buffer.write32(Offset.IN_CONS, end);
    }
    assert.equal(console.inputWaiting, 0);
    assert.equal(next, this.typed % 251);
    buffer.bytes.fill(0x61, Offset.OUT, Offset.IN_CONS);
    buffer.write32(Offset.OUT_PROD, buffer.read32(Offset.OUT_CONS) + 300);
    this.host(() => console.poll());
    assert.deepEqual(this.printed, new Uint8Array(300).fill(0x61));
  }
}

test('one change of an index of the console, whenever it comes, leaves the host sound', () => {
  let cases = 0;
  for (const index of INDICES) {
    for (const value of indexValues(0, index < Offset.OUT_CONS ? CONSOLE_IN_BYTES : CONSOLE_OUT_BYTES)) {
      for (let when = 0, more = true; more; when++) {
        const bench = new Bench();
        const { page, console } = bench;
        const { buffer } = page;
        for (const at of INDICES) buffer.write32(at, -700);
        buffer.write32(Offset.OUT_PROD, 900);
        bench.type(CONSOLE_IN_BYTES + 500);
        buffer.write32(Offset.IN_CONS, 100);
        page.guest = (access) => {
          if (access === when) buffer.write32(index, value);
        };
        bench.host(() => console.poll());
        more = page.accesses > when;
        bench.recover();
        cases++;
      }
    }
  }
  assert.ok(cases > 500, `${cases} cases`);
});

test('a guest that scribbles over its console all the time harms only itself', () => {
  const random = new Random(SEED + 21);
  let bench = new Bench();
  let outputs = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const { page, console } = bench;
    const { buffer } = page;
    const haste = random.pick([1, 2, 5, 20]);
    page.guest = () => {
      if (!random.once(haste)) return;
      const index = random.pick(INDICES);
      const partner = buffer.read32(random.pick(INDICES));
      switch (random.below(4)) {
        case 0:
          buffer.bytes[random.below(4096)] = random.next() >>> 24;
          break;
        case 1:
          buffer.write32(index, partner + random.below(1200));
          break;
        default:
          buffer.write32(index, random.pick(indexValues(partner, random.pick([1024, 2048]))));
      }
    };
    bench.printed = new Uint8Array();
    switch (random.below(9)) {
      case 0:
        bench.host(() => console.pauseOutput());
        break;
      case 1:
      case 2:
        bench.host(() => console.resumeOutput());
        break;
      case 3:
      case 4:
        bench.type(random.below(2500));
        break;
      default:
        bench.host(() => console.poll());
    }
    if (bench.printed.length > 0) outputs++;
    if (round % 500 === 0) {
      bench.host(() => console.resumeOutput());
      bench.recover();
      bench = new Bench();
    }
  }
  assert.ok(outputs > ROUNDS / 50, `${outputs} outputs`);
});
