/**
 * System instructions. What a processor refuses outside ring 0 is refused here; what it does in ring 0, and everything
 * that touches segment registers, is left to `../system.ts` through `Exit.System`: rare, and not worth WebAssembly.
 */
import {
  add,
  and,
  convertF64ToI64Saturating,
  type Expression,
  eqz,
  extendU,
  gtU,
  i32,
  i64,
  load32,
  mul,
  ne,
  or,
  shrU,
  sub,
  wrap,
} from '../../../wasm/expression.ts';
import {
  CPU_CLOCK_BASE,
  CPU_CLOCK_VIRTUAL,
  CPU_CPL,
  CPU_CR4,
  CPU_EFER,
  CPU_INTERRUPT_SHADOW,
  CPU_INTERRUPT_WAITS,
  CPU_RETIRED,
  CPU_SEGMENTS,
  CPU_TSC_AUX,
  CPU_TSC_OFFSET,
  SEGMENT_SIZE,
} from '../../layout.ts';
import type { InstructionSet } from '../definition.ts';
import { callSupport, type Emitter, type Semantics } from '../emitter.ts';
import { Exit } from '../exits.ts';
import { FLAG_IF, RAX, RCX, RDX, VECTOR_GP, VECTOR_UD } from '../registers.ts';

const EFER_SCE = 1;

/** Left to TypeScript, whatever the privilege. */
const system: Semantics = (c) => c.exitAt(Exit.System);

/** #GP(0) outside ring 0, else left to TypeScript. */
const privileged: Semantics = (c) => {
  c.raiseIf(c.state32(CPU_CPL), VECTOR_GP);
  c.exitAt(Exit.System);
};
/** SYSRET: there is none without EFER.SCE, whatever the privilege. */
const systemReturn: Semantics = (c) => {
  c.raiseIf(eqz(and(wrap(c.state64(CPU_EFER)), i32(EFER_SCE))), VECTOR_UD);
  privileged(c);
};
/** #GP(0) where CPL > IOPL, else left to TypeScript. */
const inputOutput: Semantics = (c) => {
  c.raiseIf(gtU(c.state32(CPU_CPL), and(shrU(c.otherFlags(), i32(12)), i32(3))), VECTOR_GP);
  c.exitAt(Exit.System);
};

/** CLI. */
const clearInterrupts: Semantics = (c) => {
  c.raiseIf(gtU(c.state32(CPU_CPL), and(shrU(c.otherFlags(), i32(12)), i32(3))), VECTOR_GP);
  c.setOtherFlags(and(c.otherFlags(), i32(~FLAG_IF)));
};
/** STI: if the flag was clear, no interrupt is taken before the instruction that follows has been executed. */
const setInterrupts: Semantics = (c) => {
  const { f } = c;
  c.raiseIf(gtU(c.state32(CPU_CPL), and(shrU(c.otherFlags(), i32(12)), i32(3))), VECTOR_GP);
  f.if(eqz(and(c.otherFlags(), i32(FLAG_IF))), () => {
    c.setOtherFlags(or(c.otherFlags(), i32(FLAG_IF)));
    c.setState64(CPU_INTERRUPT_SHADOW, c.nextRip());
    f.if(c.state32(CPU_INTERRUPT_WAITS), () => c.exit(Exit.InterruptWindow));
  });
};

/** The time-stamp counter, i64: instructions under the virtual clock, else the host's nanoseconds. */
function timeStamp(c: Emitter): Expression {
  const { f } = c;
  const now = f.ifValue(
    0x7e,
    c.state32(CPU_CLOCK_VIRTUAL),
    () => add(sub(c.state64(CPU_RETIRED), extendU(c.budgetLeft())), c.state64(CPU_CLOCK_BASE)),
    () => convertF64ToI64Saturating(callSupport(c.support, 'hostNow')),
  );
  return f.let(add(now, c.state64(CPU_TSC_OFFSET)));
}
const CR4_TSD = 4;
function readTimeStamp(withAux: boolean): Semantics {
  return (c) => {
    const disabled = and(wrap(c.state64(CPU_CR4)), i32(CR4_TSD));
    c.raiseIf(and(ne(disabled, i32(0)), ne(c.state32(CPU_CPL), i32(0))), VECTOR_GP);
    const value = timeStamp(c);
    c.setGpr(RAX, wrap(value), 4);
    c.setGpr(RDX, wrap(shrU(value, i64(32))), 4);
    if (withAux) c.setGpr(RCX, wrap(c.state64(CPU_TSC_AUX)), 4);
  };
}

/** MOV from a segment register: memory gets 16 bits, a register the zero-extended selector. */
const moveFromSegment: Semantics = (c) => {
  const at = add(i32(0), sixFold(c.extra()));
  const selector = c.f.let(load32(at, segmentsAddress(c)));
  if (c.shape.memory) c.store(selector, 2);
  else c.setRm(c.size === 8 ? extendU(selector) : selector);
};
function sixFold(n: Expression): Expression {
  return mul(n, i32(SEGMENT_SIZE));
}
function segmentsAddress(c: Emitter): number {
  return c.stateAddress(CPU_SEGMENTS).low;
}

export function defineSystem(set: InstructionSet): void {
  const ends = { ends: true };
  set.define('INT3', 'CC', '', (c) => c.exit(Exit.Interrupt, i32(3)), ends);
  set.define('INT', 'CD', 'Ib', (c) => c.exit(Exit.Interrupt, c.immediate(1)), ends);
  set.define('INTO', 'CE', '', (c) => c.f.if(c.overflowFlag(), () => c.exit(Exit.Interrupt, i32(4))), {
    mode: 'legacy',
    ...ends,
  });
  set.define('INT1', 'F1', '', (c) => c.exit(Exit.Interrupt, i32(1)), ends);
  set.define('SYSCALL', '0F 05', '', (c) => c.exit(Exit.Syscall), { ...ends, settles: true });
  set.define('SYSENTER', '0F 34', '', (c) => c.exit(Exit.Sysenter), ends);
  set.define('CPUID', '0F A2', '', (c) => c.exit(Exit.Cpuid), { ...ends, settles: true });
  set.define('VMCALL', 'NP 0F 01 =C1', '', (c) => c.exitAt(Exit.Vmcall), ends);
  set.define('VMMCALL', '0F 01 =D9', '', (c) => c.exitAt(Exit.Vmcall), ends);
  set.define('RDTSC', '0F 31', '', readTimeStamp(false), { budget: true });
  set.define('RDTSCP', '0F 01 =F9', '', readTimeStamp(true), { budget: true });

  for (const [name, encoding, operands] of [
    ['HLT', 'F4', ''],
    ['CLTS', '0F 06', ''],
    ['SYSEXIT', '0F 35', ''],
    ['INVD', '0F 08', ''],
    ['WBINVD', '0F 09', ''],
    ['WRMSR', '0F 30', ''],
    ['RDMSR', '0F 32', ''],
    ['RDPMC', '0F 33', ''],
    ['MOV', '0F 20', 'Rq Cq'],
    ['MOV', '0F 21', 'Rq Dq'],
    ['MOV', '0F 22', 'Rq Cq'],
    ['MOV', '0F 23', 'Rq Dq'],
    ['LLDT', '0F 00 /2', 'Ew'],
    ['LTR', '0F 00 /3', 'Ew'],
    ['LGDT', '0F 01 /2', 'Mt'],
    ['LIDT', '0F 01 /3', 'Mt'],
    ['LMSW', '0F 01 /6', 'Ew'],
    ['INVLPG', '0F 01 /7', 'Mb'],
    ['SWAPGS', '0F 01 =F8', ''],
  ] as const) {
    const long = name === 'SWAPGS' ? ({ mode: 'long' } as const) : {};
    set.define(name, encoding, operands, privileged, { ...ends, ...long });
  }
  set.define('SYSRET', '0F 07', '', systemReturn, { ...ends, sizes: [2, 4, 8] });
  set.define('CLI', 'FA', '', clearInterrupts);
  set.define('STI', 'FB', '', setInterrupts);
  for (const [name, encoding, operands] of [
    ['IN', 'E4', 'Ib'],
    ['IN', 'E5', 'Ib'],
    ['OUT', 'E6', 'Ib'],
    ['OUT', 'E7', 'Ib'],
    ['IN', 'EC', ''],
    ['IN', 'ED', ''],
    ['OUT', 'EE', ''],
    ['OUT', 'EF', ''],
    ['INS', '6C', ''],
    ['INS', '6D', ''],
    ['OUTS', '6E', ''],
    ['OUTS', '6F', ''],
  ] as const) {
    const string = { addressed: true, repeatable: encoding.startsWith('6') };
    set.define(name, encoding, operands, inputOutput, { ...ends, ...string, sizes: [2, 4, 8] });
  }

  // Segment registers, far transfers and descriptor look-ups.
  const sized = { ...ends, sizes: [2, 4, 8] };
  set.define('MOV', '8C', 'Ev Sw', moveFromSegment);
  set.define('MOV', '8E', 'Ew Sw', system, ends);
  for (const [encoding, mode] of [
    ['07', 'legacy'],
    ['17', 'legacy'],
    ['1F', 'legacy'],
    ['0F A1', undefined],
    ['0F A9', undefined],
  ] as const) {
    set.define('POP', encoding, '', system, {
      ...sized,
      default64: true,
      ...(mode === undefined ? {} : { mode }),
    });
  }
  set.define('LES', 'C4', 'Gv M', system, { ...ends, mode: 'legacy', sizes: [2, 4] });
  set.define('LDS', 'C5', 'Gv M', system, { ...ends, mode: 'legacy', sizes: [2, 4] });
  set.define('LSS', '0F B2', 'Gv M', system, sized);
  set.define('LFS', '0F B4', 'Gv M', system, sized);
  set.define('LGS', '0F B5', 'Gv M', system, sized);
  set.define('JMPF', 'EA', 'Ap', system, { ...ends, mode: 'legacy', sizes: [2, 4] });
  set.define('CALLF', '9A', 'Ap', system, { ...ends, mode: 'legacy', sizes: [2, 4] });
  set.define('JMPF', 'FF /5', 'M', system, sized);
  set.define('CALLF', 'FF /3', 'M', system, sized);
  set.define('RETF', 'CB', '', system, sized);
  set.define('RETF', 'CA', 'Iw', system, sized);
  set.define('IRET', 'CF', '', system, sized);
  set.define('LAR', '0F 02', 'Gv Ew', system, sized);
  set.define('LSL', '0F 03', 'Gv Ew', system, sized);
  set.define('SLDT', '0F 00 /0', 'Ev', system, ends);
  set.define('STR', '0F 00 /1', 'Ev', system, ends);
  set.define('VERR', '0F 00 /4', 'Ew', system, ends);
  set.define('VERW', '0F 00 /5', 'Ew', system, ends);
  set.define('SGDT', '0F 01 /0', 'Mt', system, ends);
  set.define('SIDT', '0F 01 /1', 'Mt', system, ends);
  set.define('SMSW', '0F 01 /4', 'Ev', system, ends);
  set.define('ARPL', '63', 'Ew Gw', system, { ...ends, mode: 'legacy' });
}
