import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BufferPage } from '../shared-page.ts';
import { CONSOLE_IN_BYTES, CONSOLE_OUT_BYTES, ConsoleOffset, PvConsole } from './console.ts';

const START = 0xffffff00; // indices that wrap soon

function setUp(backlogBytes?: number, start = START) {
  const page = new BufferPage();
  for (const offset of [
    ConsoleOffset.IN_CONS,
    ConsoleOffset.IN_PROD,
    ConsoleOffset.OUT_CONS,
    ConsoleOffset.OUT_PROD,
  ]) {
    page.write32(offset, start);
  }
  const seen = { text: '', kicks: 0, drained: 0 };
  const console = new PvConsole(page, () => seen.kicks++, {
    onOutput: (bytes) => {
      seen.text += Buffer.from(bytes).toString('latin1');
    },
    onDrain: () => seen.drained++,
    ...(backlogBytes === undefined ? {} : { backlogBytes }),
  });
  return { page, console, seen, guest: new Guest(page) };
}

/** What a guest's driver does with its two rings. */
class Guest {
  private readonly page: BufferPage;

  constructor(page: BufferPage) {
    this.page = page;
  }

  /** Prints as much as fits. */
  print(text: string): number {
    const { page } = this;
    const consumer = page.read32(ConsoleOffset.OUT_CONS);
    let producer = page.read32(ConsoleOffset.OUT_PROD);
    let sent = 0;
    while (sent < text.length && (producer - consumer) >>> 0 < CONSOLE_OUT_BYTES) {
      page.bytes[ConsoleOffset.OUT + (producer % CONSOLE_OUT_BYTES)] = text.charCodeAt(sent++);
      producer = (producer + 1) >>> 0;
    }
    page.write32(ConsoleOffset.OUT_PROD, producer);
    return sent;
  }

  /** Reads up to `limit` bytes that were typed. */
  read(limit = 4096): string {
    const { page } = this;
    const producer = page.read32(ConsoleOffset.IN_PROD);
    let consumer = page.read32(ConsoleOffset.IN_CONS);
    let text = '';
    while (consumer !== producer && text.length < limit) {
      text += String.fromCharCode(page.bytes[ConsoleOffset.IN + (consumer % CONSOLE_IN_BYTES)]!);
      consumer = (consumer + 1) >>> 0;
    }
    page.write32(ConsoleOffset.IN_CONS, consumer);
    return text;
  }
}

function pattern(length: number): string {
  return Array.from({ length }, (_, index) => String.fromCharCode(33 + (index % 90))).join('');
}

describe('the PV console', () => {
  it('passes on what the guest prints and kicks it when there is room again', () => {
    const { console, guest, seen } = setUp();
    guest.print('Hello, ');
    console.poll();
    guest.print('world\n');
    console.poll();
    assert.equal(seen.text, 'Hello, world\n');
    assert.equal(seen.kicks, 2);
  });

  it('passes on a full ring across the end of the ring and of the index', () => {
    const { console, guest, seen } = setUp();
    const text = pattern(CONSOLE_OUT_BYTES);
    assert.equal(guest.print(`${text}more`), CONSOLE_OUT_BYTES);
    console.poll();
    assert.equal(seen.text, text);
  });

  it('does nothing and kicks nobody when nothing has happened', () => {
    const { console, seen } = setUp();
    console.poll();
    assert.deepEqual(seen, { text: '', kicks: 0, drained: 0 });
  });

  it('types into the ring at once and keeps the rest until the guest has read', () => {
    const { console, guest, seen } = setUp();
    const text = pattern(3000);
    assert.equal(console.write(Buffer.from(text)), 3000);
    assert.equal(console.inputWaiting, 3000 - CONSOLE_IN_BYTES);
    assert.equal(seen.kicks, 1);
    let read = '';
    while (read.length < 3000) {
      const part = guest.read(700);
      assert.notEqual(part, '');
      read += part;
      console.poll();
    }
    assert.equal(read, text);
    assert.equal(console.inputWaiting, 0);
  });

  it('refuses input beyond its backlog and tells when there is room again', () => {
    const { console, guest, seen } = setUp(100);
    assert.equal(console.write(Buffer.from(pattern(2000))), CONSOLE_IN_BYTES + 100);
    assert.equal(console.write(Buffer.from('x')), 0);
    console.poll();
    assert.equal(seen.drained, 0);
    guest.read(10);
    console.poll();
    assert.equal(seen.drained, 1);
    assert.equal(console.inputWaiting, 90);
    assert.equal(console.write(Buffer.from(pattern(50))), 10);
  });

  it('keeps the order of input when the backlog itself wraps', () => {
    const { console, guest } = setUp(7);
    let typed = '';
    let read = '';
    for (let round = 0; round < 400; round++) {
      const text = pattern(5 + (round % 13));
      typed += text.slice(0, console.write(Buffer.from(text)));
      if (round % 3 === 0) read += guest.read(9);
      console.poll();
    }
    while (read.length < typed.length) {
      read += guest.read();
      console.poll();
    }
    assert.ok(typed.length > 2000);
    assert.equal(read, typed);
  });

  it('lets a guest wait while its output is paused, and goes on afterwards', () => {
    const { console, guest, seen } = setUp();
    console.pauseOutput();
    assert.equal(guest.print(pattern(5000)), CONSOLE_OUT_BYTES);
    console.poll();
    assert.equal(seen.text, '');
    console.resumeOutput();
    assert.equal(seen.text, pattern(CONSOLE_OUT_BYTES));
  });

  it('leaves output alone whose indices lie too far apart, and still types', () => {
    const { page, console, guest, seen } = setUp();
    page.write32(ConsoleOffset.OUT_PROD, START + CONSOLE_OUT_BYTES + 1);
    console.write(Buffer.from('ls\n'));
    console.poll();
    assert.equal(seen.text, '');
    assert.equal(page.read32(ConsoleOffset.OUT_CONS), START);
    assert.equal(guest.read(), 'ls\n');
  });

  it('writes no input while its indices lie too far apart', () => {
    const { page, console, seen } = setUp(64);
    page.write32(ConsoleOffset.IN_CONS, START + 1);
    const before = page.bytes.slice();
    assert.equal(console.write(Buffer.from(pattern(100))), 64);
    console.poll();
    assert.deepEqual(page.bytes, before);
    assert.equal(seen.kicks, 0);
  });

  it('recovers when the guest repairs its indices', () => {
    const { page, console, guest, seen } = setUp();
    page.write32(ConsoleOffset.OUT_CONS, 5);
    console.poll();
    page.write32(ConsoleOffset.OUT_CONS, page.read32(ConsoleOffset.OUT_PROD));
    guest.print('back');
    console.poll();
    assert.equal(seen.text, 'back');
  });

  it('touches nothing outside the two rings and its own two indices', () => {
    const { page, console, guest } = setUp();
    page.bytes.fill(0xa5, 3088);
    guest.print(pattern(2048));
    console.write(Buffer.from(pattern(4096)));
    console.poll();
    assert.ok(page.bytes.subarray(3088).every((byte) => byte === 0xa5));
    assert.equal(page.read32(ConsoleOffset.IN_CONS), START);
    assert.equal(page.read32(ConsoleOffset.OUT_PROD), (START + 2048) >>> 0);
  });
});
