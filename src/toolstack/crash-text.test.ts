import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { CrashReport } from '../hypervisor/crash-report.ts';
import { crashText, type DisassembledInstruction, type Disassembler } from './crash-text.ts';
import type { SymbolTable } from './images/index.ts';

const TEXT = -0x7f000000;
const word = (low: number, high = 0) => ({ low, high });

const report: CrashReport = {
  reason: 'unhandled #UD',
  domainId: 2,
  domainName: 'web',
  vcpuId: 0,
  kernelMode: true,
  rip: TEXT + 16,
  rflags: 0x10246,
  registers: Array.from({ length: 16 }, (_, i) => word(i, -1)),
  segments: Array.from({ length: 6 }, (_, i) => ({ selector: 0xe000 + i, base: i === 5 ? -4096 : 0 })),
  gsBaseInactive: 0x5000,
  cr0: 0x80050033 | 0,
  cr2: 0xdead,
  cr3: 0x1234000,
  cr4: 0x2660,
  stack: [word(0x81000020 | 0, -1), word(7), word(8), word(9), word(10)],
  code: Uint8Array.from({ length: 20 }, (_, i) => i),
  codeStart: TEXT + 12,
  retired: 1000,
  hypercalls: [{ number: 17, name: 'xen_version', arguments: [0, 0], result: 0x40011 }],
};

const symbols: SymbolTable = {
  size: 1,
  addressOf: () => TEXT,
  nearest: (address) => (address < TEXT ? undefined : { name: 'text', offset: address - TEXT }),
};

/** Pretends that an instruction is two bytes long and begins with an even byte. */
const twoByTwo: Disassembler = (code, address) => {
  const instructions: DisassembledInstruction[] = [];
  for (let i = 0; i < code.length; i += 2) {
    const invalid = code[i] % 2 !== 0 || i + 1 === code.length;
    instructions.push({ address: address + i, length: 2, text: `op ${code[i]}`, invalid });
  }
  return instructions;
};

describe('the text of a crash report', () => {
  it('says who crashed and why, where, and what the registers held', () => {
    const lines = crashText(report, symbols);
    assert.equal(lines[0], 'd2 (web) crashed: unhandled #UD');
    assert.equal(lines[1], '  vCPU 0, kernel mode, after 1000 instructions');
    assert.equal(lines[2], '  rip ffffffff81000010 <text+0x10>');
    assert.equal(lines[3], '  rax ffffffff00000000   rbx ffffffff00000003   rcx ffffffff00000001');
    assert.ok(lines.includes('  r15 ffffffff0000000f   rflags 00010246'));
    assert.ok(lines.includes('  es e000   cs e001   ss e002   ds e003   fs e004   gs e005'));
  });

  it('shows each register behind its own name', () => {
    assert.deepEqual(crashText(report).slice(3, 12), [
      '  rax ffffffff00000000   rbx ffffffff00000003   rcx ffffffff00000001',
      '  rdx ffffffff00000002   rsi ffffffff00000006   rdi ffffffff00000007',
      '  rbp ffffffff00000005   rsp ffffffff00000004    r8 ffffffff00000008',
      '   r9 ffffffff00000009   r10 ffffffff0000000a   r11 ffffffff0000000b',
      '  r12 ffffffff0000000c   r13 ffffffff0000000d   r14 ffffffff0000000e',
      '  r15 ffffffff0000000f   rflags 00010246',
      '  cr0 80050033   cr2 000000000000dead   cr3 0000000001234000   cr4 00002660',
      '  es e000   cs e001   ss e002   ds e003   fs e004   gs e005',
      '  fs base 0000000000000000   gs base fffffffffffff000   inactive 0000000000005000',
    ]);
  });

  it('shows the stack, and which of its words are places in the kernel', () => {
    const lines = crashText(report, symbols);
    const stack = lines.indexOf('stack at ffffffff00000004:');
    assert.deepEqual(lines.slice(stack + 1, stack + 6), [
      '  ffffffff81000020 0000000000000007 0000000000000008 0000000000000009',
      '  000000000000000a',
      'of these, places in the kernel:',
      '  ffffffff81000020 <text+0x20>',
      'code:',
    ]);
  });

  it('marks the instruction at RIP among those around it', () => {
    const lines = crashText(report, symbols, twoByTwo);
    const code = lines.indexOf('code:');
    assert.deepEqual(
      lines.slice(code + 1, code + 5).map((line) => line.replace(/ +/g, ' ')),
      [
        ' ffffffff8100000c 00 01 op 0',
        ' ffffffff8100000e 02 03 op 2',
        '=> ffffffff81000010 04 05 op 4 <text+0x10>',
        ' ffffffff81000012 06 07 op 6',
      ],
    );
  });

  it('shows four instructions before RIP, and six from there on', () => {
    const code = Uint8Array.from({ length: 64 }, (_, i) => i);
    const lines = crashText({ ...report, code, codeStart: TEXT, hypercalls: [] }, undefined, twoByTwo);
    const shown = lines.slice(lines.indexOf('code:') + 1).map((line) => line.replace(/.* op /, ''));
    assert.deepEqual(shown, ['8', '10', '12', '14', '16', '18', '20', '22', '24', '26']);
  });

  it('shows only what follows RIP if no decoding of what stands before ends there', () => {
    const lines = crashText({ ...report, codeStart: TEXT + 15, rip: TEXT + 16 }, symbols, twoByTwo);
    assert.match(lines[lines.indexOf('code:') + 1], /^=> /);
  });

  it('shows bytes where there is no disassembler, and says what is not mapped', () => {
    const bytes = crashText(report);
    assert.match(bytes[bytes.indexOf('code:') + 1], /^ {2}00 01 02 03 <04> 05/);
    const nothing = crashText({ ...report, code: new Uint8Array(), codeStart: report.rip, stack: [] });
    assert.ok(nothing.includes('stack at ffffffff00000004: not mapped'));
    assert.ok(nothing.includes('code at ffffffff81000010: not mapped'));
  });

  it('ends with the last hypercalls', () => {
    assert.deepEqual(crashText(report).slice(-2), [
      'last hypercalls:',
      '  xen_version(XENVER_version, 0x0) = 0x40011',
    ]);
  });
});
