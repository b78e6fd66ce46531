import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Decoder, DecoderOptions, Formatter, FormatterSyntax, Mnemonic } from 'iced-x86';
import { TranslationError } from '../error.ts';
import { Alu, Assembler, Group3, Shift } from './assembler.ts';
import { Cc, R8, R11, R12, R13, R15, RAX, RBP, RBX, RCX, RDI, RDX, RSI, RSP } from './registers.ts';

/** What another disassembler reads in the bytes. */
function disassembled(emit: (a: Assembler) => void): string[] {
  const a = new Assembler(64);
  emit(a);
  const { bytes } = a.finish('test');
  const formatter = new Formatter(FormatterSyntax.Nasm);
  const all = new Decoder(64, bytes, DecoderOptions.None).decodeAll();
  return all.map((instruction) => formatter.format(instruction));
}

const CASES: readonly [expected: string, emit: (a: Assembler) => void][] = [
  ['mov rax,[rsp]', (a) => a.load(8, RAX, { base: RSP, displacement: 0 })],
  ['mov eax,[rbp]', (a) => a.load(4, RAX, { base: RBP, displacement: 0 })],
  ['mov [r13],r15', (a) => a.store(8, { base: R13, displacement: 0 }, R15)],
  ['mov ax,[r12+8]', (a) => a.load(2, RAX, { base: R12, displacement: 8 })],
  ['mov sil,[rdi-1]', (a) => a.load(1, RSI, { base: RDI, displacement: -1 })],
  ['mov [r15+r8-80000000h],dil', (a) => a.store(1, { base: R15, index: R8, displacement: -0x80000000 }, RDI)],
  ['mov edx,[r12*8+7Fh]', (a) => a.load(4, RDX, { index: R12, scale: 8, displacement: 0x7f })],
  ['mov ecx,[0FFFFFFFF80100000h]', (a) => a.load(4, RCX, { displacement: -0x7ff00000 })],
  ['mov qword [rbx],0FFFFFFFFFFFFFFFFh', (a) => a.storeImmediate(8, { base: RBX, displacement: 0 }, -1)],
  ['mov word [rbx],1234h', (a) => a.storeImmediate(2, { base: RBX, displacement: 0 }, 0x1234)],
  ['xor edi,edi', (a) => a.loadImmediate(RDI, 0n)],
  ['mov edi,0', (a) => a.loadImmediate(RDI, 0n, true)],
  ['mov r11d,0FFFFFFFFh', (a) => a.loadImmediate(R11, 0xffffffffn)],
  ['mov r11,0FFFFFFFFFFFFFFFFh', (a) => a.loadImmediate(R11, -1n)],
  ['mov rbx,123456789ABCDEFh', (a) => a.loadImmediate(RBX, 0x123456789abcdefn)],
  ['movzx r8d,sil', (a) => a.loadZeroExtended(1, R8, RSI)],
  ['movsx rax,word [rcx]', (a) => a.loadSignExtended(2, 8, RAX, { base: RCX, displacement: 0 })],
  ['movsxd rdi,edi', (a) => a.loadSignExtended(4, 8, RDI, RDI)],
  ['lea ebx,[rbp+rsi]', (a) => a.lea(4, RBX, { base: RBP, index: RSI, displacement: 0 })],
  ['cmp r8,0FFFFFFFFFFFFFF80h', (a) => a.aluImmediate(Alu.cmp, 8, R8, -128)],
  ['cmp r8d,80h', (a) => a.aluImmediate(Alu.cmp, 4, R8, 128)],
  ['sub [rsp+8],r11', (a) => a.aluToMemory(Alu.sub, 8, { base: RSP, displacement: 8 }, R11)],
  ['test sil,40h', (a) => a.testImmediate(8, RSI, 0x40)],
  ['test rsi,80h', (a) => a.testImmediate(8, RSI, 0x80)],
  ['test rsi,0FFFFFFFFFFFFFF00h', (a) => a.testImmediate(8, RSI, -256)],
  ['imul eax,[rcx],3E8h', (a) => a.multiplyImmediate(4, RAX, { base: RCX, displacement: 0 }, 1000)],
  ['idiv r11', (a) => a.group3(Group3.idiv, 8, R11)],
  ['ror r13d,1Fh', (a) => a.shiftImmediate(Shift.ror, 4, R13, 31)],
  ['sar rdx,cl', (a) => a.shift(Shift.sar, 8, RDX)],
  ['setl dil', (a) => a.setIf(Cc.less, RDI)],
  ['cmovae r8,[rsp]', (a) => a.moveIf(Cc.aboveOrEqual, 8, R8, { base: RSP, displacement: 0 })],
  ['bsr r11d,eax', (a) => a.bitScanReverse(4, R11, RAX)],
  ['push 0FFFFFFFFFFFFFF80h', (a) => a.pushImmediate8(-128)],
  ['call [0FFFFFFFF80000000h]', (a) => a.callTo({ displacement: -0x80000000 })],
];

describe('the assembler', () => {
  for (const [expected, emit] of CASES) {
    it(`encodes ${expected}`, () => {
      const normal = (text: string) => text.replace(/\b(?:rel|abs) |qword (?=\[0F)/g, '');
      assert.deepEqual(disassembled(emit).map(normal), [expected]);
    });
  }

  it('makes a branch long only where its target is out of reach', () => {
    const lengths = [126, 127, 128].map((distance) => {
      const a = new Assembler(64);
      const end = a.label();
      a.jumpIf(Cc.equal, end);
      a.raw(...Array<number>(distance).fill(0x90));
      a.place(end);
      return a.finish('test').bytes.length - distance;
    });
    assert.deepEqual(lengths, [2, 2, 6]);
  });

  it('fills any room with few NOPs', () => {
    for (let room = 0; room <= 32; room++) {
      const a = new Assembler(64);
      a.nops(room);
      const nops = new Decoder(64, a.finish('test').bytes, DecoderOptions.None).decodeAll();
      assert.equal(nops.length, Math.ceil(room / 8));
      assert.ok(nops.every(({ mnemonic }) => mnemonic === Mnemonic.Nop));
    }
  });

  it('refuses what 32-bit mode cannot say', () => {
    assert.throws(() => new Assembler(32).load(4, R8, RAX), TranslationError);
    assert.throws(() => new Assembler(32).store(1, { base: RAX, displacement: 0 }, RSI), /byte register/);
  });
});
