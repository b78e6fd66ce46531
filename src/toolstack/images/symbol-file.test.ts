import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildTinyGuest } from '../../guest/tiny/guest.ts';
import { ImageError } from './error.ts';
import { readSymbolFile } from './symbol-file.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

test('a System.map gives names to addresses of the kernel', () => {
  const map = 'ffffffff81000000 T _text\nffffffff81000040 t secondary\n0000000000001000 A per_cpu_thing\n';
  const { symbols, code } = readSymbolFile(bytes(map), 'System.map');
  assert.equal(symbols.size, 3);
  assert.deepEqual(symbols.nearest(-0x7effffb0), { name: 'secondary', offset: 0x10 });
  assert.equal(symbols.addressOf('_text'), -0x7f000000);
  assert.deepEqual(code, []);
});

test('an executable gives its symbols, and the code by which it can be told in a guest', () => {
  const { symbols, code } = readSymbolFile(buildTinyGuest(), 'tiny');
  const [range] = code;
  const crash = symbols.addressOf('do_crash')!;
  assert.ok(crash >= range!.start && crash < range!.start + range!.bytes.length);
  assert.deepEqual(symbols.nearest(crash), { name: 'do_crash', offset: 0 });
});

test('a System.map of 32 bits has unsigned addresses, and empty lines in it are passed over', () => {
  const { symbols } = readSymbolFile(bytes('c0100000 T _text\n\nc0100040 ? other\n'), 'System.map');
  assert.equal(symbols.addressOf('_text'), 0xc010_0000);
  assert.deepEqual(symbols.nearest(0xc010_0041), { name: 'other', offset: 1 });
});

test('code is what an executable says may be executed, as far as the file has it', () => {
  const tiny = buildTinyGuest();
  const header = new DataView(tiny.buffer, tiny.byteOffset);
  const first = Number(header.getBigUint64(32, true));
  const codeOf = (flags: number, fileSize?: number) => {
    const changed = tiny.slice();
    const view = new DataView(changed.buffer);
    view.setUint32(first + 4, flags, true);
    if (fileSize !== undefined) view.setUint32(first + 32, fileSize, true);
    return readSymbolFile(changed, 'tiny').code.length;
  };
  assert.equal(header.getUint32(first, true), 1, 'the first program header is to be loaded');
  const [readable, executable] = [4, 5];
  assert.equal(codeOf(executable), codeOf(readable) + 1);
  assert.equal(codeOf(executable, 0x7fff_ffff), codeOf(readable));
});

test('what has no symbols is refused with its name and the reason', () => {
  const relocatable = buildTinyGuest().slice();
  relocatable[16] = 3;
  for (const [content, reason] of [
    [bytes('ringone\n'), /^x: neither a System\.map nor an ELF file$/],
    [bytes(''), /^x: it has no symbols/],
    [relocatable, /^x: no symbols for it/],
  ] as const) {
    assert.throws(
      () => readSymbolFile(content, 'x'),
      (error) => error instanceof ImageError && reason.test(error.message),
    );
  }
});
