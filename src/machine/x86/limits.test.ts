/**
 * Segment limits, widths and alignment checks, where one instruction on random operands (`vectors/`) says too little: what
 * comes before and after, what belongs to another mode, and that compiled code and the interpreter agree about it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU_EFER } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { EngineKind } from './engine.ts';
import { CS, DS, ES, FS, GS, RAX, RBX, RCX, RDX, RSI, RSP, SS } from './registers.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const KINDS: readonly EngineKind[] = ['interpreter', 'compiler'];
const AC = 0x40000;

/** Attributes of a segment register: see `state.ts`. */
const CODE32 = 0xc0fb;
const CODE16 = 0x00fb;
const CODE64 = 0xa0fb;
const DATA32 = 0xc0f3;
const DATA16 = 0x00f3;
const DATA_READ_ONLY = 0xc0f1;
const DATA_DOWN = 0xc0f7;
const FLAT = 0xffffffff;
const GP = { exit: 'exception', vector: 13, error: 0 };
const SS_FAULT = { exit: 'exception', vector: 12, error: 0 };
const AC_FAULT = { exit: 'exception', vector: 17, error: 0 };
const INT3 = { exit: 'interrupt', vector: 3 };

/** A machine with code and data mapped, in compatibility mode with flat segments, or in 64-bit mode. */
async function machine(kind: EngineKind, long: boolean, ...code: string[]): Promise<TestMachine> {
  const m = await TestMachine.create(kind);
  m.mapNew(CODE, PAGE_RW, 2);
  m.mapNew(DATA, PAGE_RW, 2);
  m.code(CODE, `${code.join(' ')} cc`);
  if (!long) m.cpu.setSegment(CS, 0x23, CODE32, FLAT, 0);
  m.cpu.setRegNumber(RBX, DATA);
  m.cpu.setRegNumber(RSP, DATA + 0x800);
  m.cpu.rip = CODE;
  return m;
}

for (const kind of KINDS) {
  test(`${kind}: data segments end at their limits, the stack with #SS, and a fault changes nothing`, async () => {
    const m = await machine(kind, false, '89 03', '50'); // mov [ebx], eax; push eax
    m.cpu.setSegment(DS, 7, DATA32, DATA + 2, 0);
    const before = m.state();
    assert.deepEqual(m.run(CODE), GP);
    m.cpu.setSegment(DS, 7, DATA32, DATA + 3, 0);
    m.cpu.setSegment(SS, 7, DATA32, DATA + 0x7fe, 0);
    assert.deepEqual(m.run(CODE), SS_FAULT);
    assert.equal(m.cpu.rip, CODE + 2);
    assert.equal(m.cpu.reg(RSP), DATA + 0x800);
    assert.equal(m.state().slice(0, 271), before.slice(0, 271), 'no register has changed');
    m.cpu.setSegment(SS, 7, DATA32, DATA + 0x7ff, 0);
    assert.deepEqual(m.run(), INT3);
  });

  test(`${kind}: a segment that expands downwards holds what lies above its limit`, async () => {
    const m = await machine(kind, false, '8b 03'); // mov eax, [ebx]
    m.cpu.setSegment(DS, 7, DATA_DOWN, DATA, 0);
    assert.deepEqual(m.run(CODE), GP);
    m.cpu.setSegment(DS, 7, DATA_DOWN, DATA - 1, 0);
    assert.deepEqual(m.run(CODE), INT3);
  });

  test(`${kind}: a read-only segment is read, not written; code is not written, whatever its limit`, async () => {
    const m = await machine(kind, false, '8b 03', '89 03'); // mov eax, [ebx]; mov [ebx], eax
    m.cpu.setSegment(DS, 7, DATA_READ_ONLY, FLAT, 0);
    assert.deepEqual(m.run(CODE), GP);
    assert.equal(m.cpu.rip, CODE + 2);
    const c = await machine(kind, false, '2e 8b 03', '2e 89 03');
    assert.deepEqual(c.run(CODE), GP);
    assert.equal(c.cpu.rip, CODE + 3);
  });

  test(`${kind}: a null FS or GS faults, while code with flat segments beside them goes unchecked`, async () => {
    const m = await machine(kind, false, '8b 03', '65 8b 03', '64 8b 03'); // mov eax, [ebx]; gs:[ebx]; fs:[ebx]
    m.cpu.setSegment(GS, 0x63, DATA32, FLAT, 8);
    m.memory.write64(m.physical(DATA), 0x11111111, 0);
    m.memory.write64(m.physical(DATA + 8), 0x22222222, 0);
    assert.deepEqual(m.run(CODE), GP);
    assert.equal(m.cpu.rip, CODE + 5);
    assert.equal(m.cpu.reg(RAX), 0x22222222);
    m.cpu.setSegment(FS, 0x63, DATA32, FLAT, 0);
    assert.deepEqual(m.run(), INT3);
    assert.equal(m.cpu.reg(RAX), 0x11111111);
  });

  test(`${kind}: code ends at its limit, and what lies beyond is not even fetched`, async () => {
    const m = await machine(kind, false);
    m.code(CODE + 0xffc, '40 40 b8 01'); // inc eax; inc eax; mov eax, … with its last bytes on the next page
    m.unmap(CODE + PAGE_SIZE);
    m.cpu.setSegment(CS, 0x23, CODE32, CODE + 0xfff, 0);
    assert.deepEqual(m.run(CODE + 0xffc), GP);
    assert.equal(m.cpu.rip, CODE + 0xffe);
    assert.equal(m.cpu.reg(RAX), 2);
    m.cpu.setSegment(CS, 0x23, CODE32, CODE + 0xffd, 0);
    assert.deepEqual(m.run(CODE + 0xffc), GP);
    assert.equal(m.cpu.rip, CODE + 0xffe);
    m.cpu.setSegment(CS, 0x23, CODE32, FLAT, 0);
    assert.deepEqual(m.run(CODE + 0xffc), {
      exit: 'exception',
      vector: 14,
      error: 0x14,
      address: CODE + PAGE_SIZE,
    });
  });

  test(`${kind}: 16-bit code counts and calls in its segment, on a 16-bit stack`, async () => {
    // mov cx, 3; L: call +4; loop L; int3; nop; F: inc ax; push sp; pop dx; ret
    const m = await machine(kind, false, 'b9 03 00', 'e8 04 00', 'e2 fb', 'cc', '90', '40', '54', '5a', 'c3');
    m.cpu.setSegment(CS, 7, CODE16, 0xffff, CODE);
    m.cpu.setSegment(SS, 7, DATA16, 0xffff, DATA);
    m.cpu.setReg(RSP, 0x12340802, 0);
    m.cpu.setReg(RCX, 0x77770000, 0);
    m.cpu.setReg(RAX, 0x5555fffe | 0, 0);
    assert.deepEqual(m.run(0), INT3);
    assert.equal(m.cpu.rip, 9);
    assert.equal(m.cpu.reg(RAX), 0x55550001);
    assert.equal(m.cpu.reg(RCX), 0x77770000);
    assert.equal(m.cpu.reg(RDX) & 0xffff, 0x800);
    assert.equal(m.cpu.reg(RSP), 0x12340802);
    assert.equal(m.bytes(DATA + 0x800, 2), '06 00', 'the return address is an offset');
  });

  test(`${kind}: a hypervisor that decides while code waits may load a code segment with a base`, async () => {
    const m = await machine(kind, true, '0f 05', 'cc'); // syscall
    m.code(CODE + 0x20, '40 0f 05 40 cc'); // 32-bit code: inc eax; syscall; inc eax; int3
    const { engine, cpu } = m;
    const seen: number[] = [];
    engine.onExit = () => {
      seen.push(cpu.rip);
      if (seen.length > 1) return 0;
      cpu.setSegment(CS, 7, CODE32, FLAT, CODE);
      cpu.rip = 0x20;
      return 1000;
    };
    try {
      assert.deepEqual(m.run(CODE), { exit: 'syscall' });
      seen.push(cpu.rip);
      assert.deepEqual(m.run(), INT3);
    } finally {
      engine.onExit = undefined;
    }
    assert.deepEqual(seen, [CODE + 2, 0x23]);
    assert.equal(cpu.rip, 0x25);
    assert.equal(cpu.reg(RAX), 2);
  });

  test(`${kind}: a stack pointer of 16 bits wraps, and does not reach beyond 64 KiB`, async () => {
    const m = await machine(kind, false, '50', '58'); // push eax; pop eax
    m.mapNew(DATA + 0xf000, PAGE_RW);
    m.cpu.setSegment(SS, 7, DATA16, 0xffff, DATA);
    m.cpu.setReg(RSP, 0x12340000, 0);
    assert.deepEqual(m.run(CODE), INT3);
    assert.equal(m.cpu.reg(RSP), 0x12340000);
    m.cpu.setReg(RSP, 0x12340002, 0);
    assert.deepEqual(m.run(CODE), SS_FAULT);
    assert.equal(m.cpu.reg(RSP), 0x12340002);
  });

  test(`${kind}: the same bytes are other code in another mode, and each finds its own`, async () => {
    const m = await machine(kind, false, 'b8 01 00 00 00'); // mov eax, 1; as 16-bit code: mov ax, 1; add [bx+si], al
    for (let round = 0; round < 3; round++) {
      m.cpu.setSegment(CS, 7, CODE32, FLAT, 0);
      m.cpu.setReg(RAX, 0x77777777, 0);
      assert.deepEqual(m.run(CODE), INT3);
      assert.equal(m.cpu.reg(RAX), 1);
      m.cpu.setSegment(CS, 7, CODE16, 0xffff, CODE);
      m.cpu.setSegment(DS, 7, DATA32, FLAT, DATA);
      m.cpu.setReg(RBX, 0, 0);
      m.cpu.setReg(RSI, 0x20, 0);
      m.cpu.setReg(RAX, 0x77777777, 0);
      assert.deepEqual(m.run(0), INT3);
      assert.equal(m.cpu.reg(RAX), 0x77770001);
    }
    assert.equal(m.bytes(DATA + 0x20, 1), '03');
  });

  test(`${kind}: POPF turns alignment checks on and off`, async () => {
    // mov eax, [rbx+1]; push AC; popf; mov eax, [rbx+4]; mov eax, [rbx+1]
    const on = `68 02 02 04 00 9d`;
    const m = await machine(kind, true, '8b 43 01', on, '8b 43 04', '8b 43 01', '48 0f 6f 03');
    m.cpu.cr0 = 0x80050033;
    const before = m.cpu.retired;
    assert.deepEqual(m.run(CODE), AC_FAULT);
    assert.equal(m.cpu.rip, CODE + 12);
    assert.equal(m.cpu.retired - before, 4);
    // The handler clears it: the access goes through, and what follows is unchecked too.
    m.cpu.rflags &= ~AC;
    assert.deepEqual(m.run(), INT3);
  });

  test(`${kind}: alignment is looked at in ring 3 alone, and if CR0.AM is set`, async () => {
    for (const [ring, cr0, faults] of [
      [3, 0x80050033, true],
      [3, 0x80010033, false],
      [0, 0x80050033, false],
    ] as const) {
      const m = await machine(kind, true, '8b 43 01', '66 0f 6f 03'); // mov eax, [rbx+1]; movdqa xmm0, [rbx]
      m.cpu.cr0 = cr0;
      m.cpu.rflags |= AC;
      m.ring(ring);
      assert.deepEqual(m.run(CODE), faults ? AC_FAULT : INT3, `ring ${ring}, CR0 ${cr0.toString(16)}`);
    }
  });

  test(`${kind}: a misaligned access is #AC before it is a page fault, a 16-byte operand #GP before that`, async () => {
    const m = await machine(kind, true, '8b 43 01', '66 0f 6f 43 08'); // mov eax, [rbx+1]; movdqa xmm0, [rbx+8]
    m.cpu.cr0 = 0x80050033;
    m.cpu.rflags |= AC;
    m.unmap(DATA);
    assert.deepEqual(m.run(CODE), AC_FAULT);
    assert.deepEqual(m.run(CODE + 3), GP);
  });

  test(`${kind}: a callee that turns alignment checks on returns to a caller that is checked`, async () => {
    // mov esi, 200; L: call F; mov eax, [rbx+1]; dec esi; jnz L; int3
    // F: cmp esi, 7; jne R; push AC; popf; R: ret
    const loop = ['be c8 00 00 00', 'e8 08 00 00 00', '8b 43 01', 'ff ce', '75 f4', 'cc'];
    const callee = ['83 fe 07', '75 06', '68 02 02 04 00', '9d', 'c3'];
    const m = await machine(kind, true, ...loop, ...callee);
    m.cpu.cr0 = 0x80050033;
    assert.deepEqual(m.run(CODE, 100000), AC_FAULT);
    assert.equal(m.cpu.rip, CODE + 10);
    assert.equal(m.cpu.reg(RSI), 7);
    assert.equal(m.cpu.retired, 1 + 193 * 7 + 6);
  });
}

test('no segment is longer than 4 GiB: what reaches beyond is refused, data and code, and nothing wraps', async () => {
  const m = await machine(
    'interpreter',
    false,
    '8b 05 fe ff ff ff',
    '36 8b 05 fd ff ff ff',
    '8a 05 ff ff ff ff',
  );
  m.mapNew(0xfffff000, PAGE_RW);
  m.mapNew(0, PAGE_RW);
  assert.deepEqual(m.run(CODE), GP);
  assert.deepEqual(m.run(CODE + 6), SS_FAULT);
  assert.deepEqual(m.run(CODE + 13), INT3);
  m.cpu.setRegNumber(RBX, 0xfffffff0);
  for (const [code, ends] of [
    ['dd 33', GP], // fnsave [ebx]
    ['36 0f ae 03', SS_FAULT], // fxsave ss:[ebx]
  ] as const) {
    m.code(CODE, code);
    assert.deepEqual(m.run(CODE), ends);
  }
  m.code(0xffffffff, 'b8'); // mov eax, … with its last bytes at 0
  assert.deepEqual(m.run(0xffffffff), GP);
  m.code(0xffffffff, '40'); // inc eax; and at 0 int3
  m.code(0, 'cc');
  assert.deepEqual(m.run(0xffffffff), INT3);
  assert.equal(m.cpu.rip, 1);
});

test('FXSAVE and FNSAVE look at all of their image', async () => {
  for (const [code, bytes] of [
    ['0f ae 03', 512],
    ['dd 33', 108],
    ['66 dd 33', 94],
    ['d9 33', 28],
    ['66 d9 33', 14],
  ] as const) {
    const m = await machine('interpreter', false, code);
    m.cpu.setSegment(DS, 7, DATA32, DATA + bytes - 2, 0);
    assert.deepEqual(m.run(CODE), GP, code);
    m.cpu.setSegment(DS, 7, DATA32, DATA + bytes - 1, 0);
    assert.deepEqual(m.run(CODE), INT3, code);
  }
});

test('ENTER wants the new top of the stack to be writable', async () => {
  const m = await machine('interpreter', true, 'c8 00 10 00'); // enter 0x1000, 0
  m.map(DATA - PAGE_SIZE, m.frame(), PAGE_RO);
  m.cpu.setRegNumber(RSP, DATA + 0x18);
  assert.deepEqual(m.run(CODE), { exit: 'exception', vector: 14, error: 7, address: DATA - 0xff0 });
  assert.equal(m.cpu.reg(RSP), DATA + 0x18);
});

// ------------------------------------------------------------------ call gates

/** Words of a 64-bit call gate to an address. */
function gate(selector: number, address: number, access: number): readonly [number, number][] {
  return [
    [(selector << 16) | (address & 0xffff), (address & 0xffff0000) | (access << 8)],
    [0, 0],
  ];
}

/** A machine whose GDT has 64-bit code at 0x33, 32-bit code at 0x23, ring 0 code at 0x13, and a gate at 0x40. */
async function gated(entries: readonly (readonly [number, number])[], long = true): Promise<TestMachine> {
  // call far [rbx]; at +0x100 the target: int3
  const m = await machine('interpreter', long, 'ff 1b');
  m.cpu.set(CPU_EFER, 0xd01, 0);
  m.code(CODE + 0x100, 'cc');
  const table = new Map<number, readonly [number, number]>([
    [2, [0, 0x00209b00]],
    [4, [0xffff, 0x00cffb00]],
    [6, [0xffff, 0x00affb00]],
    ...entries.map((words, i) => [8 + i, words] as const),
  ]);
  m.engine.hooks = {
    readDescriptor(selector) {
      const words = table.get(selector >> 3);
      return words === undefined ? undefined : { low: words[0], high: words[1] };
    },
  };
  m.memory.write64(m.physical(DATA), 0, 0x43);
  return m;
}

test('a call gate leads to 64-bit code of the same privilege, and pushes eight bytes each', async () => {
  for (const long of [true, false]) {
    const m = await gated(gate(0x33, CODE + 0x100, 0xec), long);
    assert.deepEqual(m.run(CODE), INT3);
    assert.equal(m.cpu.rip, CODE + 0x101);
    assert.equal(m.cpu.selector(CS), 0x33);
    assert.equal(m.cpu.reg(RSP), DATA + 0x7f0);
    assert.equal(
      m.bytes(DATA + 0x7f0, 16),
      `02 00 40 00 00 00 00 00 ${long ? '33' : '23'} 00 00 00 00 00 00 00`,
    );
  }
});

test('a call gate that may not be used, or is not all there, is refused with its selector', async () => {
  for (const [name, entries, vector, error] of [
    ['of ring 0', gate(0x33, CODE + 0x100, 0x8c), 13, 0x40],
    ['not present', gate(0x33, CODE + 0x100, 0x6c), 11, 0x40],
    ['to 32-bit code', gate(0x23, CODE + 0x100, 0xec), 13, 0x20],
    ['to nothing', gate(0, CODE + 0x100, 0xec), 13, 0],
    ['without its second half', gate(0x33, CODE + 0x100, 0xec).slice(0, 1), 13, 0x40],
    ['with a descriptor in its second half', [gate(0x33, CODE, 0xec)[0]!, [0, 0xc00] as const], 13, 0x40],
    ['a task', [[0, 0x8900] as const, [0, 0] as const], 13, 0x40],
  ] as const) {
    const m = await gated(entries);
    assert.deepEqual(m.run(CODE), { exit: 'exception', vector, error }, name);
    assert.equal(m.cpu.reg(RSP), DATA + 0x800, name);
  }
});

test("a call gate that leads inward is the hypervisor's", async () => {
  const m = await gated(gate(0x13, CODE + 0x100, 0xec));
  assert.deepEqual(m.run(CODE), { exit: 'system' });
  assert.equal(m.cpu.rip, CODE);
});

test('ES in 64-bit mode has no limit, and gets it back outside', async () => {
  const m = await machine('interpreter', true, '26 8b 03');
  m.cpu.setSegment(ES, 7, DATA32, 0, 0);
  assert.deepEqual(m.run(CODE), INT3);
  m.cpu.setSegment(CS, 0x23, CODE32, FLAT, 0);
  assert.deepEqual(m.run(CODE), GP);
  m.cpu.setSegment(CS, 0x33, CODE64, FLAT, 0);
  assert.deepEqual(m.run(CODE), INT3);
});

test('code of a segment with a base goes on at 0 behind 4 GiB, also in the middle of an instruction', async () => {
  const BASE = 0xfffff000;
  // inc eax, wherever the border lies · mov eax across it; then int3
  for (const code of ['ff c0 cc', '90 ff c0 cc', '90 90 ff c0 cc', 'b8 01 00 00 00 cc']) {
    for (const budget of [1, 100]) {
      const m = await TestMachine.create();
      m.mapNew(BASE, PAGE_RW);
      m.mapNew(0, PAGE_RW);
      m.cpu.setSegment(CS, 0x0f, 0x40fb, 0xffff, BASE);
      for (const [i, byte] of code.split(' ').entries()) m.code((BASE + 0xffe + i) % 2 ** 32, byte);
      for (let round = 0; round < 3; round++) {
        m.cpu.setRegNumber(RAX, 0);
        let ending = m.run(0xffe, budget);
        while (ending.exit === 'budget') ending = m.run(m.cpu.rip, budget);
        assert.deepEqual(ending, { exit: 'interrupt', vector: 3 }, code);
        assert.equal(m.cpu.rip, 0xffe + code.split(' ').length, code);
        assert.equal(m.cpu.reg(RAX), 1, code);
      }
    }
  }
});
