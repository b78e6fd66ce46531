import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CPU, CPU_FPU_CONTROL, CPU_FPU_EMPTY, CPU_FPU_STATUS, CPU_FPU_TOP, CPU_X87 } from '../../layout.ts';
import { PAGE_SIZE } from '../../memory.ts';
import { CS, DS, RAX, RBX } from '../registers.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from '../testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const INT3 = { exit: 'interrupt', vector: 3 };
const exception = (vector: number, error = 0) => ({ exit: 'exception', vector, error });
const pageFault = (error: number, address: number) => ({ exit: 'exception', vector: 14, error, address });
const MF = exception(16);
const UD = exception(6);
const NM = exception(7);

const ONE = '3fff 8000000000000000';
const TWO = '4000 8000000000000000';
const INDEFINITE = 'ffff c000000000000000';

/** Code, an INT3 behind it, and two pages of data that rbx points to. */
async function machineWith(hex: string): Promise<TestMachine> {
  const machine = await TestMachine.create();
  machine.mapNew(CODE, PAGE_RW);
  machine.mapNew(DATA, PAGE_RW, 2);
  machine.code(CODE, `${hex} cc`);
  machine.cpu.setRegNumber(RBX, DATA);
  machine.cpu.rip = CODE;
  return machine;
}

/** The registers that are not empty, ST0 first, as sign and exponent and significand in hex; `-` for an empty one. */
function stack(m: TestMachine): string[] {
  const { view } = m.memory;
  const top = view.getUint32(CPU + CPU_FPU_TOP, true);
  const empty = view.getUint8(CPU + CPU_FPU_EMPTY);
  const registers: string[] = [];
  for (let i = 0; i < 8; i++) {
    const n = (top + i) & 7;
    const at = CPU + CPU_X87 + n * 16;
    const number = `${hex(view.getUint16(at + 8, true), 4)} ${hex(view.getUint32(at + 4, true), 8)}${hex(view.getUint32(at, true), 8)}`;
    registers.push(((empty >> n) & 1) === 0 ? number : '-');
  }
  while (registers.at(-1) === '-') registers.pop();
  return registers;
}
const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

/** The status word, without TOP. */
function status(m: TestMachine): number {
  return m.memory.view.getUint16(CPU + CPU_FPU_STATUS, true);
}
function setControl(m: TestMachine, control: number): void {
  m.memory.view.setUint16(CPU + CPU_FPU_CONTROL, control, true);
}
/** All that FNSAVE would see. */
function everything(m: TestMachine): string {
  const words = m.memory.u8.subarray(CPU + CPU_FPU_CONTROL, CPU + CPU_FPU_EMPTY + 1);
  return `${Array.from(words).join(' ')} ${stack(m).join(' ')}`;
}

const INVALID_UNMASKED = 0x37e;
/** Stack fault and invalid operation; with ES and B where it is not masked; C1 tells overflow. */
const FAULT = 0x41;
const PENDING = 0x8080;
const C1 = 0x200;

test('numbers travel through the stack: fld, fild, fadd, fmulp, fstp', async () => {
  const m = await machineWith('d9 03 df 43 04 d8 c1 de c9 dd 5b 08'); // fld m32; fild m16; fadd st1; fmulp; fstp m64
  m.memory.view.setFloat32(m.memory.framesBase + m.physical(DATA), 1.5, true);
  m.memory.write32(m.physical(DATA + 4), -3);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.memory.view.getFloat64(m.memory.framesBase + m.physical(DATA + 8), true), (-3 + 1.5) * 1.5);
  assert.deepEqual(stack(m), []);
  assert.equal(status(m), 0);
});

test('a push on a full stack leaves the indefinite and tells overflow by C1', async () => {
  const m = await machineWith('d9 e8 '.repeat(9)); // fld1
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual(stack(m), [INDEFINITE, ...Array(7).fill(ONE)]);
  assert.equal(status(m), FAULT | C1);
});

test('an operand that is not there gives the indefinite, C1 clear', async () => {
  const m = await machineWith('d9 e8 d8 c1'); // fld1; fadd st0, st1
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual(stack(m), [INDEFINITE]);
  assert.equal(status(m), FAULT);
});

test('fxch and fst fill the registers that were empty', async () => {
  const m = await machineWith('d9 e8 d9 c9 dd d3'); // fld1; fxch st1; fst st3
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual(stack(m), [INDEFINITE, ONE, '-', INDEFINITE]);
});

test('an unmasked stack fault changes nothing but the status word', async () => {
  for (const code of [
    'd8 c1', // fadd st0, st1
    'de c1', // faddp
    'd9 c1', // fld st1
    'd9 c9', // fxch
    'd9 fd', // fscale
    'd9 f3', // fpatan
    'dd d9', // fstp st1 after an empty register
  ]) {
    const m = await machineWith(`d9 e8 ${code === 'dd d9' ? 'd9 f7 ' : ''}${code}`);
    setControl(m, INVALID_UNMASKED);
    assert.deepEqual(m.run(), INT3, code);
    assert.deepEqual(
      stack(m).filter((r) => r !== '-'),
      [ONE],
      code,
    );
    assert.equal(status(m) & ~0x700, FAULT | PENDING, code);
  }
});

test('a store that an unmasked exception prevents neither writes nor pops', async () => {
  for (const [code, control] of [
    ['db 1b', INVALID_UNMASKED], // fistp m32 of infinity
    ['df 33', INVALID_UNMASKED], // fbstp of infinity
    ['d9 1b', 0x377], // fstp m32 of the largest number, overflow unmasked
  ] as const) {
    const m = await machineWith(`db 6b 10 ${code}`); // fld m80
    m.memory.write64(m.physical(DATA + 16), 0, 0x80000000 | 0);
    m.memory.write32(m.physical(DATA + 24), control === 0x377 ? 0x7ffe : 0x7fff);
    m.memory.fill(m.physical(DATA), 0x5a, 16);
    setControl(m, control);
    assert.deepEqual(m.run(), INT3, code);
    assert.equal(stack(m).length, 1, code);
    assert.equal(m.bytes(DATA, 4), '5a 5a 5a 5a', code);
    assert.equal(status(m) & PENDING, PENDING, code);
  }
});

test('a pending exception is delivered by the next waiting instruction, and by no other', async () => {
  // After fadd: fnstsw ax, fnstcw [rbx], fdisi, then the instruction that waits.
  for (const waiting of ['9b', 'd9 d0', 'd9 e8', 'd9 2b', 'dd c0', '0f 77']) {
    const m = await machineWith(`d9 e8 d8 c1 df e0 d9 3b db e1 ${waiting}`);
    setControl(m, INVALID_UNMASKED);
    m.cpu.setReg(RAX, 0x11112222, 0x33334444);
    assert.deepEqual(m.run(), MF, waiting);
    assert.equal(m.cpu.rip, CODE + 10, waiting);
    assert.equal(m.cpu.regLow(RAX) >>> 0, 0x1111b8c1);
    assert.equal(m.cpu.regHigh(RAX), 0x33334444);
    assert.equal(m.bytes(DATA, 2), '7e 03');
  }
  for (const unwaiting of ['db e2', 'db e3', 'd9 33', 'dd 33']) {
    const m = await machineWith(`d9 e8 d8 c1 ${unwaiting} 9b`); // fnclex, fninit, fnstenv, fnsave; then fwait
    setControl(m, INVALID_UNMASKED);
    assert.deepEqual(m.run(), INT3, unwaiting);
  }
});

test('fldcw makes a flag pending that it unmasks', async () => {
  const m = await machineWith('d8 c1 d9 2b d9 d0'); // fadd of nothing; fldcw [rbx]; fnop
  m.memory.write32(m.physical(DATA), 0xffff0000 | 0);
  assert.deepEqual(m.run(), MF);
  assert.equal(status(m), FAULT | PENDING);
  assert.equal(m.memory.view.getUint16(CPU + CPU_FPU_CONTROL, true), 0x40);
});

test('a store to a missing page does not pop, and goes through once the page is there', async () => {
  for (const [code, bytes] of [
    ['d9 1b', '00 00 80 3f'], // fstp m32
    ['dd 1b', '00 00 00 00 00 00 f0 3f'],
    ['db 3b', '00 00 00 00 00 00 00 80 ff 3f'],
    ['df 3b', '01 00 00 00 00 00 00 00'], // fistp m64
    ['df 33', '01 00 00 00 00 00 00 00 00 00'], // fbstp
    ['dd 0b', '01 00 00 00 00 00 00 00'], // fisttp m64
  ] as const) {
    const m = await machineWith(`d9 e8 ${code}`);
    m.unmap(DATA + PAGE_SIZE);
    m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 2);
    assert.deepEqual(m.run(), pageFault(6, DATA + PAGE_SIZE), code);
    assert.deepEqual([m.cpu.rip, stack(m)], [CODE + 2, [ONE]], code);
    assert.equal(m.bytes(DATA + PAGE_SIZE - 2, 2), '00 00', code);
    m.mapNew(DATA + PAGE_SIZE, PAGE_RW);
    assert.deepEqual(m.run(), INT3, code);
    assert.equal(m.bytes(DATA + PAGE_SIZE - 2, (bytes.length + 1) / 3), bytes, code);
    assert.deepEqual(stack(m), [], code);
  }
});

test('a load from a missing page pushes nothing and raises no flag, full stack or not', async () => {
  for (const code of ['d9 03', 'dd 03', 'db 2b', 'df 2b', 'df 23', 'd8 03', 'de 03', 'dd 23', 'd9 23']) {
    const m = await machineWith(`${'d9 e8 '.repeat(8)} ${code}`);
    m.unmap(DATA);
    m.run(CODE, 8);
    const before = everything(m);
    assert.deepEqual(m.run(), pageFault(4, DATA), code);
    assert.equal(everything(m), before, code);
  }
});

test('fnsave and fnstenv that cross into a page they may not write leave memory and state as they were', async () => {
  for (const code of ['dd 33', 'd9 33', '66 dd 33']) {
    const m = await machineWith(`d9 e8 d9 eb ${code}`);
    m.map(DATA + PAGE_SIZE, m.physical(DATA + PAGE_SIZE) / PAGE_SIZE, PAGE_RO);
    m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 12);
    m.run(CODE, 2);
    const before = everything(m);
    assert.deepEqual(m.run(), pageFault(7, DATA + PAGE_SIZE), code);
    assert.equal(everything(m), before, code);
    assert.equal(m.bytes(DATA + PAGE_SIZE - 12, 12), Array(12).fill('00').join(' '), code);
  }
});

test('fnsave writes the environment and the registers from ST0 on, and initialises', async () => {
  const m = await machineWith('d9 ee d9 e8 9b dd 33'); // fldz; fld1; fwait; fnsave [rbx]
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.bytes(DATA, 12), '7f 03 ff ff 00 30 ff ff ff 4f ff ff');
  assert.equal(m.bytes(DATA + 28, 20), '00 00 00 00 00 00 00 80 ff 3f 00 00 00 00 00 00 00 00 00 00');
  assert.deepEqual(stack(m), []);

  const narrow = await machineWith('d9 ee d9 e8 66 dd 33');
  assert.deepEqual(narrow.run(), INT3);
  assert.equal(narrow.bytes(DATA, 6), '7f 03 00 30 ff 4f');
  assert.equal(narrow.bytes(DATA + 14, 10), '00 00 00 00 00 00 00 80 ff 3f');
});

test('frstor and fldenv bring back what fnsave and fnstenv wrote, in both sizes, across a page too', async () => {
  for (const prefix of ['', '66 ']) {
    for (const [save, restore] of [
      ['dd 33', 'dd 23'],
      ['d9 33', 'd9 23'],
    ]) {
      // fldz; fld1; fadd st5 (a stack fault); save; fninit, but for the environment the registers stay; restore
      const m = await machineWith(`d9 ee d9 e8 d8 c5 ${prefix}${save} db e3 ${prefix}${restore}`);
      m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 20);
      m.run(CODE, 3);
      const before = everything(m);
      assert.deepEqual(m.run(), INT3);
      assert.equal(everything(m), before, `${prefix}${save}`);
    }
  }
});

test('fnstenv masks every exception in the processor, not in the image', async () => {
  const m = await machineWith('d9 33 d8 c1 9b'); // fnstenv; fadd of nothing; fwait
  setControl(m, 0x340);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.bytes(DATA, 2), '40 03');
  assert.equal(m.memory.view.getUint16(CPU + CPU_FPU_CONTROL, true), 0x37f);
});

test('a 32-bit image wraps at 4 GiB outside 64-bit mode, if its segment has a base', async () => {
  const m = await machineWith('d9 e8 d9 33'); // fld1; fnstenv [ebx]
  m.mapNew(0xfffff000, PAGE_RW);
  m.mapNew(0, PAGE_RW);
  m.cpu.setSegment(CS, 0x23, 0xc0fb, 0xffffffff, 0);
  m.cpu.setSegment(DS, 7, 0xc0f3, 0xffffffff, 24);
  m.cpu.setReg(RBX, -32, 0);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.bytes(0xfffffff8, 8), '7f 03 ff ff 00 38 ff ff');
  assert.equal(m.bytes(0, 4), 'ff 3f ff ff');
});

test('a store into code that follows takes effect', async () => {
  const m = await machineWith('d9 e8 db 1b d9 e8 90 90'); // fld1; fistp [rbx] over the second fld1
  m.cpu.setRegNumber(RBX, CODE + 4);
  m.cpu.rflags = 0x202;
  // 1 as an integer is add [rax], eax; nothing, with rax at the data.
  m.cpu.setRegNumber(RAX, DATA);
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual(stack(m), []);
});

test('CR0 decides whether x87 instructions and fwait execute', async () => {
  const [PE, MP, EM, TS] = [1, 2, 4, 8];
  for (const [cr0, code, expected] of [
    [PE | MP, 'd9 e8', INT3],
    [PE | TS, 'd9 e8', NM],
    [PE | EM, 'd9 e8', NM],
    [PE | EM, 'db e3', NM],
    [PE | TS, '9b', INT3],
    [PE | TS | MP, '9b', NM],
    [PE | EM | MP, '9b', INT3],
  ] as const) {
    const m = await machineWith(code);
    m.cpu.cr0 = (0x80010020 | cr0) >>> 0;
    assert.deepEqual(m.run(), expected, `${code} with CR0 ${cr0}`);
  }
});

test('fcomi sets ZF, PF, CF and clears the rest; fcom sets C3, C2, C0', async () => {
  const [ZF, PF, CF] = [0x40, 4, 1];
  // ST0 against ST1: fld1, fldpi, zero over zero
  for (const [load, flags, codes] of [
    ['d9 eb d9 e8', CF, 0x100], // 1 < pi
    ['d9 e8 d9 eb', 0, 0],
    ['d9 e8 d9 e8', ZF, 0x4000],
    ['d9 ee d9 ee de f9 d9 e8', ZF | PF | CF, 0x4500], // 0 / 0
  ] as const) {
    const m = await machineWith(`${load} db e9 dd e1`); // fucomi st1; fucom st1
    m.cpu.rflags = 0xad7;
    assert.deepEqual(m.run(), INT3, load);
    assert.equal(m.cpu.rflags & 0x8d5, flags, load);
    assert.equal(status(m) & 0x4500, codes, load);
  }
});

test('fcmov moves where the flag says so', async () => {
  for (const [opcode, flags, moves] of [
    ['da c1', 1, true], // fcmovb
    ['da c1', 0, false],
    ['db c1', 1, false], // fcmovnb
    ['da c9', 0x40, true], // fcmove
    ['da d1', 0x40, true], // fcmovbe
    ['da d9', 4, true], // fcmovu
    ['db d9', 4, false], // fcmovnu
  ] as const) {
    const m = await machineWith(`d9 eb d9 e8 ${opcode}`);
    m.cpu.rflags = 0x202 | flags;
    assert.deepEqual(m.run(), INT3);
    assert.equal(stack(m)[0], moves ? '4000 c90fdaa22168c235' : ONE, `${opcode} ${flags}`);
  }
});

test('the constants follow the rounding control', async () => {
  const CONSTANTS: readonly [string, string, string, string, string][] = [
    // nearest, down, up, towards zero
    [
      'd9 e9',
      '4000 d49a784bcd1b8afe',
      '4000 d49a784bcd1b8afe',
      '4000 d49a784bcd1b8aff',
      '4000 d49a784bcd1b8afe',
    ],
    [
      'd9 ea',
      '3fff b8aa3b295c17f0bc',
      '3fff b8aa3b295c17f0bb',
      '3fff b8aa3b295c17f0bc',
      '3fff b8aa3b295c17f0bb',
    ],
    [
      'd9 eb',
      '4000 c90fdaa22168c235',
      '4000 c90fdaa22168c234',
      '4000 c90fdaa22168c235',
      '4000 c90fdaa22168c234',
    ],
    [
      'd9 ec',
      '3ffd 9a209a84fbcff799',
      '3ffd 9a209a84fbcff798',
      '3ffd 9a209a84fbcff799',
      '3ffd 9a209a84fbcff798',
    ],
    [
      'd9 ed',
      '3ffe b17217f7d1cf79ac',
      '3ffe b17217f7d1cf79ab',
      '3ffe b17217f7d1cf79ac',
      '3ffe b17217f7d1cf79ab',
    ],
  ];
  const m = await machineWith('90');
  for (const [code, ...expected] of CONSTANTS) {
    m.code(CODE, `db e3 d9 2b ${code} cc`); // fninit; fldcw [rbx]
    for (const [rounding, number] of expected.entries()) {
      m.memory.write32(m.physical(DATA), 0x37f | (rounding << 10));
      assert.deepEqual(m.run(CODE), INT3);
      assert.deepEqual(stack(m), [number], `${code} rounding ${rounding}`);
    }
  }
});

test('fincstp and fdecstp turn the stack without touching its registers; ffreep frees and pops', async () => {
  const m = await machineWith('d9 e8 d9 eb d9 f7 d9 f6 df c1'); // fld1; fldpi; fincstp; fdecstp; ffreep st1
  m.run(CODE, 3);
  assert.deepEqual(stack(m), [ONE, '-', '-', '-', '-', '-', '-', '4000 c90fdaa22168c235']);
  m.run(m.cpu.rip, 1);
  assert.deepEqual(stack(m), ['4000 c90fdaa22168c235', ONE]);
  assert.deepEqual(m.run(), INT3);
  assert.deepEqual(stack(m), []);
});

test('encodings that the manuals leave out work as in processors, and the holes are undefined', async () => {
  for (const [code, expected] of [
    ['dc d1', [TWO, ONE]], // fcom
    ['dc d9', [ONE]], // fcomp
    ['de d1', [ONE]], // fcomp
    ['dd c9', [ONE, TWO]], // fxch
    ['df c9', [ONE, TWO]], // fxch
    ['df d1', [TWO]], // fstp
    ['df d9', [TWO]], // fstp
    ['d9 d9', [TWO]], // fstpnce
  ] as const) {
    const m = await machineWith(`d9 e8 d9 e8 d8 c1 ${code}`); // fld1; fld1; fadd st1
    assert.deepEqual(m.run(), INT3, code);
    assert.deepEqual(stack(m), expected, code);
  }
  const holes =
    'd9d1 d9e2 d9e6 d9ef dae0 dae8 daea daf1 dbe5 dbf8 ddf1 ddf8 ded8 deda dfe1 dff8 d90b db23 db33 dd2b';
  const m = await machineWith('90');
  for (const hole of holes.split(' ')) {
    m.code(CODE, `${hole.slice(0, 2)} ${hole.slice(2)} cc`);
    assert.deepEqual(m.run(CODE), UD, hole);
  }
});

test('fptan, fsincos and fxtract push a second result, or leave two indefinites where there is no room', async () => {
  for (const code of ['d9 f2', 'd9 fb', 'd9 f4']) {
    const m = await machineWith(`d9 e8 ${code}`);
    assert.deepEqual(m.run(), INT3);
    assert.equal(stack(m).length, 2, code);
    const full = await machineWith(`${'d9 e8 '.repeat(8)} ${code}`);
    assert.deepEqual(full.run(), INT3);
    assert.deepEqual(stack(full).slice(0, 3), [INDEFINITE, INDEFINITE, ONE], code);
    assert.equal(status(full), FAULT | C1, code);
  }
});

test('an argument out of range stays on the stack and sets C2', async () => {
  for (const code of ['d9 fe', 'd9 ff', 'd9 fb', 'd9 f2']) {
    const m = await machineWith(`db 2b ${code}`); // fld m80
    m.memory.write64(m.physical(DATA), 0, 0x80000000 | 0);
    m.memory.write32(m.physical(DATA + 8), 0x3fff + 63);
    assert.deepEqual(m.run(), INT3);
    assert.deepEqual(stack(m), ['403e 8000000000000000'], code);
    assert.equal(status(m), 0x400, code);
  }
});

test('the last instruction, its opcode after an unmasked exception, and its operand are remembered', async () => {
  const m = await machineWith('d9 43 10 66 2e d8 c1 d9 3b df e0 d9 33'); // fld m32; fadd st0, st1; fnstcw; fnstsw; fnstenv
  setControl(m, INVALID_UNMASKED);
  assert.deepEqual(m.run(), INT3);
  assert.equal(m.bytes(DATA + 12, 12), '03 00 40 00 00 00 c1 00 10 00 60 00');
});
