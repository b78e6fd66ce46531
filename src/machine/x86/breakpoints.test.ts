import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CPU, CPU_DR, CPU_INTERRUPT_WAITS, CPU_SIZE } from '../layout.ts';
import { PAGE_SIZE } from '../memory.ts';
import type { EngineKind } from './engine.ts';
import { DR6_STEP, FLAG_IF, FLAG_IOPL, FLAG_RF, FLAG_TF, RAX, RBX, RCX, RDI, RSI, RSP } from './registers.ts';
import { VcpuState } from './state.ts';
import { PAGE_RO, PAGE_RW, TestMachine } from './testing/machine.ts';

const CODE = 0x400000;
const DATA = 0x600000;
const INT3 = { exit: 'interrupt', vector: 3 };
const debug = (error: number) => ({ exit: 'exception', vector: 1, error });

/** Kinds of breakpoints, and codes of lengths, as DR7 has them. */
const INSTRUCTION = 0;
const WRITE = 1;
const ACCESS = 3;
const LENGTHS = { 1: 0, 2: 1, 4: 3, 8: 2 } as const;

class Debugged {
  readonly m: TestMachine;
  private dr7 = 0x400;

  private constructor(m: TestMachine) {
    this.m = m;
  }

  /** Two pages of code, three writable ones of data; RBX = RSI = DATA, RSP is the end of the second page. */
  static async create(kind: EngineKind, hex: string): Promise<Debugged> {
    const m = await TestMachine.create(kind);
    m.mapNew(CODE, PAGE_RW, 2);
    m.mapNew(DATA, PAGE_RW, 3);
    m.code(CODE, hex);
    for (const register of [RBX, RSI]) m.cpu.setRegNumber(register, DATA);
    m.cpu.setRegNumber(RSP, DATA + 2 * PAGE_SIZE);
    return new Debugged(m);
  }

  /** Sets a breakpoint, as MOV to the debug registers does. */
  watch(n: number, address: number, kind: number, length: keyof typeof LENGTHS = 1): this {
    this.dr7 |= (2 << (2 * n)) | (kind << (16 + 4 * n)) | (LENGTHS[length] << (18 + 4 * n));
    this.m.cpu.set(CPU_DR + n * 8, address | 0, Math.floor(address / 2 ** 32));
    return this.enable(this.dr7);
  }

  enable(dr7: number): this {
    this.m.cpu.set(CPU_DR + 7 * 8, dr7, 0);
    this.m.engine.invalidateAll();
    return this;
  }

  /** How a run from here, or from an address, ends, and where. */
  run(rip = this.m.cpu.rip, budget?: number): unknown[] {
    const ending = this.m.run(rip, budget);
    return [ending, this.m.cpu.rip - CODE];
  }
}

for (const kind of ['interpreter', 'compiler', 'auto'] as const) {
  describe(`breakpoints, ${kind}`, () => {
    const debugged = (hex: string): Promise<Debugged> => Debugged.create(kind, hex);

    it('of writes are met behind a store, not by a load', async () => {
      const d = await debugged('8b 03 89 43 04 89 03 90 cc'); // mov eax, [rbx]; mov [rbx+4], eax; mov [rbx], eax
      d.watch(1, DATA, WRITE, 4);
      d.m.memory.write32(d.m.physical(DATA), 0x1234);
      assert.deepEqual(d.run(CODE), [debug(2), 7]);
      assert.equal(d.m.cpu.retired, 3);
      assert.deepEqual(d.run(), [INT3, 9]);
      assert.equal(d.m.bytes(DATA, 8), '34 12 00 00 34 12 00 00');
    });

    it('of accesses are met by both', async () => {
      const d = await debugged('8b 03 89 03 cc');
      d.watch(3, DATA + 2, ACCESS, 2);
      assert.deepEqual(d.run(CODE), [debug(8), 2]);
      assert.deepEqual(d.run(), [debug(8), 4]);
      assert.deepEqual(d.run(), [INT3, 5]);
    });

    it('watch as many bytes as they are long, from a multiple of that on', async () => {
      for (const length of [1, 2, 4, 8] as const) {
        for (const at of [0, 7, 8, 12, 15, 16]) {
          const d = await debugged('88 03 90 cc'); // mov [rbx], al
          d.watch(0, DATA + 8 + 5, WRITE, length);
          d.m.cpu.setRegNumber(RBX, DATA + at);
          const from = 8 + 5 - (5 % length);
          const isIn = at >= from && at < from + length;
          assert.deepEqual(d.run(CODE), isIn ? [debug(1), 2] : [INT3, 4], `${at} of ${length} bytes`);
        }
      }
    });

    it('are met by one byte of an access, also of one that crosses into another page', async () => {
      const d = await debugged('48 89 83 fd 0f 00 00 90 cc'); // mov [rbx+0xffd], rax
      d.watch(0, DATA + PAGE_SIZE + 4, WRITE);
      d.watch(2, DATA + PAGE_SIZE - 1, WRITE);
      assert.deepEqual(d.run(CODE), [debug(5), 7]);
    });

    it('are met by a push, a call, and each side of a move in memory', async () => {
      const push = await debugged('50 90 cc');
      push.watch(0, DATA + 2 * PAGE_SIZE - 8, WRITE, 8);
      assert.deepEqual(push.run(CODE), [debug(1), 1]);
      const call = await debugged('e8 02 00 00 00 90 90 cc');
      call.watch(0, DATA + 2 * PAGE_SIZE - 8, WRITE, 8);
      assert.deepEqual(call.run(CODE), [debug(1), 7]);
      const move = await debugged('a4 90 cc'); // movsb
      move.m.cpu.setRegNumber(RDI, DATA + PAGE_SIZE);
      move.watch(0, DATA, ACCESS).watch(1, DATA + PAGE_SIZE, WRITE);
      assert.deepEqual(move.run(CODE), [debug(3), 1]);
    });

    it('stop a repeated instruction behind the iteration that meets them', async () => {
      for (const [hex, step] of [
        ['f3 a4 90 cc', 1], // rep movsb
        ['f3 aa 90 cc', 1], // rep stosb
        ['f3 a5 90 cc', 4], // rep movsd
      ] as const) {
        const d = await debugged(hex);
        d.m.cpu.setRegNumber(RDI, DATA + PAGE_SIZE);
        d.m.cpu.setRegNumber(RCX, 100);
        d.m.cpu.setRegNumber(RAX, 0x5a);
        d.watch(0, DATA + PAGE_SIZE + 40 * step, WRITE);
        assert.deepEqual(d.run(CODE), [debug(1), 0], hex);
        assert.equal(d.m.cpu.regLow(RCX), 59, hex);
        assert.equal(d.m.cpu.retired, 41, hex);
        assert.deepEqual(d.run(), [INT3, 4], hex);
        assert.equal(d.m.cpu.retired, 102, hex);
      }
    });

    it('are not met by an instruction that faults', async () => {
      const d = await debugged('a4 90 cc'); // movsb, to a page that is read-only
      d.m.cpu.setRegNumber(RDI, DATA + PAGE_SIZE);
      d.m.map(DATA + PAGE_SIZE, d.m.physical(DATA + PAGE_SIZE) / PAGE_SIZE, PAGE_RO);
      d.watch(0, DATA, ACCESS);
      const address = DATA + PAGE_SIZE;
      assert.deepEqual(d.run(CODE), [{ exit: 'exception', vector: 14, error: 7, address }, 0]);
      assert.equal(d.m.cpu.retired, 0);
    });

    it('of instructions are met before the instruction, unless RF holds them off', async () => {
      const d = await debugged('90 90 ff c0 eb fc'); // 1: nop; nop; 2: inc eax; jmp 2
      d.watch(0, CODE + 2, INSTRUCTION);
      for (let round = 0; round < 3; round++) {
        assert.deepEqual(d.run(round === 0 ? CODE : undefined), [debug(1), 2]);
        assert.equal(d.m.cpu.regLow(RAX), round);
        d.m.cpu.rflags |= FLAG_RF;
      }
      assert.equal(d.m.cpu.retired, 2 + 2 * 2);
      d.enable(0x400);
      assert.deepEqual(d.run(undefined, 100), [{ exit: 'budget' }, 2]);
    });

    it('of instructions are met once by one that repeats, however it is cut, and again when it is come to again', async () => {
      for (const budget of [1, 2, 100]) {
        const d = await debugged('f3 a4 eb fc'); // 1: rep movsb; jmp 1
        d.watch(0, CODE, INSTRUCTION);
        d.m.cpu.setRegNumber(RDI, DATA + PAGE_SIZE);
        for (let round = 0; round < 2; round++) {
          d.m.cpu.setRegNumber(RCX, 5);
          assert.deepEqual(d.run(CODE), [debug(1), 0]);
          assert.equal(d.m.cpu.regLow(RCX), 5);
          d.m.cpu.rflags |= FLAG_RF;
          let last = d.run(undefined, budget);
          let turns = 1;
          for (; (last[0] as { exit: string }).exit === 'budget'; turns++) {
            assert.equal((d.m.cpu.rflags & FLAG_RF) !== 0, d.m.cpu.regLow(RCX) !== 0);
            last = d.run(undefined, budget);
          }
          assert.deepEqual([...last, d.m.cpu.regLow(RCX)], [debug(1), 0, 0], `budget ${budget}`);
          assert.equal(turns, Math.floor(6 / budget) + 1);
          assert.equal(d.m.cpu.rflags & FLAG_RF, 0);
        }
        assert.equal(d.m.cpu.retired, 2 * 6);
      }
    });

    it('of instructions are met at all 64 bits of their address, behind an instruction that lies across 4 GiB', async () => {
      const d = await debugged('90 cc');
      const border = 5 * 2 ** 32;
      d.m.mapNew(border - PAGE_SIZE, PAGE_RW, 2);
      d.m.code(border - 2, '90 ff c0 90 cc'); // nop; inc eax; nop; int3
      for (let round = 0; round < 3; round++) assert.deepEqual(d.run(border - 2)[0], INT3);
      d.watch(0, border + 2 ** 32 + 1, INSTRUCTION).watch(1, border + 2, INSTRUCTION);
      assert.deepEqual(d.run(border - 2)[0], debug(2));
      assert.equal(d.m.cpu.rip, border + 2);
      d.watch(2, border + 1, INSTRUCTION);
      assert.deepEqual(d.run(border - 2)[0], debug(4));
      assert.equal(d.m.cpu.rip, border + 1);
      assert.equal(d.m.cpu.regLow(RAX), 5);
    });

    it('of instructions are held off as long as the instruction faults, and no longer', async () => {
      const d = await debugged('8b 03 90 eb fb'); // 1: mov eax, [rbx]; nop; jmp 1
      d.watch(0, CODE, INSTRUCTION);
      d.m.cpu.setRegNumber(RBX, 0x900000);
      d.m.cpu.rflags |= FLAG_RF;
      for (let round = 0; round < 2; round++) {
        assert.deepEqual(d.run(CODE), [{ exit: 'exception', vector: 14, error: 4, address: 0x900000 }, 0]);
        assert.notEqual(d.m.cpu.rflags & FLAG_RF, 0);
      }
      d.m.cpu.setRegNumber(RBX, DATA);
      assert.deepEqual(d.run(), [debug(1), 0]);
      assert.equal(d.m.cpu.retired, 3);
      d.m.cpu.setRegNumber(RBX, 0x900000);
      d.enable(0x400).m.cpu.rflags |= FLAG_RF;
      assert.equal((d.run(CODE + 2)[0] as { vector: number }).vector, 14); // nop; jmp 1
      assert.equal(d.m.cpu.rflags & FLAG_RF, 0);
    });

    it('of instructions and of data are both met by one instruction, one before it and one behind', async () => {
      const d = await debugged('90 89 03 90 cc');
      d.watch(0, CODE + 1, INSTRUCTION).watch(1, DATA, WRITE);
      assert.deepEqual(d.run(CODE), [debug(1), 1]);
      d.m.cpu.rflags |= FLAG_RF;
      assert.deepEqual(d.run(), [debug(2), 3]);
      assert.equal(d.m.cpu.rflags & FLAG_RF, 0);
      assert.deepEqual(d.run(), [INT3, 5]);
    });

    it('of instructions are not met in the middle of one', async () => {
      const d = await debugged('b8 01 00 00 00 90 cc');
      d.watch(0, CODE + 1, INSTRUCTION);
      assert.deepEqual(d.run(CODE), [INT3, 7]);
    });

    it('of instructions are met in code that another page calls, and that lies in two pages', async () => {
      const d = await debugged('e8 f9 0f 00 00 cc'); // call to the last two bytes of the page
      d.m.code(CODE + 0xffe, 'ff c0 ff c0 c3'); // inc eax; inc eax; ret
      d.watch(2, CODE + 0x1000, INSTRUCTION);
      assert.deepEqual(d.run(CODE), [debug(4), 0x1000]);
      d.m.cpu.rflags |= FLAG_RF;
      assert.deepEqual(d.run(), [INT3, 6]);
      assert.equal(d.m.cpu.regLow(RAX), 2);
      const across = await debugged('e8 fa 0f 00 00 cc');
      across.m.code(CODE + 0xfff, 'ff c0 ff c0 c3');
      across.watch(2, CODE + 0x1001, INSTRUCTION);
      assert.deepEqual(across.run(CODE), [debug(4), 0x1001]);
      across.m.cpu.rflags |= FLAG_RF;
      assert.deepEqual(across.run(), [INT3, 6]);
    });

    it('of instructions are met in a page that another one jumps to, each time', async () => {
      const d = await debugged('ff c0 ff c3 e9 f7 0f 00 00'); // inc eax; inc ebx; jmp to the next page
      d.m.code(CODE + PAGE_SIZE, 'e9 fb ef ff ff'); // jmp back
      d.watch(0, CODE + 2, INSTRUCTION);
      for (let round = 1; round <= 4; round++) {
        assert.deepEqual(d.run(round === 1 ? CODE : undefined), [debug(1), 2]);
        assert.equal(d.m.cpu.regLow(RAX), round);
        d.m.cpu.rflags |= FLAG_RF;
      }
    });

    it('are reported along with a single step', async () => {
      const d = await debugged('89 03 90 cc');
      d.watch(0, DATA, WRITE);
      d.m.cpu.rflags |= FLAG_TF;
      assert.deepEqual(d.run(CODE), [debug(DR6_STEP | 1), 2]);
      assert.deepEqual(d.run(), [debug(DR6_STEP), 3]);
    });

    it('cost other accesses to the page nothing but time: the same program ends alike', async () => {
      // 1: mov [rbx+rcx*8], rcx; add rax, [rbx+rcx*8]; dec rcx; jnz 1
      const hex = '48 89 0c cb 48 03 04 cb 48 ff c9 75 f3 cc';
      const plain = await debugged(hex);
      plain.m.cpu.setRegNumber(RCX, 400);
      assert.deepEqual(plain.run(CODE), [INT3, 14]);
      const state = plain.m.state();
      const memory = plain.m.bytes(DATA, PAGE_SIZE);
      const d = await debugged(hex);
      d.m.cpu.setRegNumber(RCX, 400);
      d.watch(0, DATA + 8 * 7, WRITE, 8).watch(1, DATA + 3 * PAGE_SIZE - 1, WRITE);
      assert.deepEqual(d.run(CODE), [debug(1), 4]);
      assert.equal(d.m.cpu.regLow(RCX), 7);
      assert.deepEqual(d.run(), [INT3, 14]);
      assert.equal(d.m.state(), state);
      assert.equal(d.m.bytes(DATA, PAGE_SIZE), memory);
    });

    it('are of one vCPU: what another one did in the meantime does not hide them, nor does it meet them', async () => {
      const d = await debugged('90 89 03 90 cc');
      const { engine, memory } = d.m;
      const [watched, other] = [900, 901].map((mfn) => {
        const home = memory.framesBase + mfn * PAGE_SIZE;
        memory.u8.copyWithin(home, CPU, CPU + CPU_SIZE);
        return new VcpuState(memory, home);
      });
      engine.activate(watched!);
      d.watch(0, DATA, WRITE).watch(1, CODE + 1, INSTRUCTION);
      for (let round = 0; round < 3; round++) {
        engine.activate(watched!);
        assert.deepEqual(d.run(CODE), [debug(2), 1]);
        d.m.cpu.rflags |= FLAG_RF;
        assert.deepEqual(d.run(), [debug(1), 3]);
        engine.activate(other!);
        for (let again = 0; again < 3; again++) assert.deepEqual(d.run(CODE), [INT3, 5]);
      }
      engine.deactivate();
    });

    it('are met at the same instruction, however the run is cut', async () => {
      for (const budget of [1, 2, 3, 5, 7]) {
        const d = await debugged('48 89 0c cb 48 ff c9 75 f7 cc');
        d.m.cpu.setRegNumber(RCX, 20);
        d.watch(0, DATA + 8 * 5, WRITE, 8);
        let last = d.run(CODE, budget);
        while ((last[0] as { exit: string }).exit === 'budget') last = d.run(undefined, budget);
        assert.deepEqual([...last, d.m.cpu.regLow(RCX), d.m.cpu.retired], [debug(1), 4, 5, 15 * 3 + 1]);
      }
    });
  });

  describe(`a single step, ${kind}`, () => {
    it('traps by the flag as it was before the instruction, which may push, clear or set it', async () => {
      const d = await Debugged.create(kind, '9c 50 9d 90 9c 58 53 9d 90 cc'); // pushf; push rax; popf; nop; pushf; pop rax; …
      const { cpu } = d.m;
      cpu.setRegNumber(RAX, 0x202);
      cpu.setRegNumber(RBX, 0x202 | FLAG_TF); // … push rbx; popf; nop; int3
      cpu.rflags |= FLAG_TF;
      for (const at of [1, 2, 3]) assert.deepEqual(d.run(at === 1 ? CODE : undefined), [debug(DR6_STEP), at]);
      assert.equal(cpu.rflags & FLAG_TF, 0);
      const pushed = DATA + 2 * PAGE_SIZE - 8;
      assert.equal(d.m.bytes(pushed, 2), '02 03');
      assert.deepEqual(d.run(), [debug(DR6_STEP), 9]);
      assert.equal(cpu.reg(RAX), 0x202);
      assert.notEqual(cpu.rflags & FLAG_TF, 0);
    });

    it('traps before an interrupt that the instruction lets in', async () => {
      const d = await Debugged.create(kind, '50 9d 90 cc'); // push rax; popf; nop; int3
      const { cpu, memory } = d.m;
      cpu.setRegNumber(RAX, 2 | FLAG_IF | FLAG_IOPL);
      cpu.rflags = 2 | FLAG_IOPL | FLAG_TF;
      memory.u32[(CPU + CPU_INTERRUPT_WAITS) >> 2] = 1;
      assert.deepEqual(d.run(CODE), [debug(DR6_STEP), 1]);
      assert.deepEqual(d.run(), [debug(DR6_STEP), 2]);
      memory.u32[(CPU + CPU_INTERRUPT_WAITS) >> 2] = 0;
    });
  });
}
