/**
 * A function's stack frame and where its values are in it.
 *
 *     higher    parameters on the stack, pushed by the caller
 *               return address
 *               the caller's RBP      <- RBP, in a function that calls others
 *               saved registers
 *               slots                 <- RSP, between calls
 *     lower     parameters pushed for a call
 *
 * RBP leads from frame to frame, so that debuggers, profilers and a kernel's own panic can tell who called whom.
 */
import type { Allocation, Location } from '../ir/allocator.ts';
import { Alu, type Assembler } from './assembler.ts';
import type { Memory } from './encoder.ts';
import type { CodeMark } from './marks.ts';
import { type Gpr, RBP, RSP } from './registers.ts';
import type { Target } from './target.ts';

export class Frame {
  private readonly a: Assembler<CodeMark>;
  private readonly saved: readonly Gpr[];
  private readonly slots: number;
  /** A function that calls nobody leaves RBP to its caller. */
  private readonly linked: boolean;
  private readonly wordBytes: number;
  /** Words pushed for a call that is being made. */
  private pushed = 0;

  constructor(a: Assembler<CodeMark>, target: Target, allocation: Allocation, linked: boolean) {
    this.linked = linked;
    this.a = a;
    this.saved = target.calleeSaved.filter((register) => allocation.used.has(register));
    this.slots = allocation.slots;
    this.wordBytes = target.wordBytes;
  }

  enter(): void {
    if (this.linked) {
      this.a.push(RBP);
      this.a.load(this.wordBytes, RBP, RSP);
    }
    for (const register of this.saved) this.a.push(register);
    if (this.slots > 0) this.a.aluImmediate(Alu.sub, this.wordBytes, RSP, this.slots * this.wordBytes);
  }

  /** Undoes `enter` and returns. */
  leave(): void {
    if (this.slots > 0) this.a.aluImmediate(Alu.add, this.wordBytes, RSP, this.slots * this.wordBytes);
    for (const register of [...this.saved].reverse()) this.a.pop(register);
    if (this.linked) this.a.pop(RBP);
    this.a.ret();
  }

  /** A place as an operand of an instruction. */
  at(location: Location): Gpr | Memory {
    if (location.kind === 'register') return location.register;
    return { base: RSP, displacement: (location.slot + this.pushed) * this.wordBytes };
  }

  /** The n-th of the parameters that came on the stack. */
  stackParameter(index: number): Memory {
    const words = this.slots + this.saved.length + (this.linked ? 2 : 1) + index;
    return { base: RSP, displacement: words * this.wordBytes };
  }

  /** To be told when a word has been pushed, or `words` of them dropped. */
  notePush(): void {
    this.pushed++;
  }

  dropPushed(): void {
    if (this.pushed === 0) return;
    this.a.aluImmediate(Alu.add, this.wordBytes, RSP, this.pushed * this.wordBytes);
    this.pushed = 0;
  }
}
