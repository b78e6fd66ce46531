/**
 * Symbol tables that are damaged, or larger than any kernel's: they must not be in the way of the kernel.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sectionTypes } from './elf.ts';
import { ImageReader } from './reader.ts';
import { type SymbolTable, symbolTable } from './symbols.ts';

const symbolBytes = 24;

/**
 * The symbols of a 64-bit file with nothing but symbols at these addresses, all of one name, and `more` undefined ones. By
 * `info` they are global functions, by `place` in the first section.
 */
function symbolsAt(
  addresses: readonly bigint[],
  name = 'name',
  more = 0,
  info = 0x12,
  place = 1,
): SymbolTable {
  const tableBytes = (addresses.length + more) * symbolBytes;
  const bytes = new Uint8Array(tableBytes + name.length + 1);
  const view = new DataView(bytes.buffer);
  for (const [index, address] of addresses.entries()) {
    const at = index * symbolBytes;
    view.setUint8(at + 4, info);
    view.setUint16(at + 6, place, true);
    view.setBigUint64(at + 8, address, true);
  }
  bytes.set(new TextEncoder().encode(name), tableBytes);
  const section = { headerOffset: 0, name: '', link: 1, entrySize: 0 };
  return symbolTable({
    reader: new ImageReader(bytes, 'kernel'),
    width: 64,
    entry: 0,
    programHeaders: [],
    sections: [
      { ...section, type: sectionTypes.symbolTable, offset: 0, size: tableBytes },
      { ...section, type: sectionTypes.stringTable, offset: tableBytes, size: name.length + 1 },
    ],
  });
}

test('a symbol whose value is no address is left out, and the others are found', () => {
  const symbols = symbolsAt([0x7fff_ffff_ffff_ffffn, 0x1000n, 0x8000_0000_0000_0000n]);
  assert.equal(symbols.size, 1);
  assert.equal(symbols.addressOf('name'), 0x1000);
  assert.deepEqual(symbols.nearest(0x1004), { name: 'name', offset: 4 });
  assert.equal(symbolsAt([0x7fff_ffff_ffff_ffffn]).nearest(0x1000), undefined);
});

test('a table of more symbols than any kernel has counts as absent', () => {
  assert.equal(symbolsAt([0x1000n], 'name', 2 ** 20 - 1).size, 1);
  assert.equal(symbolsAt([0x1000n], 'name', 2 ** 20).size, 0);
});

test('a table whose names are longer together than any kernel has counts as absent', () => {
  const addresses = Array.from({ length: 2 ** 13 + 1 }, (_, index) => BigInt(index));
  const name = 'n'.repeat(4096);
  assert.equal(symbolsAt(addresses.slice(1), name).size, 2 ** 13);
  assert.equal(symbolsAt(addresses, name).size, 0);
});

test('only what has a name and stands at a place in the image is a symbol', () => {
  const [nothing, object, func, section, file, tls] = [0, 1, 2, 3, 4, 6];
  for (const kind of [nothing, object, func]) {
    assert.equal(symbolsAt([0x1000n], 'name', 0, 0x10 | kind).size, 1, `${kind}`);
  }
  for (const kind of [section, file, tls]) {
    assert.equal(symbolsAt([0x1000n], 'name', 0, 0x10 | kind).size, 0, `${kind}`);
  }
  const [absolute, common, undefinedPlace] = [0xfff1, 0xfff2, 0];
  for (const place of [absolute, common, undefinedPlace, 0xff00]) {
    assert.equal(symbolsAt([0x1000n], 'name', 0, 0x12, place).size, 0, `${place}`);
  }
  assert.equal(symbolsAt([0x1000n], 'name', 0, 0x12, 0xfeff).size, 1);
  assert.equal(symbolsAt([0x1000n], '').size, 0);
});

test('of symbols of one name the first is found', () => {
  assert.equal(symbolsAt([0x2000n, 0x1000n, 0x3000n]).addressOf('name'), 0x2000);
});
