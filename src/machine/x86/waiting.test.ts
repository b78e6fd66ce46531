/**
 * What may happen while code waits: a decision of the hypervisor, an instruction that is executed in TypeScript. Code that
 * waited goes on only where it is still what the processor would execute next.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_INTERRUPT_WAITS } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import { CS, DR6_STEP, FLAG_RF, RAX, RBX, RDX, RSP } from './registers.ts';
import { PAGE_RW, PAGE_SUPERVISOR, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const KINDS = ['interpreter', 'compiler'] as const;
/** What is executed so often is compiled: by then the code behind what waits is known. */
const WARM = 3;
const TF = 0x100;
const IF = 0x200;
const INT3 = { exit: 'interrupt', vector: 3 };
const DB = { exit: 'exception', vector: 1, error: DR6_STEP };

async function machine(kind: (typeof KINDS)[number], ...code: string[]): Promise<TestMachine> {
  const m = await TestMachine.create(kind, WARM);
  m.mapNew(CODE, PAGE_RW, 2);
  m.mapNew(DATA, PAGE_RW, 2);
  m.code(CODE, `${code.join(' ')} cc`);
  m.cpu.setRegNumber(RBX, DATA);
  m.cpu.setRegNumber(RSP, DATA + 0x800);
  m.engine.hooks = {
    readDescriptor: (selector) => DESCRIPTORS.get(selector >> 3),
  };
  return m;
}

/** By the number of the selector: 64-bit code of ring 0, its stack, 32-bit code and data of ring 3, its 64-bit
 * code, data of one page, and 16-bit code that begins at CODE. */
const DESCRIPTORS = new Map([
  [1, { low: 0xffff, high: 0x00af9b00 }],
  [2, { low: 0xffff, high: 0x00cf9300 }],
  [4, { low: 0xffff, high: 0x00cffb00 }],
  [5, { low: 0xffff, high: 0x00cff300 }],
  [6, { low: 0xffff, high: 0x00affb00 }],
  [8, { low: 0x0fff, high: 0x0040f300 }],
  [9, { low: 0xffff, high: 0x0000fb40 }],
]);

/** Runs from CODE until all of it is compiled, where that is done; every decision is to go on. */
function warm(m: TestMachine, ending: ReturnType<TestMachine['run']> = INT3): void {
  for (let round = 0; round < WARM + 2; round++)
    assert.deepEqual(
      runWith(m, () => 100),
      ending,
    );
}

/** Runs from CODE while the hypervisor decides in this way: see `Engine.onExit`. */
function runWith(m: TestMachine, decide: () => number): ReturnType<TestMachine['run']> {
  m.engine.onExit = decide;
  try {
    return m.run(CODE);
  } finally {
    m.engine.onExit = undefined;
  }
}

/** A root with a copy of all tables that lead to an address, and a new page there. */
function otherRoot(m: TestMachine, gva: number): { root: number; page: number } {
  let below = m.frame();
  const page = below;
  for (const level of [1, 2, 3, 4]) {
    const at = m.entry(gva, level);
    const copy = m.frame();
    const bytes = new Uint8Array(PAGE_SIZE);
    m.memory.readBytes(at - (at % PAGE_SIZE), bytes);
    m.memory.writeBytes(copy * PAGE_SIZE, bytes);
    m.memory.write64(copy * PAGE_SIZE + (at % PAGE_SIZE), (below * PAGE_SIZE) | PAGE_RW, 0);
    below = copy;
  }
  return { root: below, page };
}

for (const kind of KINDS) {
  test(`${kind}: a decision that loads another address space holds from the next instruction on`, async () => {
    const m = await machine(kind, '8b 13', '0f a2', '8b 03'); // mov edx, [rbx]; cpuid; mov eax, [rbx]
    m.memory.write32(m.physical(DATA), 1);
    const other = otherRoot(m, DATA);
    m.memory.write32(other.page * PAGE_SIZE, 2);
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.engine.loadRoot(m.root * PAGE_SIZE);
      const ending = runWith(m, () => {
        m.engine.loadRoot(other.root * PAGE_SIZE);
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.deepEqual([m.cpu.reg(RDX), m.cpu.reg(RAX)], [1, 2]);
    }
  });

  test(`${kind}: a decision that moves RIP is followed`, async () => {
    const m = await machine(kind, '0f a2', 'ff c0', 'cc', 'ff c8'); // cpuid; inc eax; int3; dec eax; int3
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.cpu.setRegNumber(RAX, 7);
      const ending = runWith(m, () => {
        m.cpu.rip = CODE + 5;
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.equal(m.cpu.reg(RAX), 6);
    }
  });

  test(`${kind}: a decision that sets the trap flag traps after the next instruction`, async () => {
    const m = await machine(kind, '0f a2', 'ff c0', 'ff c0'); // cpuid; inc eax; inc eax
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.cpu.rflags = 0x202;
      const ending = runWith(m, () => {
        m.cpu.rflags |= TF;
        return 100;
      });
      assert.deepEqual(ending, DB);
      assert.equal(m.cpu.rip, CODE + 4);
    }
  });

  test(`${kind}: a decision that sets RF holds breakpoints off the next instruction and no other`, async () => {
    const m = await machine(kind, '0f a2', 'ff c0', 'ff c0'); // cpuid; inc eax; inc eax
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.cpu.rflags = 0x202;
      const ending = runWith(m, () => {
        m.cpu.rflags |= FLAG_RF;
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.equal(m.cpu.rflags & FLAG_RF, 0);
    }
  });

  test(`${kind}: a decision that writes the code behind the instruction is executed as written`, async () => {
    const m = await machine(kind, '0f a2', 'b8 01 00 00 00'); // cpuid; mov eax, 1
    for (let round = 1; round < 5; round++) {
      warm(m);
      const ending = runWith(m, () => {
        m.memory.write8(m.physical(CODE + 3), 10 * round);
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.equal(m.cpu.reg(RAX), 10 * round);
    }
  });

  test(`${kind}: a decision that maps other code where the instruction stands goes on there`, async () => {
    const m = await machine(kind, '0f a2', 'b8 01 00 00 00'); // cpuid; mov eax, 1
    const here = m.physical(CODE) / PAGE_SIZE;
    m.code(CODE + PAGE_SIZE, '0f a2 b8 02 00 00 00 cc');
    const there = m.physical(CODE + PAGE_SIZE) / PAGE_SIZE;
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.map(CODE, here, PAGE_RW);
      const ending = runWith(m, () => {
        m.map(CODE, there, PAGE_RW);
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.equal(m.cpu.reg(RAX), 2);
    }
  });

  test(`${kind}: a caller whose page is mapped anew while it waits goes on in the new one`, async () => {
    const FUNCTION = CODE + PAGE_SIZE;
    const m = await machine(kind, 'e8 fb 0f 00 00', 'b8 01 00 00 00'); // call FUNCTION; mov eax, 1
    m.code(FUNCTION, '0f a2 c3'); // cpuid; ret
    const here = m.physical(CODE) / PAGE_SIZE;
    m.mapNew(CODE + 2 * PAGE_SIZE, PAGE_RW);
    m.code(CODE + 2 * PAGE_SIZE + 5, 'b8 02 00 00 00 cc'); // mov eax, 2
    const there = m.physical(CODE + 2 * PAGE_SIZE) / PAGE_SIZE;
    warm(m);
    for (let round = 0; round < 3; round++) {
      m.map(CODE, here, PAGE_RW);
      const ending = runWith(m, () => {
        m.map(CODE, there, PAGE_RW);
        return 100;
      });
      assert.deepEqual(ending, INT3);
      assert.equal(m.cpu.reg(RAX), 2);
    }
  });

  test(`${kind}: a caller whose code its callee writes goes on as written`, async () => {
    const FUNCTION = CODE + PAGE_SIZE;
    const m = await machine(kind, 'e8 fb 0f 00 00', 'b8 01 00 00 00'); // call FUNCTION; mov eax, 1
    m.code(FUNCTION, '84 d2 74 02 88 13 c3'); // test dl, dl; jz over; mov [rbx], dl; ret
    m.cpu.setRegNumber(RBX, CODE + 6);
    for (let round = 1; round < 5; round++) {
      m.cpu.setRegNumber(RDX, 0);
      warm(m);
      m.cpu.setRegNumber(RDX, 10 * round);
      assert.deepEqual(m.run(CODE), INT3);
      assert.equal(m.cpu.reg(RAX), 10 * round);
    }
  });

  test(`${kind}: no more is executed than a decision grants`, async () => {
    const m = await machine(kind, '0f a2', 'ff c0', 'ff c0', 'ff c0'); // cpuid; inc eax, three times
    warm(m);
    for (let round = 0; round < 3; round++) {
      for (const [granted, exit] of [
        [0, 'settled'],
        [1, 'budget'],
        [2, 'budget'],
        [9, 'interrupt'],
      ] as const) {
        m.cpu.setRegNumber(RAX, 0);
        assert.equal(runWith(m, () => granted).exit, exit);
        assert.equal(m.cpu.reg(RAX), Math.min(granted, 3));
      }
    }
  });

  test(`${kind}: with the trap flag set every instruction ends in #DB, and nobody decides beside that`, async () => {
    // add eax, [rbx]; cpuid; inc eax; rep stosb with a count of 0; int3
    const m = await machine(kind, '03 03', '0f a2', 'ff c0', '31 c9', 'f3 aa');
    for (let round = 0; round < 3; round++) {
      m.cpu.rflags = 0x202 | TF;
      assert.deepEqual(m.run(CODE), DB);
      assert.equal(m.cpu.rip, CODE + 2);
      m.engine.onExit = () => assert.fail('asked for a decision');
      try {
        assert.deepEqual(m.run(), { exit: 'cpuid' });
      } finally {
        m.engine.onExit = undefined;
      }
      assert.equal(m.cpu.rflags & TF, TF);
      for (const rip of [CODE + 6, CODE + 8, CODE + 10]) {
        assert.deepEqual(m.run(), DB);
        assert.equal(m.cpu.rip, rip);
      }
      assert.deepEqual(m.run(), INT3);
      assert.equal(m.cpu.rflags & TF, TF);
    }
  });

  test(`${kind}: POPF and IRET that set the trap flag trap after the next instruction, also in a callee`, async () => {
    // L: call F; inc eax; jmp L. F: popf; ret, or iretq to the ret
    const m = await machine(kind, 'e8 05 00 00 00', 'ff c0', 'eb f7', 'cc', '9d', 'c3', '48 cf');
    const top = DATA + 0x800;
    const words = (at: number, list: readonly number[]): void => {
      for (const [i, word] of list.entries()) m.memory.write64(m.physical(at + 8 * i), word, 0);
    };
    for (let round = 0; round < 3; round++) {
      // Under the return address: what POPF takes is pushed by the caller's place on the stack.
      m.cpu.rflags = 0x202;
      m.cpu.setRegNumber(RSP, top);
      words(top, [0x302, CODE + 9]);
      assert.deepEqual(m.run(CODE + 10), DB);
      assert.equal(m.cpu.rip, CODE + 9, 'the RET has been executed');
      m.cpu.rflags = 0x202;
      m.cpu.setRegNumber(RSP, top);
      words(top, [CODE + 5, 0x33, 0x302, top, 0x2b]);
      assert.deepEqual(m.run(CODE + 12), DB);
      assert.equal(m.cpu.rip, CODE + 7);
    }
  });

  test(`${kind}: ring 0 that returns to ring 3 leaves its translations behind`, async () => {
    // iretq; and in ring 3: mov eax, [rbx]
    const m = await machine(kind, '8b 03', '48 cf', '8b 03');
    m.map(DATA, m.physical(DATA) / PAGE_SIZE, PAGE_SUPERVISOR);
    const top = DATA + PAGE_SIZE;
    for (const [i, word] of [CODE + 4, 0x33, 0x202, top, 0x2b].entries()) {
      m.memory.write64(m.physical(top) + 8 * i, word, 0);
    }
    for (let round = 0; round < 3; round++) {
      m.ring(0);
      m.cpu.setSegment(CS, 0x08, 0xa09b, 0xffffffff, 0);
      m.cpu.setRegNumber(RSP, top);
      assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 14, error: 5, address: DATA });
      assert.equal(m.cpu.cpl, 3);
    }
  });

  test(`${kind}: an IRET that sets RFLAGS.IF opens the window that an interrupt waits for`, async () => {
    const m = await machine(kind, '48 cf', 'ff c0'); // iretq; inc eax
    const waits = (CPU + CPU_INTERRUPT_WAITS) >> 2;
    for (let round = 0; round < 3; round++) {
      for (const [flags, ending] of [
        [0x2, INT3],
        [0x2 | IF, { exit: 'interrupt window' }],
      ] as const) {
        m.ring(0);
        m.cpu.setSegment(CS, 0x08, 0xa09b, 0xffffffff, 0);
        m.cpu.rflags = 0x2;
        m.cpu.setRegNumber(RSP, DATA + 0x800);
        for (const [i, word] of [CODE + 2, 0x08, flags, DATA + 0x900, 0x10].entries()) {
          m.memory.write64(m.physical(DATA + 0x800 + 8 * i), word, 0);
        }
        m.memory.i32[waits] = 1;
        assert.deepEqual(m.run(CODE), ending);
        m.memory.i32[waits] = 0;
      }
    }
  });

  test(`${kind}: a far jump within a segment that has a base leads to an offset in it`, async () => {
    // 16-bit code: inc ax; jmp far; and there: inc ax
    const m = await machine(kind, '40', 'ea 10 00 4b 00');
    m.code(CODE + 0x10, '40 cc');
    m.cpu.setSegment(CS, 0x4b, 0x00fb, 0xffff, CODE);
    for (let round = 0; round < 5; round++) {
      m.cpu.setRegNumber(RAX, 0);
      assert.deepEqual(m.run(0), INT3);
      assert.deepEqual([m.cpu.rip, m.cpu.reg(RAX)], [0x12, 2]);
    }
  });

  test(`${kind}: a segment that ends earlier is looked at from the next instruction on`, async () => {
    // In compatibility mode: mov ds, edx; mov eax, [ebx]
    const m = await machine(kind, '8e da', '8b 03');
    for (let round = 0; round < 3; round++) {
      m.cpu.setSegment(CS, 0x23, 0xc0fb, 0xffffffff, 0);
      m.cpu.setRegNumber(RDX, 0x2b);
      assert.deepEqual(m.run(CODE), INT3);
      m.cpu.setRegNumber(RDX, 0x43);
      assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 13, error: 0 });
      assert.equal(m.cpu.rip, CODE + 2);
      m.cpu.setRegNumber(RDX, 0x2b);
    }
  });
}
