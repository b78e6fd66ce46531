import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ROWS, workOf } from './rows.ts';
import { guestScript, MarkerReader, nativeScript } from './script.ts';

test('markers are found however the text is cut into pieces', () => {
  const text =
    'boot noise\r\nringone-bench: init\r\nringone-bench: begin sieve\r\n148933\r\nringone-bench: end sieve\r\n';
  for (const size of [1, 2, 7, 1000]) {
    const reader = new MarkerReader();
    const markers = [];
    for (let i = 0; i < text.length; i += size) markers.push(...reader.read(text.slice(i, i + size)));
    assert.deepEqual(markers, [
      { kind: 'init' },
      { kind: 'begin', row: 'sieve' },
      { kind: 'end', row: 'sieve', answer: '148933' },
    ]);
  }
});

test('what the kernel says between the words is no answer', () => {
  const reader = new MarkerReader();
  reader.read('ringone-bench: begin awk\n[    5.1] random: crng init done\n');
  assert.deepEqual(reader.read('900000\n[ 7.0] x ringone-bench: end awk\n'), [
    { kind: 'end', row: 'awk', answer: '900000' },
  ]);
});

test("the rows of a guest's script and of the native one are the same lines in the same order", () => {
  const work = workOf(ROWS, true);
  const places = { bin: '/b', busybox: '/b/busybox', programs: '/p' };
  for (const script of [guestScript(work, 100), nativeScript(work, places)]) {
    let from = 0;
    for (const { name, line } of work) {
      const at = script.indexOf(`begin ${name}\n${line}\necho ringone-bench: end ${name}\n`, from);
      assert.ok(at > from, name);
      from = at;
    }
    assert.ok(script.indexOf('ringone-bench: done') > from);
  }
});

test('a guest fills its memory only when asked to', () => {
  const work = workOf(ROWS, true);
  assert.match(guestScript(work, 384), /dd if=\/dev\/zero of=\/tmp\/fill bs=1M count=384/);
  assert.doesNotMatch(guestScript(work, 0), /\/tmp\/fill/);
});

test('titles name the amount that is asked for', () => {
  const [full] = workOf(
    ROWS.filter(({ name }) => name === 'awk'),
    false,
  );
  const [quick] = workOf(
    ROWS.filter(({ name }) => name === 'awk'),
    true,
  );
  assert.match(full!.title, /3,000,000 rounds/);
  assert.match(full!.line, /i < 3000000;/);
  assert.match(quick!.title, /300,000 rounds/);
});
