/**
 * The M2P: Xen's table of the pseudo-physical frame behind each machine frame, readable by every guest. It belongs to all
 * domains, so an entry may be another domain's, and it has holes, where a look-up faults. `page.ts` says what an entry is
 * worth to us.
 */
import {
  MACH2PHYS_NR_ENTRIES as NARROW_ENTRIES,
  MACH2PHYS_VIRT_START as NARROW_START,
} from '../../abi/xen/numbers/arch-x86_32.ts';
import {
  MACH2PHYS_NR_ENTRIES as WIDE_ENTRIES,
  MACH2PHYS_VIRT_START as WIDE_START,
} from '../../abi/xen/numbers/arch-x86_64.ts';
import { XENMEM_machphys_mapping } from '../../abi/xen/numbers/memory.ts';
import {
  SIZEOF_xen_machphys_mapping,
  xen_machphys_mapping_max_mfn,
  xen_machphys_mapping_v_start,
} from '../abi/structures';
import { probeLoad32, probeLoad64 } from '../machine/memory';
import { xenDisableInterrupts, xenRestoreInterrupts, xenSaveInterrupts } from './event-mask';
import { HYPERVISOR_memory_op } from './hypercall';
import { INVALID_P2M_ENTRY } from './p2m-tree';
import { Mfn, Pfn, Vaddr, WORD_BYTES } from './types';

let base: Vaddr = WORD_BITS === 64 ? <u64>WIDE_START : <u64>NARROW_START;
/** One past the highest frame that has an entry. */
let count: u64 = WORD_BITS === 64 ? <u64>WIDE_ENTRIES : <u64>NARROW_ENTRIES;

const answer: usize = memory.data(SIZEOF_xen_machphys_mapping, 8);
const found: usize = memory.data(8, 8);

/** Asks Xen where the table is; one that does not say has it at its usual place. */
export function setupMachineToPhys(): void {
  if (HYPERVISOR_memory_op(XENMEM_machphys_mapping, answer) !== 0) return;
  base = <u64>load<Word>(answer, xen_machphys_mapping_v_start);
  count = <u64>load<Word>(answer, xen_machphys_mapping_max_mfn) + 1;
}

/**
 * What the table says of a machine frame: a frame number of whoever owns it, Xen's mark for nobody's, or
 * INVALID_P2M_ENTRY for what lies beyond the table or in a hole of it. The fault that a hole is gets caught.
 */
export function machineToPhys(mfn: Mfn): Pfn {
  if (<u64>mfn >= count) return INVALID_P2M_ENTRY;
  const address = base + <u64>mfn * <u64>WORD_BYTES;
  // There is one place for what the probe finds: nobody may come in between.
  const state = xenSaveInterrupts();
  xenDisableInterrupts();
  const faulted = WORD_BITS === 64 ? probeLoad64(address, found) : probeLoad32(address, found);
  const pfn = faulted !== 0 ? INVALID_P2M_ENTRY : load<Word>(found);
  xenRestoreInterrupts(state);
  return pfn;
}
