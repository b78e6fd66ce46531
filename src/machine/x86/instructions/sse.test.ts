import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CPU,
  CPU_FPU_EMPTY,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_MXCSR,
  CPU_X87,
  CPU_XMM,
} from '../../layout.ts';
import { PAGE_SIZE } from '../../memory.ts';
import { RAX, RBX, RCX, RDI, RDX } from '../registers.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from '../testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const INT3 = { exit: 'interrupt', vector: 3 };
const exception = (vector: number, error = 0) => ({ exit: 'exception', vector, error });
const pageFault = (error: number, address: number) => ({ exit: 'exception', vector: 14, error, address });

/** A machine with a page of code and two writable pages of data, which rbx and rdi point to. */
async function machineWithCode(hex: string): Promise<TestMachine> {
  const machine = await TestMachine.create();
  machine.mapNew(CODE, PAGE_RW);
  machine.mapNew(DATA, PAGE_RW, 2);
  machine.code(CODE, `${hex} cc`);
  machine.cpu.setRegNumber(RBX, DATA);
  machine.cpu.setRegNumber(RDI, DATA);
  return machine;
}

/** XMM register `n` as four doublewords, the highest first, as the manual draws it. */
function xmm(m: TestMachine, n: number): string {
  const at = CPU + CPU_XMM + n * 16;
  const words = [12, 8, 4, 0].map((i) => m.memory.view.getUint32(at + i, true));
  return words.map((word) => word.toString(16).padStart(8, '0')).join(' ');
}
function setXmm(m: TestMachine, n: number, ...highestFirst: number[]): void {
  const at = CPU + CPU_XMM + n * 16;
  for (const [i, word] of highestFirst.entries()) m.memory.view.setUint32(at + 12 - i * 4, word, true);
}
function setDouble(m: TestMachine, n: number, value: number): void {
  m.memory.view.setFloat64(CPU + CPU_XMM + n * 16, value, true);
}
function double(m: TestMachine, n: number): number {
  return m.memory.view.getFloat64(CPU + CPU_XMM + n * 16, true);
}
function mxcsr(m: TestMachine, value?: number): number {
  if (value !== undefined) m.memory.view.setUint32(CPU + CPU_MXCSR, value, true);
  return m.memory.view.getUint32(CPU + CPU_MXCSR, true);
}
function setText(m: TestMachine, gva: number, text: string): void {
  m.memory.writeBytes(m.physical(gva), new TextEncoder().encode(text));
}
const CR0_EM = 4;
const CR0_TS = 8;
const OSFXSR = 1 << 9;
const OSXMMEXCPT = 1 << 10;

// ------------------------------------------------------------------ memory operands

test('a 16-byte operand must be aligned, except for the unaligned moves', async () => {
  const needsAlignment = ['66 0f 6f 43 01', '0f 58 43 01', '66 0f ef 43 08', '0f 29 43 01', '66 0f e7 43 08'];
  for (const code of needsAlignment)
    assert.deepEqual((await machineWithCode(code)).run(CODE), exception(13), code);
  // movdqu, movups, lddqu, movsd, and pcmpistri with their operand one byte on
  for (const code of [
    'f3 0f 6f 43 01',
    '0f 11 43 01',
    'f2 0f f0 43 01',
    'f2 0f 10 43 01',
    '66 0f 3a 63 43 01 00',
  ]) {
    assert.deepEqual((await machineWithCode(code)).run(CODE), INT3, code);
  }
});

test('an unaligned move works across a page, and faults whole', async () => {
  const m = await machineWithCode('f3 0f 6f 03 f3 0f 7f 43 01'); // movdqu xmm0, [rbx]; movdqu [rbx + 1], xmm0
  m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 5);
  m.memory.writeBytes(m.physical(DATA + PAGE_SIZE - 5), Uint8Array.of(1, 2, 3, 4, 5));
  m.memory.writeBytes(m.physical(DATA + PAGE_SIZE), Uint8Array.of(6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
  assert.deepEqual(m.run(CODE), INT3);
  assert.equal(xmm(m, 0), '100f0e0d 0c0b0a09 08070605 04030201');
  assert.equal(m.bytes(DATA + PAGE_SIZE - 5, 5), '01 01 02 03 04');
  assert.equal(m.bytes(DATA + PAGE_SIZE, 12), '05 06 07 08 09 0a 0b 0c 0d 0e 0f 10');

  m.map(DATA + PAGE_SIZE, m.physical(DATA + PAGE_SIZE) / PAGE_SIZE, PAGE_RO);
  setXmm(m, 0, 0, 0, 0, 0);
  assert.deepEqual(m.run(CODE + 4), pageFault(7, DATA + PAGE_SIZE));
  assert.equal(m.bytes(DATA + PAGE_SIZE - 5, 5), '01 01 02 03 04');
});

test('a scalar load clears the rest of the register, a move between registers keeps it', async () => {
  const m = await machineWithCode('f3 0f 10 03 f3 0f 10 ca f2 0f 10 1b'); // movss xmm0,[rbx]; movss xmm1,xmm2; movsd xmm3,[rbx]
  for (const n of [0, 1, 2, 3]) setXmm(m, n, 0x30 + n, 0x20 + n, 0x10 + n, n);
  m.memory.write64(m.physical(DATA), 0x7fa00001, 0x7ff00000);
  m.run(CODE);
  // A signaling NaN passes unchanged.
  assert.equal(xmm(m, 0), '00000000 00000000 00000000 7fa00001');
  assert.equal(xmm(m, 1), '00000031 00000021 00000011 00000002');
  assert.equal(xmm(m, 3), '00000000 00000000 7ff00000 7fa00001');
});

test('maskmovdqu stores only the bytes that the mask names, and with an empty mask touches nothing', async () => {
  const m = await machineWithCode('66 0f f7 c1'); // maskmovdqu xmm0, xmm1
  setXmm(m, 0, 0x0f0e0d0c, 0x0b0a0908, 0x07060504, 0x03020100);
  setXmm(m, 1, 0x80000000, 0x00007f00, 0, 0x000080ff);
  m.run(CODE);
  assert.equal(m.bytes(DATA, 16), '00 01 00 00 00 00 00 00 00 00 00 00 00 00 00 0f');
  setXmm(m, 1, 0, 0, 0, 0x7f7f7f7f);
  m.cpu.setRegNumber(RDI, 0x900000);
  assert.deepEqual(m.run(CODE), INT3);
});

// ------------------------------------------------------------------ MMX and the x87

test('an mmx instruction makes all x87 registers valid, and emms empties them', async () => {
  const m = await machineWithCode('0f 6f 0b cc 0f 77'); // movq mm1, [rbx]; int3; emms
  const { view } = m.memory;
  m.memory.write64(m.physical(DATA), 0x89abcdef, 0x01234567);
  view.setUint32(CPU + CPU_FPU_TOP, 5, true);
  m.run(CODE);
  assert.equal(view.getBigUint64(CPU + CPU_X87 + 16, true), 0x0123456789abcdefn);
  assert.equal(view.getUint16(CPU + CPU_X87 + 24, true), 0xffff);
  assert.deepEqual([view.getUint32(CPU + CPU_FPU_TOP, true), view.getUint8(CPU + CPU_FPU_EMPTY)], [0, 0]);
  m.run();
  assert.equal(view.getUint8(CPU + CPU_FPU_EMPTY), 0xff);
});

test('a pending x87 exception stops mmx instructions, but not sse ones', async () => {
  for (const [code, ending] of [
    ['0f 6f c1', exception(16)], // movq mm0, mm1
    ['f3 0f d6 c1', exception(16)], // movq2dq xmm0, mm1
    ['66 0f 6f c1', INT3], // movdqa xmm0, xmm1
  ] as const) {
    const m = await machineWithCode(code);
    m.memory.view.setUint16(CPU + CPU_FPU_STATUS, 0x8081, true);
    assert.deepEqual(m.run(CODE), ending, code);
  }
});

test('CR0 and CR4 decide whether sse and mmx instructions exist', async () => {
  const SSE = '66 0f ef c0'; // pxor xmm0, xmm0
  const MMX = '0f ef c0'; // pxor mm0, mm0
  const IMAGE = '0f ae 03'; // fxsave [rbx]
  const CRC = 'f2 0f 38 f1 c1'; // crc32 eax, ecx
  const endings = async (cr0: number, osfxsr: boolean): Promise<unknown[]> => {
    const list = [];
    for (const code of [SSE, MMX, IMAGE, CRC]) {
      const m = await machineWithCode(code);
      m.cpu.cr0 |= cr0;
      m.cpu.cr4 = osfxsr ? m.cpu.cr4 | OSFXSR : m.cpu.cr4 & ~OSFXSR;
      list.push(m.run(CODE).vector);
    }
    return list;
  };
  assert.deepEqual(await endings(0, true), [3, 3, 3, 3]);
  assert.deepEqual(await endings(CR0_TS, true), [7, 7, 7, 3]);
  assert.deepEqual(await endings(CR0_EM, true), [6, 6, 7, 3]);
  assert.deepEqual(await endings(0, false), [6, 3, 3, 3]);
});

// ------------------------------------------------------------------ floating point

test('exact arithmetic leaves MXCSR alone, inexact arithmetic is recorded', async () => {
  // addsd xmm0, xmm1; mulsd xmm0, xmm1; divsd xmm0, xmm1; sqrtsd xmm0, xmm0
  const m = await machineWithCode('f2 0f 58 c1 f2 0f 59 c1 f2 0f 5e c1 f2 0f 51 c0');
  setDouble(m, 0, 1.75);
  setDouble(m, 1, 2.25);
  m.run(CODE);
  assert.deepEqual([double(m, 0), mxcsr(m)], [2, 0x1f80]);
  setDouble(m, 0, 1);
  setDouble(m, 1, 3);
  m.run(CODE);
  assert.deepEqual([double(m, 0), mxcsr(m)], [2, 0x1f80]);
  setDouble(m, 0, 0.1);
  setDouble(m, 1, 0.2);
  m.run(CODE);
  assert.deepEqual([double(m, 0), mxcsr(m)], [Math.sqrt(((0.1 + 0.2) * 0.2) / 0.2), 0x1fa0]);
});

test('results are the same once "inexact" is recorded', async () => {
  // addps xmm0, xmm1; mulps xmm0, xmm2; divps xmm0, xmm1
  const m = await machineWithCode('0f 58 c1 0f 59 c2 0f 5e c1');
  for (const [a, b, c] of [
    [0x3f800000, 0x3eaaaaab, 0x40490fdb],
    [0x00800000, 0x80800001, 0x3f000000], // a denormal sum
    [0x7f7fffff, 0x7f7fffff, 0x3f000000], // overflow
    [0x80000000, 0x00000000, 0xff800000], // zero times infinity
    [0x7fc00123, 0xffc00456, 0x7fa00001], // the first NaN wins
  ] as const) {
    const results = [0x1f80, 0x1fa0, 0x1fff].map((state) => {
      mxcsr(m, state);
      setXmm(m, 0, a, a, a, a);
      setXmm(m, 1, b, b, b, b);
      setXmm(m, 2, c, c, c, c);
      m.run(CODE);
      return xmm(m, 0);
    });
    assert.equal(new Set(results).size, 1, results.join(' | '));
  }
});

test('an unmasked exception raises #XM, sets its flag and writes nothing', async () => {
  const m = await machineWithCode('f2 0f 5e c1'); // divsd xmm0, xmm1
  setDouble(m, 0, 1);
  setDouble(m, 1, 0);
  mxcsr(m, 0x1f80 & ~0x200);
  assert.deepEqual(m.run(CODE), exception(19));
  assert.deepEqual([double(m, 0), mxcsr(m), m.cpu.rip], [1, 0x1d84, CODE]);
  m.cpu.cr4 &= ~OSXMMEXCPT;
  assert.deepEqual(m.run(CODE), exception(6));
});

test('conversions saturate to the integer indefinite', async () => {
  const m = await machineWithCode('f2 0f 2c c0 f2 48 0f 2c c8 f2 0f 2d d0'); // cvttsd2si eax, rcx; cvtsd2si edx
  const convert = (value: number): (number | string)[] => {
    mxcsr(m, 0x1f80);
    setDouble(m, 0, value);
    m.run(CODE);
    const wide = `${m.cpu.regHigh(RCX)}:${m.cpu.regLow(RCX)}`;
    return [m.cpu.regLow(RAX), wide, m.cpu.regLow(RDX), mxcsr(m) & 0x3f];
  };
  assert.deepEqual(convert(-7), [-7, '-1:-7', -7, 0]);
  assert.deepEqual(convert(2.5), [2, '0:2', 2, 0x20]);
  assert.deepEqual(convert(3.5), [3, '0:3', 4, 0x20]);
  assert.deepEqual(convert(2 ** 31), [-(2 ** 31), `0:${-(2 ** 31)}`, -(2 ** 31), 1]);
  assert.deepEqual(convert(2 ** 63), [-(2 ** 31), `${-(2 ** 31)}:0`, -(2 ** 31), 1]);
  assert.deepEqual(convert(Number.NaN), [-(2 ** 31), `${-(2 ** 31)}:0`, -(2 ** 31), 1]);
});

test('comisd orders into ZF, PF and CF', async () => {
  const m = await machineWithCode('66 0f 2e c1'); // ucomisd xmm0, xmm1
  const compare = (a: number, b: number): number => {
    setDouble(m, 0, a);
    setDouble(m, 1, b);
    m.cpu.rflags = 0x8d7;
    m.run(CODE);
    return m.cpu.rflags & 0x8d5;
  };
  assert.deepEqual([compare(2, 1), compare(1, 2), compare(1, 1), compare(0, -0)], [0, 1, 0x40, 0x40]);
  assert.deepEqual([compare(Number.NaN, 1), compare(5e-324, 0), mxcsr(m)], [0x45, 0, 0x1f82]);
});

// ------------------------------------------------------------------ strings and checksums

test('pcmpeqb and pmovmskb find the end of a string', async () => {
  const m = await machineWithCode('66 0f ef c0 66 0f 74 03 66 0f d7 c0 0f bc c0'); // pxor; pcmpeqb; pmovmskb eax; bsf eax, eax
  setText(m, DATA, 'twelve chars\0and more');
  m.run(CODE);
  assert.equal(m.cpu.reg(RAX), 12);
});

test('pcmpistri finds a substring, pcmpestrm marks a set of characters', async () => {
  const m = await machineWithCode('66 0f 3a 63 03 0c 66 0f 3a 60 0b 00'); // pcmpistri xmm0,[rbx],0x0c; pcmpestrm xmm1,[rbx],0
  setText(m, DATA, 'a ring of rings\0');
  setXmm(m, 0, 0, 0, 0, 0x676e6972); // "ring"
  setXmm(m, 1, 0, 0, 0, 0x6e69); // "in"
  m.cpu.setRegNumber(RAX, 2);
  m.cpu.setRegNumber(RDX, -9);
  m.run(CODE);
  assert.equal(m.cpu.reg(RCX), 2);
  assert.equal(xmm(m, 0), '00000000 00000000 00000000 00000018');
  assert.equal(m.cpu.rflags & 0x8d5, 0x0c1); // found, both shorter than the vector
});

test('crc32 gives the Castagnoli checksum', async () => {
  const m = await machineWithCode('f2 48 0f 38 f1 03 f2 0f 38 f0 43 08 f7 d0'); // crc32 rax,qword; crc32 eax,byte; not eax
  setText(m, DATA, '123456789');
  m.cpu.setReg(RAX, -1, -1);
  m.run(CODE);
  assert.equal(m.cpu.reg(RAX), 0xe3069283);
});

// ------------------------------------------------------------------ state

test('bits of MXCSR that do not exist cannot be loaded', async () => {
  const m = await machineWithCode('0f ae 13 0f ae 5b 04'); // ldmxcsr [rbx]; stmxcsr [rbx + 4]
  m.memory.write32(m.physical(DATA), 0x9fc0);
  m.run(CODE);
  assert.equal(m.bytes(DATA + 4, 4), 'c0 9f 00 00');
  m.memory.write32(m.physical(DATA), 0x11f80);
  assert.deepEqual(m.run(CODE), exception(13));
  assert.equal(mxcsr(m), 0x9fc0);
});

test('fxsave and fxrstor carry the state across a page boundary', async () => {
  // fninit; fldpi; fld1; fxsave [rbx]; fninit; pxor xmm1, xmm1; fxrstor [rbx]
  const m = await machineWithCode('db e3 d9 eb d9 e8 0f ae 03 db e3 66 0f ef c9 0f ae 0b');
  m.cpu.setRegNumber(RBX, DATA + PAGE_SIZE - 48);
  setXmm(m, 1, 4, 3, 2, 1);
  setXmm(m, 15, 8, 7, 6, 5);
  mxcsr(m, 0x1fa0);
  assert.deepEqual(m.run(CODE), INT3);
  const image = DATA + PAGE_SIZE - 48;
  assert.equal(m.bytes(image, 5), '7f 03 00 30 c0');
  assert.equal(m.bytes(image + 24, 8), 'a0 1f 00 00 ff ff 00 00');
  assert.equal(m.bytes(image + 32, 16), '00 00 00 00 00 00 00 80 ff 3f 00 00 00 00 00 00'); // ST0 = 1
  assert.equal(m.bytes(image + 48, 10), '35 c2 68 21 a2 da 0f c9 00 40'); // ST1 = π
  assert.equal(m.bytes(image + 160 + 16, 4), '01 00 00 00');
  assert.equal(m.bytes(image + 160 + 240, 20), '05 00 00 00 06 00 00 00 07 00 00 00 08 00 00 00 00 00 00 00');
  const { view } = m.memory;
  assert.deepEqual([view.getUint32(CPU + CPU_FPU_TOP, true), view.getUint8(CPU + CPU_FPU_EMPTY)], [6, 0x3f]);
  assert.equal(xmm(m, 1), '00000004 00000003 00000002 00000001');
});

test('fxsave that faults on its second page writes nothing, fxrstor restores nothing', async () => {
  const m = await machineWithCode('0f ae 03 cc 0f ae 0b');
  const image = DATA + PAGE_SIZE - 256;
  m.cpu.setRegNumber(RBX, image);
  m.map(DATA + PAGE_SIZE, m.physical(DATA + PAGE_SIZE) / PAGE_SIZE, PAGE_RO);
  assert.deepEqual(m.run(CODE), pageFault(7, DATA + PAGE_SIZE));
  assert.equal(m.bytes(image, 4), '00 00 00 00');
  m.unmap(DATA + PAGE_SIZE);
  setXmm(m, 0, 1, 2, 3, 4);
  assert.deepEqual(m.run(CODE + 4), pageFault(4, DATA + PAGE_SIZE));
  m.mapNew(DATA + PAGE_SIZE, PAGE_RW);
  m.memory.write32(m.physical(image + 24), 0x10000);
  assert.deepEqual(m.run(CODE + 4), exception(13));
  assert.equal(xmm(m, 0), '00000001 00000002 00000003 00000004');
  m.cpu.setRegNumber(RBX, image + 8);
  assert.deepEqual(m.run(CODE), exception(13));
});

// ------------------------------------------------------------------ what the processor does not have

test('aes, carry-less products, sha, movbe, sse4a, 3dnow and avx are undefined', async () => {
  for (const code of [
    '66 0f 38 dc c1', // aesenc
    '66 0f 3a df c1 00', // aeskeygenassist
    '66 0f 3a 44 c1 00', // pclmulqdq
    '0f 38 c8 c1', // sha1nexte
    '0f 38 f0 03', // movbe
    'f2 0f 79 c1', // insertq
    'f3 0f 2b 03', // movntss
    '0f 0f c1 9e', // pfadd
    'c5 f8 58 c1', // vaddps
    'f3 0f 60 c1', // punpcklbw with a prefix that it does not have
    '0f 38 20 c1', // pmovsxbw without its prefix
  ]) {
    assert.deepEqual((await machineWithCode(code)).run(CODE), exception(6), code);
  }
});
