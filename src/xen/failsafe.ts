/**
 * The data segments of a vCPU that gets the processor, and the failsafe callback for selectors that cannot be loaded.
 *
 * Xen loads DS, ES, FS and GS when it switches to a vCPU: the tables may have changed since the guest loaded them itself.
 * If one faults, its register becomes null, and the kernel is entered at its failsafe callback with all four selectors
 * on the stack, below the usual frame:
 *
 *     SS  RSP  RFLAGS  CS | mask << 32  RIP  GS  FS  ES  DS  R11  RCX <- RSP
 *
 * Our registers keep their hidden parts over a switch, so this happens when a vCPU starts with selectors that the
 * toolstack or VCPUOP_initialise gave it. (Xen 4.17, arch/x86/domain.c: load_segments.)
 */
import { VMASST_TYPE_architectural_iopl, x86_64 as wide } from '../abi/xen/numbers/index.ts';
import { vcpu_info } from '../abi/xen/structures/index.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import {
  CS,
  DS,
  ES,
  FLAG_AC,
  FLAG_IF,
  FLAG_IOPL,
  FLAG_NT,
  FLAG_RF,
  FLAG_TF,
  FLAG_VM,
  FS,
  GS,
  R11,
  RCX,
  RSP,
  SS,
} from '../machine/x86/registers.ts';
import { loadDataSegment, segmentBaseHigh, segmentBaseLow } from './segments.ts';
import type { XenVcpu } from './vcpu.ts';

const MASK_OFFSET = vcpu_info.x64.offset.evtchn_upcall_mask;
const WORDS = 11;
const SELECTORS = [ES, CS, SS, DS, FS, GS];

/** Loads DS, ES, FS and GS from the selectors that are noted; FS and GS keep their bases. Enters failsafe on a fault. */
export function loadDataSegments(vcpu: XenVcpu): void {
  const { state } = vcpu;
  const selectors = SELECTORS.map((segment) => state.selector(segment));
  let okay = true;
  for (const segment of [FS, GS, DS, ES]) {
    const low = segmentBaseLow(vcpu, segment);
    const high = segmentBaseHigh(vcpu, segment);
    okay = loadDataSegment(vcpu, segment, selectors[segment]!) && okay;
    if (segment === FS || segment === GS) state.setSegmentBase(segment, low, high);
  }
  if (!okay) enterFailsafe(vcpu, selectors);
}

function enterFailsafe(vcpu: XenVcpu, selectors: readonly number[]): void {
  const { state, domain, frame, callbacks } = vcpu;
  const { memory } = domain.host;
  let cs = state.selector(CS);
  let top = vcpu.kernelSp;
  if (vcpu.kernelMode) {
    top = state.reg(RSP);
    cs &= 0xfffc;
  } else {
    vcpu.toggleMode();
  }
  top -= ((top % 16) + 16) % 16;
  const maskAt = vcpu.vcpuInfoHost + MASK_OFFSET;
  const mask = memory.u8[maskAt]!;
  let flags = state.rflags & ~(FLAG_IF | FLAG_IOPL);
  if (mask === 0) flags |= FLAG_IF;
  if (domain.hasAssist(VMASST_TYPE_architectural_iopl)) flags |= vcpu.iopl << 12;
  const words: readonly (readonly [number, number])[] = [
    [state.regLow(RCX), state.regHigh(RCX)],
    [state.regLow(R11), state.regHigh(R11)],
    [selectors[DS]!, 0],
    [selectors[ES]!, 0],
    [selectors[FS]!, 0],
    [selectors[GS]!, 0],
    [vcpu.ripLow(), vcpu.ripHigh()],
    [cs, mask],
    [flags, 0],
    [state.regLow(RSP), state.regHigh(RSP)],
    [state.selector(SS), 0],
  ];
  words.forEach(([low, high], i) => {
    frame[i * 2] = low;
    frame[i * 2 + 1] = high;
  });
  const bottom = top - WORDS * 8;
  const last = vcpu.guest.tryHost(top - 8, true);
  const crosses = ((bottom | 0) & (PAGE_SIZE - 1)) > PAGE_SIZE - WORDS * 8;
  const first = crosses ? vcpu.guest.tryHost(bottom, true) : last - (WORDS - 1) * 8;
  if (last === 0 || first === 0) {
    vcpu.crash('the failsafe callback has no writable stack');
    return;
  }
  vcpu.storeFrame(WORDS, bottom, first, last);
  if (callbacks.failsafe.masksEvents) memory.u8[maskAt] = 1;
  vcpu.clearFlags(FLAG_AC | FLAG_VM | FLAG_RF | FLAG_NT | FLAG_IOPL | FLAG_TF);
  vcpu.setSelector(SS, wide.FLAT_KERNEL_SS);
  vcpu.setSelector(CS, wide.FLAT_KERNEL_CS);
  state.setRegNumber(RSP, bottom);
  state.rip = callbacks.failsafe.address;
  vcpu.returnsBySysret = true;
}
