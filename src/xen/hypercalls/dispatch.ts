/**
 * From a hypercall's number to its handler, and from the handler's result to the guest's registers.
 *
 * A guest traps with the number in rax and up to six arguments in registers. A handler gets them, does its work and
 * returns what goes into rax: 0 or a positive result, or a negated errno. Three things are done here for all of them: a
 * guest address that cannot be accessed becomes -EFAULT, a number that nobody handles becomes -ENOSYS and is counted,
 * and tracing sees each call with its name.
 *
 * A long hypercall may stop halfway (`CONTINUE`): it writes its progress into the arguments, RIP goes back by the two
 * bytes of SYSCALL or INT $0x82, and the guest issues it again without knowing. (Xen 4.17, arch/x86/pv/hypercall.c,
 * common/domain.c: hypercall_create_continuation.)
 */
import { XEN_EFAULT, XEN_ENOSYS } from '../../abi/xen/numbers/index.ts';
import { GuestFault } from '../../machine/x86/guest-memory.ts';
import { R8, R9, R10, RAX, RBP, RBX, RCX, RDI, RDX, RSI } from '../../machine/x86/registers.ts';
import type { XenVcpu } from '../vcpu.ts';
import { ARGUMENT_COUNT, type HypercallArguments } from './arguments.ts';
import { hypercallName } from './names.ts';

/** Handles one hypercall; returns the value for rax: a signed number, sign-extended to 64 bits. */
export type HypercallHandler = (vcpu: XenVcpu, args: HypercallArguments) => number;

/** Handlers by number: what each file of a family exports. */
export type HypercallFamily = Readonly<Record<number, HypercallHandler>>;

/** Result: leave rax alone, the handler has replaced the registers. No hypercall can return this number. */
export const NO_RESULT = 2 ** 52 + 1;
/** Result: preempted. The arguments hold the rest of the work, and the guest will issue the hypercall again. */
export const CONTINUE = 2 ** 52 + 2;

/** Numbers that the table has room for; Xen's is 64 entries too. */
export const HYPERCALL_COUNT = 64;

const REGISTERS_64 = [RDI, RSI, RDX, R10, R8, R9] as const;
const REGISTERS_32 = [RBX, RCX, RDX, RSI, RDI, RBP] as const;

export class HypercallTable {
  private readonly handlers: (HypercallHandler | undefined)[] = new Array(HYPERCALL_COUNT).fill(undefined);

  /** Merges families; two handlers for one number are a mistake of this program. */
  constructor(families: readonly HypercallFamily[]) {
    for (const family of families) {
      for (const [key, handler] of Object.entries(family)) {
        const number = Number(key);
        if (this.handlers[number] !== undefined) {
          throw new Error(`expected one handler for hypercall ${hypercallName(number)}, found two`);
        }
        this.handlers[number] = handler;
      }
    }
  }

  /** Whether a number has a handler: for the coverage table. */
  has(number: number): boolean {
    return this.handlers[number] !== undefined;
  }

  /** Calls a handler by number. The result may be NO_RESULT or CONTINUE. */
  call(vcpu: XenVcpu, number: number, args: HypercallArguments): number {
    const handler = this.handlers[number];
    if (handler === undefined) return -XEN_ENOSYS;
    try {
      return handler(vcpu, args);
    } catch (error) {
      if (error instanceof GuestFault) return -XEN_EFAULT;
      throw error;
    }
  }

  /** Performs the hypercall that the vCPU's registers describe; RIP stands behind the trapping instruction. */
  dispatch(vcpu: XenVcpu): void {
    const { state, args } = vcpu;
    const { is64 } = vcpu.domain;
    const registers = is64 ? REGISTERS_64 : REGISTERS_32;
    for (let i = 0; i < ARGUMENT_COUNT; i++) {
      const register = registers[i]!;
      args.low[i] = state.regLow(register);
      args.high[i] = is64 ? state.regHigh(register) : 0;
    }
    // A number beyond the table, or with bits in the upper half, is one that nobody handles.
    const low = state.regLow(RAX) >>> 0;
    const number = (is64 && state.regHigh(RAX) !== 0) || low >= HYPERCALL_COUNT ? HYPERCALL_COUNT : low;
    vcpu.beginHypercall(number);
    const result = this.call(vcpu, number, args);
    vcpu.endHypercall(number, result);
    if (result === NO_RESULT) return;
    if (result === CONTINUE) {
      for (let i = 0; i < ARGUMENT_COUNT; i++) state.setReg(registers[i]!, args.low[i]!, args.high[i]!);
      state.rip = state.rip - 2;
      return;
    }

    if (is64) state.setRegNumber(RAX, result);
    else state.setReg(RAX, result | 0, 0);
  }
}
