/**
 * What an exit of the processor means on the bare machine: nearly always what the manual says.
 *
 *     exceptions   through the IDT; only a port access that IOPL forbids is looked up in the TSS first
 *     INT n        through the IDT, if the gate's privilege level allows it
 *     SYSCALL      to LSTAR or CSTAR
 *     System       a privileged instruction in ring 0: see `privileged.ts`
 */
import { CPU_EXIT_LENGTH } from '../machine/layout.ts';
import { Exit } from '../machine/x86/exits.ts';
import { RAX, RBX, RCX, RDX, VECTOR_DB, VECTOR_GP, VECTOR_PF, VECTOR_UD } from '../machine/x86/registers.ts';
import { cpuid } from './cpuid.ts';
import { deliver, Source } from './deliver.ts';
import { executePrivileged, isPermittedPortAccess } from './privileged.ts';
import { systemCall } from './system-call.ts';
import type { NativeVcpu } from './vcpu.ts';

/** INT1: its gate can be reached from anywhere. */
const INT1_BYTES = 1;

export function handleExit(vcpu: NativeVcpu, exit: Exit): void {
  const { state } = vcpu;
  switch (exit) {
    case Exit.Exception:
      handleException(vcpu, state.exitVector, state.exitError);
      break;
    case Exit.Interrupt: {
      const { exitVector, exitLength } = state;
      const source = exitVector === VECTOR_DB && exitLength === INT1_BYTES ? Source.Trap : Source.Software;
      deliver(vcpu, exitVector, 0, source, exitLength);
      break;
    }
    case Exit.Syscall:
      if (!systemCall(vcpu)) undefinedBehind(vcpu);
      break;
    case Exit.Cpuid:
      answerCpuid(vcpu);
      if (vcpu.isStepping) vcpu.step();
      break;
    case Exit.System:
      executePrivileged(vcpu);
      break;
    case Exit.Sysenter:
      // CPUID says that there is none.
      undefinedBehind(vcpu);
      break;
    case Exit.Vmcall:
      deliver(vcpu, VECTOR_UD, 0, Source.Fault);
      break;
    case Exit.Budget:
    case Exit.InterruptWindow:
      break;
    default:
      vcpu.crash(`the processor stopped for a reason (${exit}) that a bare machine cannot give`);
  }
}

/** #UD of an instruction that RIP is behind already. */
function undefinedBehind(vcpu: NativeVcpu): void {
  const { state } = vcpu;
  state.rip = state.rip - state.low(CPU_EXIT_LENGTH);
  deliver(vcpu, VECTOR_UD, 0, Source.Fault);
}

function handleException(vcpu: NativeVcpu, vector: number, error: number): void {
  if (vector === VECTOR_PF) vcpu.setCr2(vcpu.state.exitAddress);
  if (vector === VECTOR_GP && error === 0 && isPermittedPortAccess(vcpu)) {
    executePrivileged(vcpu);
    return;
  }
  if (vector === VECTOR_DB) {
    vcpu.noteDebug(error);
    deliver(vcpu, vector, 0, Source.Trap);
    return;
  }
  deliver(vcpu, vector, error, Source.Fault);
}

function answerCpuid({ state }: NativeVcpu): void {
  const [eax, ebx, ecx, edx] = cpuid(state.regLow(RAX) >>> 0, state.regLow(RCX) >>> 0);
  state.setReg(RAX, eax, 0);
  state.setReg(RBX, ebx, 0);
  state.setReg(RCX, ecx, 0);
  state.setReg(RDX, edx, 0);
}
