/** System instructions that need no decision: the time-stamp counter, STI, SYSRET. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CPU,
  CPU_CLOCK_VIRTUAL,
  CPU_EFER,
  CPU_INTERRUPT_SHADOW,
  CPU_INTERRUPT_WAITS,
  CPU_TSC_AUX,
  CPU_TSC_OFFSET,
} from '../../layout.ts';
import { RAX, RBX, RCX, RDX } from '../registers.ts';
import { PAGE_RW, TestMachine } from '../testing/machine.ts';

const CODE = 0x400000;
const KINDS = ['interpreter', 'compiler'] as const;
const INT3 = { exit: 'interrupt', vector: 3 };
const GP = { exit: 'exception', vector: 13, error: 0 };

async function machine(kind: (typeof KINDS)[number], code: string): Promise<TestMachine> {
  const m = await TestMachine.create(kind);
  m.mapNew(CODE, PAGE_RW);
  m.code(CODE, code);
  return m;
}

for (const kind of KINDS) {
  test(`${kind}: under the virtual clock the time-stamp counter counts instructions, wherever it is read`, async () => {
    const m = await machine(kind, '0f 31 89 c3 90 90 0f 01 f9 cc'); // rdtsc; mov ebx, eax; nop; nop; rdtscp
    m.memory.i32[(CPU + CPU_CLOCK_VIRTUAL) >> 2] = 1;
    m.cpu.set(CPU_TSC_OFFSET, 1000, 7);
    m.cpu.set(CPU_TSC_AUX, 0x55, 0);
    for (let round = 0; round < 3; round++) {
      const before = m.cpu.retired;
      assert.deepEqual(m.run(CODE), INT3);
      assert.deepEqual(
        [RBX, RAX, RDX, RCX].map((n) => m.cpu.reg(n)),
        [1000 + before, 1004 + before, 7, 0x55],
      );
    }
  });

  test(`${kind}: CR4.TSD takes the time-stamp counter from all rings but ring 0`, async () => {
    for (const code of ['0f 31 cc', '0f 01 f9 cc']) {
      const m = await machine(kind, code);
      assert.deepEqual(m.run(CODE), INT3);
      m.cpu.cr4 |= 4;
      assert.deepEqual(m.run(CODE), GP);
      m.ring(0);
      assert.deepEqual(m.run(CODE), INT3);
    }
  });

  test(`${kind}: STI lets one more instruction pass, and opens the window, if interrupts were off`, async () => {
    const m = await machine(kind, 'fb 90 cc'); // sti; nop
    const waits = (CPU + CPU_INTERRUPT_WAITS) >> 2;
    m.ring(0);
    m.memory.i32[waits] = 1;
    for (let round = 0; round < 3; round++) {
      m.cpu.set(CPU_INTERRUPT_SHADOW, 0, 0);
      m.cpu.rflags = 0x202;
      assert.deepEqual(m.run(CODE), INT3);
      assert.equal(m.cpu.low(CPU_INTERRUPT_SHADOW), 0);
      m.cpu.rflags = 0x2;
      assert.deepEqual(m.run(CODE), { exit: 'interrupt window' });
      assert.equal(m.cpu.rip, CODE + 1);
      assert.equal(m.cpu.low(CPU_INTERRUPT_SHADOW), CODE + 1);
      assert.equal(m.cpu.rflags, 0x202);
    }
    m.memory.i32[waits] = 0;
    m.ring(3);
    assert.deepEqual(m.run(CODE), GP, 'IOPL is 0');
  });

  test(`${kind}: there is no SYSRET without EFER.SCE, and outside ring 0 it is refused`, async () => {
    const m = await machine(kind, '48 0f 07');
    assert.deepEqual(m.run(CODE), GP);
    m.cpu.set(CPU_EFER, 0xd00, 0);
    assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 6, error: 0 });
    m.ring(0);
    assert.equal(m.run(CODE).vector, 6);
    m.cpu.set(CPU_EFER, 0xd01, 0);
    assert.deepEqual(m.run(CODE), { exit: 'system' });
  });
}
