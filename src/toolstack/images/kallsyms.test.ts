import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Elf } from './elf.ts';
import { carriedTable, readKallsyms } from './kallsyms.ts';
import { type NamedAddress, symbolTable } from './symbols.ts';

const BASE = -0x7f000000;
const TWO_32 = 2 ** 32;

/** Bytes that grow as a linker lays them out. */
class Layout {
  readonly bytes: number[] = [];
  align(): void {
    while (this.bytes.length % 8 !== 0) this.bytes.push(0);
  }
  put(size: number, value: number): void {
    for (let i = 0; i < size; i++) this.bytes.push(Math.floor(value / 256 ** i) & 0xff);
  }
}

/** The symbols that the table shall hold: enough of them for three markers; one name needs two bytes for its length. */
const SYMBOLS: NamedAddress[] = Array.from({ length: 700 }, (_, i) => ({
  name: i === 300 ? `a_name_of_${'x'.repeat(150)}` : `start_${i}`,
  address: i < 3 ? i * 0x1000 : BASE + i * 16,
}));

/**
 * A table as scripts/kallsyms.c lays it out: of Linux 6.1, with the offsets in front, or of 6.4 and later. `second` is what
 * the token 0x02 stands for.
 */
function table(offsetsFirst: boolean, symbols = SYMBOLS, second = '2?'): Uint8Array {
  // The tokens: every character is its own, but 0x01 stands for "start_".
  const tokens = Array.from({ length: 256 }, (_, i) =>
    i === 1 ? 'start_' : i === 2 ? second : i < 33 ? `${i}?` : String.fromCharCode(i),
  );
  const out = new Layout();
  const label = () => {
    out.align();
    return out.bytes.length;
  };
  const offsets = () => {
    label();
    for (const { address } of symbols) out.put(4, address >= 0 ? address : BASE - 1 - address + TWO_32);
    label();
    out.put(8, 0);
    const at = out.bytes.length - 8;
    const low = BASE + TWO_32;
    for (let i = 0; i < 8; i++) out.bytes[at + i] = i < 4 ? Math.floor(low / 256 ** i) & 0xff : 0xff;
  };
  out.put(8, 0x1234);
  for (let i = 0; i < 40; i++) out.put(4, 0x9000 + i);
  if (offsetsFirst) offsets();
  label();
  out.put(4, symbols.length);
  const names = label();
  const markers: number[] = [];
  for (const [i, { name }] of symbols.entries()) {
    if (i % 256 === 0) markers.push(out.bytes.length - names);
    const text = name.startsWith('start_') ? ['T', '\x01', ...name.slice(6)] : ['T', ...name];
    if (text.length < 128) out.put(1, text.length);
    else out.put(2, (text.length & 0x7f) | 0x80 | ((text.length >> 7) << 8));
    for (const character of text) out.put(1, character.charCodeAt(0));
  }
  label();
  for (const marker of markers) out.put(4, marker);
  label();
  const index: number[] = [];
  const start = out.bytes.length;
  for (const token of tokens) {
    index.push(out.bytes.length - start);
    for (const character of token) out.put(1, character.charCodeAt(0));
    out.put(1, 0);
  }
  label();
  for (const position of index) out.put(2, position);
  if (!offsetsFirst) offsets();
  out.put(8, 0);
  return Uint8Array.from(out.bytes);
}

for (const [offsetsFirst, version] of [
  [true, '6.1'],
  [false, '6.12'],
] as const) {
  test(`reads the table of symbols as Linux ${version} lays it out`, () => {
    assert.deepEqual(readKallsyms(table(offsetsFirst)), SYMBOLS);
  });

  test(`of an image of Linux ${version}, what its table of symbols needs is enough`, () => {
    const good = table(offsetsFirst);
    const image = new Uint8Array(good.length + 500_000);
    image.set(good, 200_000);
    const part = carriedTable([{ bytes: new Uint8Array(1000) }, { bytes: image }])!;
    assert.ok(part.length < image.length / 10 && part.buffer !== image.buffer);
    assert.deepEqual(readKallsyms(part), SYMBOLS);
  });

  test(`a table of Linux ${version} that is cut short or damaged ends in no error`, () => {
    const good = table(offsetsFirst);
    for (let length = 0; length < good.length; length += 37) readKallsyms(good.slice(0, length));
    for (let at = 0; at < good.length; at += 11) {
      for (const value of [0, 0x7f, 0xff]) {
        const damaged = good.slice();
        damaged[at] = value;
        readKallsyms(damaged);
      }
    }
  });
}

test('an image that is full of what a table begins with is given up', () => {
  const good = table(true);
  // The tokens again and again: each time there are names to be looked for among all that stands before.
  const tokens = good.subarray(good.length - 1208);
  const image = new Uint8Array(24_000_000);
  for (let at = 0; at + tokens.length < image.length; at += tokens.length) image.set(tokens, at);
  assert.deepEqual(readKallsyms(image), []);
  assert.equal(carriedTable([{ bytes: image }]), undefined);
});

test('an image of nothing but digits as tokens is given up, and what stands behind them is not found', () => {
  const good = table(true);
  const image = new Uint8Array(1_200_000 + good.length);
  image.set(good, 1_200_000);
  for (let at = 0; at < 1_200_000; at += 2) image[at] = 0x30 + ((at / 2) % 10);
  assert.deepEqual(readKallsyms(image), []);
  // A tenth of them is passed over.
  assert.deepEqual(readKallsyms(image.subarray(1_080_000)), SYMBOLS);
});

test('a table whose names are longer together than any kernel’s is none', () => {
  const name = (length: number): NamedAddress[] =>
    SYMBOLS.map(({ address }, i) => ({ name: i === 20 ? '\x02'.repeat(length) : `start_${i}`, address }));
  const token = 'x'.repeat(40_000);
  assert.equal(readKallsyms(table(true, name(9), token))[20]?.name.length, 360_000);
  assert.deepEqual(readKallsyms(table(true, name(12_000), token)), []);
});

test('what a kernel carries names places in its own half, up to its last symbol', () => {
  const symbols = symbolTable({ sections: [] } as unknown as Elf, [{ bytes: table(true) }]);
  assert.equal(symbols.size, SYMBOLS.length);
  assert.equal(symbols.addressOf('start_1'), 0x1000, 'an offset in the per-CPU area');
  assert.equal(symbols.nearest(0x1001), undefined);
  assert.deepEqual(symbols.nearest(BASE + 4 * 16 + 1), { name: 'start_4', offset: 1 });
  const last = BASE + 699 * 16;
  assert.deepEqual(symbols.nearest(last - 1), { name: 'start_698', offset: 15 });
  assert.equal(symbols.nearest(last), undefined);
});

test('offsets of which none is negative count from the base', () => {
  const symbols = SYMBOLS.map(({ name }, i) => ({ name, address: i * 16 }));
  const found = readKallsyms(table(false, symbols));
  assert.deepEqual(
    found,
    symbols.map(({ name, address }) => ({ name, address: BASE + address })),
  );
});

test('what fits almost is no table: too few symbols, another marker, a base that is none of a kernel', () => {
  assert.equal(readKallsyms(table(false, SYMBOLS.slice(0, 512))).length, 512);
  assert.deepEqual(readKallsyms(table(false, SYMBOLS.slice(0, 511))), []);
  const changed = (offset: number, value: number) => {
    const image = table(false);
    new DataView(image.buffer).setUint32(offset, value, true);
    return image;
  };
  const good = table(false);
  const view = new DataView(good.buffer);
  // A name takes three bytes and its digits.
  const secondMarker = 10 * 4 + 90 * 5 + 156 * 6;
  const marker = Array.from({ length: good.length / 4 }, (_, i) => i * 4).find(
    (at) => view.getUint32(at, true) === secondMarker,
  )!;
  assert.deepEqual(readKallsyms(changed(marker, secondMarker)), SYMBOLS);
  assert.deepEqual(readKallsyms(changed(marker, secondMarker + 1)), []);
  assert.deepEqual(readKallsyms(changed(marker - 4, 1)), []);
  const base = good.length - 16;
  assert.equal(readKallsyms(changed(base, 0x8000_0000)).length, SYMBOLS.length);
  assert.deepEqual(readKallsyms(changed(base, 0x8000_0800)), [], 'not a page');
  assert.deepEqual(readKallsyms(changed(base + 4, 0)), [], 'the half of the user');
  assert.equal(readKallsyms(changed(base + 4, 0xffff8000)).length, SYMBOLS.length);
  assert.deepEqual(readKallsyms(changed(base + 4, 0xffff7fff)), [], 'no canonical address');
});

test('an image without a table has no symbols', () => {
  assert.deepEqual(readKallsyms(new Uint8Array(100_000)), []);
  assert.deepEqual(readKallsyms(new Uint8Array(100_000).fill(0x30)), []);
  assert.deepEqual(readKallsyms(new Uint8Array(0)), []);
});
