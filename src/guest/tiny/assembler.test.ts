import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import {
  Assembler,
  AssemblyError,
  at,
  Condition,
  R12,
  R13,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDI,
  RDX,
  RSI,
  RSP,
} from './assembler.ts';

/** What an independent decoder reads in the bytes, one line for each instruction; 'first' is at address 0. */
function disassemble(bytes: Uint8Array): string[] {
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.smallHexNumbersInDecimal = false; // iced-x86 1.21 looks at the low 32 bits only
  const lines: string[] = [];
  for (const instruction of decoder.decodeAll()) lines.push(formatter.format(instruction));
  return lines;
}

const INSTRUCTIONS: readonly [string, (a: Assembler) => void][] = [
  ['mov rbp,rsp', (a) => a.mov(RBP, RSP)],
  ['mov r13,rsi', (a) => a.mov(R13, RSI)],
  ['mov rdi,0xffffffff80000000', (a) => a.movImmediate(RDI, -0x80000000)],
  ['mov rbx,0xffff800000000000', (a) => a.movImmediate64(RBX, -0x800000000000)],
  ['mov r15,0x123456789abc', (a) => a.movImmediate64(R15, 0x123456789abc)],
  ['mov rax,[rbx+rcx+0x8]', (a) => a.load(RAX, at(RBX, 8, RCX))],
  ['mov r12d,[r13+0x50]', (a) => a.load32(R12, at(R13, 0x50))],
  ['movzx eax,byte ptr [rsp-0x1]', (a) => a.load8(RAX, at(RSP, -1))],
  ['mov [r13+0x20],rdx', (a) => a.store(at(R13, 0x20), RDX)],
  ['mov [r12+0x4],edi', (a) => a.store32(at(R12, 4), RDI)],
  ['mov [r15+r12],sil', (a) => a.store8(at(R15, 0, R12), RSI)],
  ['mov byte ptr [rbp+0x1],0xff', (a) => a.store8Immediate(at(RBP, 1), 255)],
  ['lea r15,[r13+0x80]', (a) => a.lea(R15, at(R13, 128))],
  ['xchg [rbp+0x8],rax', (a) => a.exchange(at(RBP, 8), RAX)],
  ['xchg [rbp],al', (a) => a.exchange8(at(RBP), RAX)],
  ['push r12', (a) => a.push(R12)],
  ['push 0xffffffffffffffff', (a) => a.pushImmediate(-1)],
  ['pop rax', (a) => a.pop(RAX)],
  ['add rbx,rax', (a) => a.add(RBX, RAX)],
  ['add r12,0x1', (a) => a.addImmediate(R12, 1)],
  ['and rdx,0x7ff', (a) => a.andImmediate(RDX, 2047)],
  ['or rsi,0x63', (a) => a.orImmediate(RSI, 0x63)],
  ['sub rdx,rdi', (a) => a.subtract(RDX, RDI)],
  ['sub rcx,0x1', (a) => a.subtractImmediate(RCX, 1)],
  ['cmp rax,r15', (a) => a.compare(RAX, R15)],
  ['cmp rax,0xffffffffffffffff', (a) => a.compareImmediate(RAX, -1)],
  ['cmp r12d,ecx', (a) => a.compare32(R12, RCX)],
  ['xor r15,r15', (a) => a.clear(R15)],
  ['shl rbx,0xc', (a) => a.shiftLeft(RBX, 12)],
  ['shr rax,0x8', (a) => a.shiftRight(RAX, 8)],
  ['div rdi', (a) => a.divide(RDI)],
  ['lock btr [rbp+0x800],r12', (a) => a.lockedBitReset(at(RBP, 2048), R12)],
  ['repe cmpsb [rsi],[rdi]', (a) => a.compareBytes()],
  ['ret', (a) => a.ret()],
  ['syscall', (a) => a.syscall()],
  ['cpuid', (a) => a.cpuid()],
  ['rdtsc', (a) => a.readTimestamp()],
  ['ud2', (a) => a.undefined()],
];

for (const [expected, emit] of INSTRUCTIONS) {
  test(`an independent decoder reads back: ${expected}`, () => {
    const a = new Assembler();
    emit(a);
    assert.deepEqual(disassemble(a.assemble()), [expected]);
  });
}

test('labels are reached forwards and backwards, by jumps, calls and addresses', () => {
  const a = new Assembler();
  a.label('first');
  a.jump('last');
  a.call('first');
  a.jumpIf(Condition.notEqual, 'first');
  a.lea(RSI, 'last');
  a.label('last');
  a.ret();
  assert.deepEqual(disassemble(a.assemble()), [
    'jmp 0x0000000000000017',
    'call 0x0000000000000000',
    'jne 0x0000000000000000',
    'lea rsi,[0x17]',
    'ret',
  ]);
});

test('a label that is missing, or placed twice, is named in the error', () => {
  const a = new Assembler();
  a.label('here');
  assert.throws(() => a.label('here'), new AssemblyError('expected one label here, found two'));
  a.jump('nowhere');
  assert.throws(() => a.assemble(), new AssemblyError('expected a label nowhere, found none'));
});

test('an operand that has no encoding is refused', () => {
  const a = new Assembler();
  assert.throws(() => a.movImmediate(RAX, 0x80000000), AssemblyError);
  assert.throws(() => a.load(RAX, at(RBX, 0, RSP)), AssemblyError);
});
