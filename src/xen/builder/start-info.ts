/**
 * The two pages that tell a new domain about itself: start_info, which its first stack register's neighbour RSI points
 * to, and shared_info. (Xen 4.17, tools/libs/guest/xg_dom_x86.c: start_info_x86_64, shared_info_x86_64.)
 */
import {
  MAX_GUEST_CMDLINE,
  SIF_MOD_START_PFN,
  SIF_VIRT_P2M_4TOOLS,
  XEN_LEGACY_MAX_VCPUS,
} from '../../abi/xen/numbers/domain.ts';
import { shared_info, vcpu_info } from '../../abi/xen/structures/shared-info.ts';
import { start_info } from '../../abi/xen/structures/start-info.ts';
import { memoryOf, StructureView } from '../../abi/xen/view.ts';
import type { MachineMemory, Maddr, Mfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { DomainBuildError } from './errors.ts';
import type { DomainPlan } from './plan.ts';

/** What a 64-bit domain is called. */
const MAGIC_X86_64 = 'xen-3.0-x86_64';

/** A ring page and the guest's port that goes with it. */
export interface Ring {
  readonly mfn: Mfn;
  readonly port: number;
}

export interface StartInfo {
  readonly plan: DomainPlan;
  /** Pages of the domain. */
  readonly pages: number;
  readonly sharedInfo: Maddr;
  readonly xenstore: Ring;
  readonly console: Ring;
  /** Bytes of the initrd; 0: none. */
  readonly initrdBytes: number;
  readonly commandLine: string;
}

/** The command line as bytes. Raises DomainBuildError if it does not fit with its NUL. */
export function encodeCommandLine(commandLine: string): Uint8Array {
  const bytes = new TextEncoder().encode(commandLine);
  if (bytes.length >= MAX_GUEST_CMDLINE) {
    throw new DomainBuildError(
      `the kernel's command line has ${bytes.length} bytes, but at most ${MAX_GUEST_CMDLINE - 1} fit`,
    );
  }
  if (bytes.includes(0)) throw new DomainBuildError("the kernel's command line contains a NUL character");
  return bytes;
}

/** Fills the start_info page of a 64-bit domain. */
export function writeStartInfo(memory: MachineMemory, mfn: Mfn, info: StartInfo): void {
  const { plan } = info;
  const page = new Uint8Array(PAGE_SIZE);
  const fields = new StructureView(start_info.x64, memoryOf(new DataView(page.buffer)), 0);
  page.set(new TextEncoder().encode(MAGIC_X86_64), fields.address('magic'));
  fields.set('nr_pages', info.pages);
  fields.set('shared_info', info.sharedInfo);
  fields.set('flags', SIF_VIRT_P2M_4TOOLS | (plan.initrdUnmapped ? SIF_MOD_START_PFN : 0));
  fields.set('store_mfn', info.xenstore.mfn);
  fields.set('store_evtchn', info.xenstore.port);
  fields.set('console_domU_mfn', info.console.mfn);
  fields.set('console_domU_evtchn', info.console.port);
  fields.set('pt_base', plan.pageTables.virtual);
  // Those of the initial mapping: the P2M's own come with the P2M.
  fields.set('nr_pt_frames', plan.mappings[0]!.tables);
  fields.set('mfn_list', plan.p2mVirtual);
  if (plan.p2mAtNote) {
    fields.set('first_p2m_pfn', plan.p2m.pfn);
    fields.set('nr_p2m_frames', plan.p2m.pages);
  }
  if (plan.initrd !== undefined) {
    fields.set('mod_start', plan.initrdUnmapped ? plan.initrd.pfn : plan.initrd.virtual);
    // Unmapped, it is given in whole pages.
    fields.set('mod_len', plan.initrdUnmapped ? plan.initrd.pages * PAGE_SIZE : info.initrdBytes);
  }
  page.set(encodeCommandLine(info.commandLine), fields.address('cmd_line'));
  memory.writeBytes(mfn * PAGE_SIZE, page);
}

/** Clears shared_info; every vCPU starts with upcalls masked. */
export function initSharedInfo(memory: MachineMemory, sharedInfo: Maddr): void {
  memory.fill(sharedInfo, 0, PAGE_SIZE);
  const { offset } = vcpu_info.x64;
  for (let id = 0; id < XEN_LEGACY_MAX_VCPUS; id++) {
    memory.write8(vcpuInfoSlot(sharedInfo, id) + offset.evtchn_upcall_mask, 1);
  }
}

/** Where a vCPU's vcpu_info is at first; 0 for those that shared_info has no room for. */
export function vcpuInfoSlot(sharedInfo: Maddr, id: number): Maddr {
  return id < XEN_LEGACY_MAX_VCPUS
    ? sharedInfo + shared_info.x64.offset.vcpu_info + id * vcpu_info.x64.size
    : 0;
}
