/** The code cache against code that is written to exhaust or to outwit it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEAT_SHIFT, MODE_LONG } from '../layout.ts';
import { MachineMemory, PAGE_SIZE } from '../memory.ts';
import { CodeCache } from './code-cache.ts';
import { type Decoder, Decoding } from './decoder.ts';
import { PAGE_RW, TestMachine } from './testing/machine.ts';

/**
 * Bytes behind the arena of decoded code that are not zero: words of records below the arena's address would stand there,
 * and there are none.
 */
function strayBytes({ memory }: TestMachine): number {
  const end = memory.heat + (memory.codeCache >>> HEAT_SHIFT);
  return memory.u8.subarray(memory.heat, end).filter((byte) => byte !== 0).length;
}

test('an instruction that is decoded again and again does not fill memory beyond the cache', async () => {
  const machine = await TestMachine.create();
  const { memory } = machine;
  // One frame at two addresses, before two different frames: its last instruction crosses into one or the other.
  const shared = machine.frame();
  machine.map(0x400000, shared, PAGE_RW);
  machine.mapNew(0x401000, PAGE_RW);
  machine.map(0x500000, shared, PAGE_RW);
  machine.mapNew(0x501000, PAGE_RW);
  // loop: at ...ffe, mov eax, imm32 (its last bytes differ); then dec ecx; jz out; jmp to the other one
  machine.code(0x400ffe, 'b8 11');
  machine.code(0x401000, '00 00 00 ff c9 74 05 e9 f2 ff 0f 00 f4');
  machine.code(0x501000, '00 00 00 ff c9 74 05 e9 f2 ff ef ff f4');
  const rounds = Math.ceil(memory.codeCacheBytes / 96) + 1000;
  machine.cpu.setReg(1, rounds, 0);
  const guard = memory.u8.slice(memory.framesBase, memory.framesBase + PAGE_SIZE);
  const ending = machine.run(0x400ffe, rounds * 8);
  assert.equal(ending.vector, 13, 'the loop ends at HLT');
  assert.equal(machine.cpu.regLow(1), 0);
  assert.equal(strayBytes(machine), 0);
  assert.deepEqual(memory.u8.slice(memory.framesBase, memory.framesBase + PAGE_SIZE), guard);
});

test('a chain of pages whose last instructions reach into the next is dropped whole, however long', () => {
  const frames = 4200;
  const memory = new MachineMemory({ frames });
  // Every instruction is two bytes long and starts in the last byte of its page.
  const decoder = {
    length: 2,
    ends: true,
    decode: (_at: number, available: number) => (available < 15 ? Decoding.NeedMore : Decoding.Done),
  } as unknown as Decoder;
  const cache = new CodeCache(memory, decoder);
  let last = 1;
  for (; last + 1 < frames && cache.hasRoom(); last++) {
    const next = memory.host((last + 1) * PAGE_SIZE);
    assert.notEqual(cache.decodeBlock(cache.page(last, MODE_LONG), PAGE_SIZE - 1, { next: () => next }), 0);
  }
  assert.ok(last > 3500, `the cache held ${last} pages`);
  assert.equal(cache.generation, 0);
  cache.invalidate(last);
  for (let mfn = 1; mfn <= last; mfn++) {
    assert.equal(cache.touches(mfn, 0, PAGE_SIZE), false);
    assert.equal(cache.lookup(cache.page(mfn, MODE_LONG), PAGE_SIZE - 1), 0);
  }
});
