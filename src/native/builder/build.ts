/**
 * From a kernel to a machine that stands at its entry point, as the 64-bit boot protocol of Linux has it (Linux,
 * Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"):
 *
 *     long mode, interrupts off     RSI = boot_params, with memory map, command line and RAM disk
 *     CS = 0x10, DS ES SS = 0x18    flat, in a GDT that is loaded; no IDT: an exception ends the machine
 *     page tables                   all memory at its physical addresses (see `page-tables.ts`)
 *
 * Beyond what the protocol promises, RSP is the top of a stack of 16 KiB, and the other registers are zero.
 */
import type { Host } from '../../hypervisor/host.ts';
import { CPU_CR3 } from '../../machine/layout.ts';
import { parseDescriptor } from '../../machine/x86/descriptor.ts';
import { CS, DS, ES, RSI, RSP, SS } from '../../machine/x86/registers.ts';
import { NativeDomain, type NativeDomainOptions } from '../domain.ts';
import { writeBootParams } from './boot-params.ts';
import { MachineBuildError } from './errors.ts';
import { writePageTables } from './page-tables.ts';
import {
  BOOT_PARAMS_ADDRESS,
  type BootableKernel,
  COMMAND_LINE_ADDRESS,
  COMMAND_LINE_BYTES,
  GDT_ADDRESS,
  planMachine,
  STACK_TOP,
  TABLES_ADDRESS,
} from './plan.ts';

const PAGES_PER_MIB = 256;
const MEBIBYTE = 1 << 20;
const BOOT_CS = 0x10;
const BOOT_DS = 0x18;
/** Two empty entries, then flat 64-bit code and flat data: low words 0xffff, high words these. */
const GDT = [0, 0, 0x00af9b00, 0x00cf9300];
const FLAT_LIMIT_LOW = 0xffff;

export interface MachineConfig extends Omit<NativeDomainOptions, 'frames'> {
  readonly kernel: BootableKernel;
  readonly ramdisk?: Uint8Array | undefined;
  readonly commandLine: string;
  readonly memoryMib: number;
}

/** Builds a machine. It is paused. Raises MachineBuildError; nothing is left behind then. */
export function buildMachine(host: Host, config: MachineConfig): NativeDomain {
  const { kernel, ramdisk, commandLine, memoryMib } = config;
  const plan = planMachine(kernel, memoryMib * MEBIBYTE, ramdisk?.length);
  const text = new TextEncoder().encode(commandLine);
  if (text.length >= COMMAND_LINE_BYTES) {
    throw new MachineBuildError(
      `expected a command line of at most ${COMMAND_LINE_BYTES - 1} bytes, found ${text.length}`,
    );
  }
  const frames = memoryMib * PAGES_PER_MIB;
  if (host.frames.available < frames) {
    const free = Math.floor(host.frames.available / PAGES_PER_MIB);
    throw new MachineBuildError(
      `too little memory: the machine wants ${memoryMib} MiB, but the host has ${free} MiB free`,
    );
  }
  const domain = new NativeDomain(host, { ...config, frames });
  domain.pause();
  const { memory } = host;
  const base = domain.firstByte;
  for (const { physical, bytes } of kernel.segments) memory.writeBytes(base + physical, bytes);
  if (plan.ramdisk !== undefined) memory.writeBytes(base + plan.ramdisk.start, ramdisk!);
  memory.writeBytes(base + COMMAND_LINE_ADDRESS, text);
  for (const [i, high] of GDT.entries()) {
    memory.write64(base + GDT_ADDRESS + i * 8, high === 0 ? 0 : FLAT_LIMIT_LOW, high);
  }
  writePageTables(memory, base, TABLES_ADDRESS, plan);
  writeBootParams(memory, base + BOOT_PARAMS_ADDRESS, plan, kernel.setupHeader);
  start(domain, plan.entry);
  return domain;
}

function start(domain: NativeDomain, entry: number): void {
  const vcpu = domain.vcpus[0]!;
  const { state, tables } = vcpu;
  tables.gdtBase = GDT_ADDRESS;
  tables.gdtLimit = GDT.length * 8 - 1;
  tables.idtLimit = 0;
  for (const [segment, selector] of [
    [ES, BOOT_DS],
    [CS, BOOT_CS],
    [SS, BOOT_DS],
    [DS, BOOT_DS],
  ] as const) {
    const { attributes, limit, base } = parseDescriptor(FLAT_LIMIT_LOW, GDT[selector >> 3]!);
    state.setSegment(segment, selector, attributes, limit, base);
  }
  state.set(CPU_CR3, TABLES_ADDRESS, 0);
  state.setRegNumber(RSI, BOOT_PARAMS_ADDRESS);
  state.setRegNumber(RSP, STACK_TOP);
  state.rip = entry;
  vcpu.setOnline(true);
}
