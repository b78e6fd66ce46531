import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadDisassembler } from '../cli/disassemble.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import type { EngineKind } from '../machine/x86/engine.ts';
import { RBX } from '../machine/x86/registers.ts';
import { PAGE_RW, TestMachine } from '../machine/x86/testing/machine.ts';
import { tableOf } from './images/symbols.ts';
import { addressOf } from './inspect.ts';
import { inspectionText } from './inspection-text.ts';

const CODE = 0x400000;
const symbols = tableOf([
  { name: 'start', address: CODE },
  { name: 'again', address: CODE + 5 },
]);

/** The report on the loop of: mov ecx, 9; again: add [rbx], rcx; dec ecx; jnz again; int3 */
async function report(kind: EngineKind): Promise<string[]> {
  const m = await TestMachine.create(kind);
  m.mapNew(CODE, PAGE_RW);
  m.mapNew(0x600000, PAGE_RW);
  m.code(CODE, 'b9 09 00 00 00 48 01 0b ff c9 75 f9 cc');
  m.cpu.setRegNumber(RBX, 0x600000);
  m.run(CODE);
  const { inspector } = m.engine;
  const found = inspector.inspect(m.cpu, m.root * PAGE_SIZE, CODE + 5);
  assert.ok(typeof found !== 'string');
  return inspectionText(found, { symbols, calls: inspector.calls, disassemble: await loadDisassembler() });
}

test('interpreted code is shown as the interpreter has it', async () => {
  const lines = await report('interpreter');
  assert.match(lines[0]!, /^0000000000400005 <again\+0x0>: frame 0x\w+, 64-bit; .* 0 functions compiled$/);
  assert.deepEqual(
    lines.slice(3).map((line) => line.trim().split(/ {2}/)[1]),
    ['mov ecx, 0x9', 'add [rbx], rcx', 'dec ecx', 'jne short 0x0000000000400005', 'int3'],
  );
  assert.ok(lines[4]!.startsWith('  =>0000000000400005'));
  assert.match(lines.at(-2)!, /\[linked\]$/);
});

test('it stands with how often the interpreter came to it, where that is counted', async () => {
  const marks = (await report('auto')).slice(3).map((line) => /\[([^[]*)\]$/.exec(line)?.[1]);
  // Nine rounds: the first one runs on from the beginning.
  assert.deepEqual(marks, ['heat 1, run 5', 'heat 8, run 4', undefined, 'linked', undefined]);
});

test('compiled code stands beside the guest code that it came from', async () => {
  const lines = await report('compiler');
  const text = lines.join('\n');
  assert.match(
    text,
    /^function \d+ at \w+ <\w+\+0x0>: short form, \d+ instructions?, \d+ bytes of WebAssembly/m,
  );
  const columns = lines
    .filter((line) => line.includes('│'))
    .map((line) => line.split('│') as [string, string]);
  const rightOf = (guest: string): string => {
    const first = columns.findIndex(([left]) => left.includes(guest));
    assert.ok(first >= 0, `${guest}\n${text}`);
    const after = columns.findIndex(([left], i) => i > first && left.trim() !== '');
    return columns
      .slice(first, after < 0 ? undefined : after)
      .map(([, right]) => right)
      .join('\n');
  };
  // Named after what they hold; the addition loads, adds and stores, and only it touches the guest's memory.
  assert.match(
    rightOf('add [rbx], rcx'),
    /i64\.add .*\(local\.get \$rcx\)|\(local\.get \$rcx\)[\s\S]*i64\.add/,
  );
  assert.match(rightOf('add [rbx], rcx'), /\(i64\.store \(local\.get \d+\)/);
  assert.match(rightOf('dec ecx'), /\(local\.set \$rcx \(i64\.extend_i32_u/);
  assert.doesNotMatch(rightOf('dec ecx'), /i64\.store \(/);
  // What is written back at the end is named.
  assert.match(text, /\(i64\.store offset=0x1008 \(i32\.const 0\) \(local\.get \$rcx\)\) {2};; rcx$/m);
});

test('a place is an address, a symbol with an offset, or where the guest stands', () => {
  const cases: readonly [string, number | undefined][] = [
    ['0x400005', CODE + 5],
    ['0000000000400005', CODE + 5],
    ['0xffffffff81000000', -0x7f000000],
    ['again', CODE + 5],
    ['again+0x10', CODE + 0x15],
    ['again+3', CODE + 8],
    ['rip', 1234],
    ['add', undefined],
    ['', undefined],
    ['again+', undefined],
    ['0x', undefined],
  ];
  for (const [text, address] of cases) assert.equal(addressOf(text, symbols, 1234), address, text);
});
