/**
 * What is known about a guest at the moment it crashed: data only. Rendering it, disassembling the code and finding
 * symbols is the work of whoever shows it.
 */
import type { Gva } from '../machine/memory.ts';

/** A 64-bit value as halves. */
export interface Word64 {
  readonly low: number;
  readonly high: number;
}

export interface SegmentReport {
  readonly selector: number;
  readonly base: Gva;
}

/** One hypercall in the trail that led here. */
export interface HypercallRecord {
  readonly number: number;
  readonly name: string;
  readonly arguments: readonly number[];
  /** What it returned; undefined for one that did not return. */
  readonly result: number | undefined;
}

export interface CrashReport {
  /** One line: what the guest did. */
  readonly reason: string;
  readonly domainId: number;
  readonly domainName: string;
  readonly vcpuId: number;
  /** Whether the guest's kernel was running, as opposed to its user. */
  readonly kernelMode: boolean;
  readonly rip: Gva;
  readonly rflags: number;
  /** rax rcx rdx rbx rsp rbp rsi rdi r8 … r15. */
  readonly registers: readonly Word64[];
  /** ES CS SS DS FS GS. */
  readonly segments: readonly SegmentReport[];
  readonly gsBaseInactive: Gva;
  readonly cr0: number;
  readonly cr2: Gva;
  readonly cr3: number;
  readonly cr4: number;
  /** Words at RSP and above, as many as are mapped. */
  readonly stack: readonly Word64[];
  /** Bytes around RIP, as many as are mapped; `codeStart` is the address of the first. */
  readonly code: Uint8Array;
  readonly codeStart: Gva;
  /** Instructions that this vCPU had retired. */
  readonly retired: number;
  /** The last hypercalls, oldest first. */
  readonly hypercalls: readonly HypercallRecord[];
}
