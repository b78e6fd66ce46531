/** The processor's privileged instructions, each as itself; and a local APIC that is not there. */
import {
  clts,
  cpuid,
  outb,
  rdmsr,
  rdtsc,
  readCr0,
  readCr4,
  readDr0,
  readDr1,
  readDr2,
  readDr3,
  readDr6,
  readDr7,
  readFlags,
  wbinvd,
  writeCr0,
  writeCr4,
  writeDr0,
  writeDr1,
  writeDr2,
  writeDr3,
  writeDr6,
  writeDr7,
  writeFlags,
  wrmsr,
} from '../machine/processor';
import { enterLazyCpuMode, leaveLazyCpuMode, leftLazyMmu } from '../paravirt/lazy';

const DELAY_PORT: u32 = 0x80;
const FLAGS_IOPL: u64 = 0x3000;

/** cpu.cpuid */
export function nativeCpuid(leaf: u32, subleaf: u32, into: usize): void {
  cpuid(leaf, subleaf, into);
}

/** cpu.read_cr0 */
export function nativeReadCr0(): u64 {
  return readCr0();
}

/** cpu.write_cr0 */
export function nativeWriteCr0(value: u64): void {
  writeCr0(value);
}

/** cpu.clts */
export function nativeClts(): void {
  clts();
}

/** cpu.read_cr4 */
export function nativeReadCr4(): u64 {
  return readCr4();
}

/** cpu.write_cr4 */
export function nativeWriteCr4(value: u64): void {
  writeCr4(value);
}

/** cpu.read_msr */
export function nativeReadMsr(register: u32): u64 {
  return rdmsr(register);
}

/** cpu.write_msr */
export function nativeWriteMsr(register: u32, value: u64): void {
  wrmsr(register, value);
}

/** cpu.read_tsc */
export function nativeReadTsc(): u64 {
  return rdtsc();
}

/** cpu.wbinvd */
export function nativeWriteBackCaches(): void {
  wbinvd();
}

/** cpu.io_delay: a write to a port where nothing is takes its time on an old bus. */
export function nativeIoDelay(): void {
  outb(DELAY_PORT, 0);
}

/** cpu.set_iopl_mask */
export function nativeSetIoplMask(mask: u32): void {
  writeFlags((readFlags() & ~FLAGS_IOPL) | (<u64>mask & FLAGS_IOPL));
}

/** cpu.start_context_switch */
export function nativeStartContextSwitch(): void {
  enterLazyCpuMode();
}

/** cpu.end_context_switch */
export function nativeEndContextSwitch(): void {
  leaveLazyCpuMode(leftLazyMmu());
}

/** cpu.get_debugreg: of DR0 to DR3, DR6 and DR7; 0 for others. */
export function nativeGetDebugRegister(index: u32): u64 {
  switch (index) {
    case 0:
      return readDr0();
    case 1:
      return readDr1();
    case 2:
      return readDr2();
    case 3:
      return readDr3();
    case 6:
      return readDr6();
    case 7:
      return readDr7();
    default:
      return 0;
  }
}

/** cpu.set_debugreg: of the same; nothing for others. */
export function nativeSetDebugRegister(index: u32, value: u64): void {
  switch (index) {
    case 0:
      writeDr0(value);
      break;
    case 1:
      writeDr1(value);
      break;
    case 2:
      writeDr2(value);
      break;
    case 3:
      writeDr3(value);
      break;
    case 6:
      writeDr6(value);
      break;
    case 7:
      writeDr7(value);
      break;
    default:
      break;
  }
}

/** apic.read */
export function nativeApicRead(_register: u32): u32 {
  return 0;
}

/** apic.write */
export function nativeApicWrite(_register: u32, _value: u32): void {}

/** apic.icr_read */
export function nativeApicIcrRead(): u64 {
  return 0;
}

/** apic.icr_write */
export function nativeApicIcrWrite(_low: u32, _destination: u32): void {}

/** apic.wait_icr_idle */
export function nativeApicWaitIcrIdle(): void {}

/** apic.safe_wait_icr_idle */
export function nativeApicSafeWaitIcrIdle(): u32 {
  return 0;
}
