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
