/**
 * The start above Xen. The domain builder has made an address space with everything in it, mapped and connected; what is
 * left is to find it, tell Xen about us, and put our functions behind the operations. A kernel calls `startXen` first of
 * all, then goes on as on any other machine.
 *
 *     1  the tables of operations (`installOperations`)
 *     2  where things are: start_info, the P2M around the builder's list, the M2P, the tables that Xen made
 *     3  the hypervisor's range of addresses set aside
 *     4  the shared page mapped, callbacks set; events stay masked
 */

import {
  FLAT_KERNEL_CS as NARROW_KERNEL_CS,
  FLAT_KERNEL_SS as NARROW_KERNEL_SS,
  FLAT_USER_CS as NARROW_USER_CS,
  FLAT_USER_SS as NARROW_USER_SS,
  HYPERVISOR_VIRT_START as NARROW_VIRT_START,
} from '../../abi/xen/numbers/arch-x86_32.ts';
import {
  FLAT_KERNEL_CS,
  FLAT_KERNEL_SS,
  FLAT_USER_CS,
  FLAT_USER_SS,
  HYPERVISOR_VIRT_END,
  HYPERVISOR_VIRT_START,
} from '../../abi/xen/numbers/arch-x86_64.ts';
import { VMASST_CMD_enable, VMASST_TYPE_writable_pagetables } from '../../abi/xen/numbers/domain.ts';
import { XENFEAT_NR_SUBMAPS } from '../../abi/xen/numbers/features.ts';
import { XENVER_get_features } from '../../abi/xen/numbers/version.ts';
import {
  SIZEOF_xen_feature_info,
  start_info_mfn_list,
  start_info_nr_pages,
  start_info_nr_pt_frames,
  start_info_pt_base,
  start_info_shared_info,
  xen_feature_info_submap,
  xen_feature_info_submap_idx,
} from '../abi/structures';
import { imageStart } from '../machine/image';
import { ON_XEN, reserveAddressRange, setPlatform, setSelectors } from '../paravirt/info';
import { closeBrk, openBrk, reserveBrk } from './brk';
import { startEvents } from './events';
import { setFeatures } from './features';
import { HYPERVISOR_vm_assist, HYPERVISOR_xen_version } from './hypercall';
import { installOperations } from './install';
import { setupMachineToPhys } from './machine-to-phys';
import { mapFrame } from './mapping';
import { memoryMap, memoryMapEnd, readMemoryMap } from './memory-map';
import { adoptTables } from './mmu';
import { setIdentityFromMemoryMap } from './p2m-identity';
import { buildPhysToMachine, p2mBrkPages } from './p2m-tree';
import { physicalOf, setMaxPfn } from './page';
import { startDescriptions } from './suspend';
import { setupTablePages, tablePagesBytes } from './table-pages';
import { startCallbacks } from './traps';
import { Mfn, PAGE_SHIFT, PAGE_SIZE, Pfn } from './types';
import { setSharedInfo, startSharedInfo } from './vcpu-info';

const feature: usize = memory.data(SIZEOF_xen_feature_info, 4);
/** Room for a page that begins at a page's boundary, for the shared page. */
const sharedRoom: usize = memory.data(2 * 4096, 16);

let startInfoPage: usize = 0;
let memoryStart: usize = 0;

/** start_info: what the domain builder says, for whoever needs more of it. */
export function startInfo(): usize {
  return startInfoPage;
}

/** The first byte behind the image, the builder's pages and our own early ones. All memory from here up is the kernel's. */
export function freeMemoryStart(): usize {
  return memoryStart;
}

/**
 * Starts above Xen: `info` is what Xen's entry gave. Events are masked and stay so.
 */
export function startXen(info: usize): void {
  startInfoPage = info;
  startSharedInfo();
  installOperations();
  setPlatform(ON_XEN, true, WORD_BITS === 64 ? 3 : 1);
  if (WORD_BITS === 64) {
    setSelectors(FLAT_KERNEL_CS, FLAT_KERNEL_SS, FLAT_USER_CS, FLAT_USER_SS);
    reserveAddressRange(<u64>HYPERVISOR_VIRT_START, <u64>HYPERVISOR_VIRT_END);
  } else {
    setSelectors(NARROW_KERNEL_CS, NARROW_KERNEL_SS, NARROW_USER_CS, NARROW_USER_SS);
    reserveAddressRange(<u64>NARROW_VIRT_START, 0x100000000);
  }
  setupFeatures();
  // An exchange on a table that Xen watches is carried out (mmu-entries.ts) only for who asks for it.
  HYPERVISOR_vm_assist(VMASST_CMD_enable, VMASST_TYPE_writable_pagetables);

  const frames = <Pfn>load<Word>(info, start_info_nr_pages);
  setMaxPfn(frames);
  const entries = readMemoryMap();
  reserveBrk(p2mBrkPages(frames, memoryMapEnd(), entries + 1) * PAGE_SIZE);
  reserveBrk(tablePagesBytes(frames));
  const earlyEnd = openBrk(behindBuilderPages(info));
  buildPhysToMachine(<usize>load<Word>(info, start_info_mfn_list), frames);
  setupMachineToPhys();
  setupTablePages(frames);
  adoptTables(info);
  if (entries > 0) {
    const used = <Pfn>(physicalOf(imageStart()) >> PAGE_SHIFT);
    setIdentityFromMemoryMap(memoryMap(), entries, used, <Pfn>(physicalOf(earlyEnd) >> PAGE_SHIFT));
  }

  const shared = (sharedRoom + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
  const frame = <Mfn>(load<Word>(info, start_info_shared_info) >> PAGE_SHIFT);
  if (mapFrame(shared, frame) !== 0) unreachable();
  setSharedInfo(shared);
  startEvents();
  startCallbacks();
  startDescriptions(info);
  memoryStart = (closeBrk() + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

/** Reads all that Xen offers. */
function setupFeatures(): void {
  for (let submap: u32 = 0; submap < <u32>XENFEAT_NR_SUBMAPS; submap++) {
    store<u32>(feature, submap, xen_feature_info_submap_idx);
    if (HYPERVISOR_xen_version(XENVER_get_features, feature) !== 0) return;
    setFeatures(submap, load<u32>(feature, xen_feature_info_submap));
  }
}

/** The first byte behind what the domain builder placed: behind the tables comes a stack of one page, and then nothing. */
export function behindBuilderPages(info: usize): usize {
  const tables = <usize>load<Word>(info, start_info_pt_base);
  return tables + (<usize>load<Word>(info, start_info_nr_pt_frames) + 1) * PAGE_SIZE;
}
