/**
 * What a kernel can state about itself to Xen, as notes.ts and guest-info.ts collect it. Follows
 * xen/elfnote.h, xen/features.h, and the parsing in Xen 4.17, xen/common/libelf/libelf-dominfo.c.
 */

import * as features from '../../abi/xen/numbers/features.ts';
import type { Gva } from '../../machine/memory.ts';
import { quoted } from '../quoted.ts';
import type { ImageReader } from './reader.ts';

/**
 * How a 32-bit kernel uses PAE: not at all; with its top table below 4 GiB; anywhere; or as the host likes.
 */
export type PaeMode = 'no' | 'yes' | 'extended-cr3' | 'bimodal';

/**
 * A bit mask and value that tell a non-present L1 entry which holds a machine frame; 64 bits in two halves.
 */
export interface L1MfnValid {
  readonly maskLow: number;
  readonly maskHigh: number;
  readonly valueLow: number;
  readonly valueHigh: number;
}

/**
 * What the notes or the string state, nothing added. Names follow xen/elfnote.h; `undefined` is "not stated".
 */
export interface XenStatements {
  entry: Gva | undefined;
  hypercallPage: Gva | undefined;
  virtBase: Gva | undefined;
  /** What to subtract from an ELF physical address to get the pseudo-physical one. */
  paddrOffset: number | undefined;
  /** Where the kernel wants the list of its frames mapped; without it, after the kernel. */
  initP2m: Gva | undefined;
  /** The lowest address at which the kernel can bear the hypervisor's hole to begin. */
  hvStartLow: Gva | undefined;
  /** The entry point for PVH, which is not ours. */
  phys32Entry: number | undefined;
  /** May the initrd stay unmapped, given to the kernel by frame number? */
  modStartPfn: boolean;
  suspendCancel: boolean;
  /** Does the kernel want its own symbol table loaded behind it? */
  bsdSymtab: boolean;
  pae: PaeMode;
  /** Strings; empty where not stated. */
  guestOs: string;
  guestVersion: string;
  xenVersion: string;
  loader: string;
  /** INFO notes, `NAME=VALUE` each. */
  info: string[];
  /** Bit sets of XENFEAT_ numbers (xen/features.h), submap 0. `required` is a subset of `supported`. */
  supportedFeatures: number;
  requiredFeatures: number;
  l1MfnValid: L1MfnValid[];
}

/** A fresh set with nothing stated. */
export function noStatements(): XenStatements {
  return {
    entry: undefined,
    hypercallPage: undefined,
    virtBase: undefined,
    paddrOffset: undefined,
    initP2m: undefined,
    hvStartLow: undefined,
    phys32Entry: undefined,
    modStartPfn: false,
    suspendCancel: false,
    bsdSymtab: false,
    pae: 'no',
    guestOs: '',
    guestVersion: '',
    xenVersion: '',
    loader: '',
    info: [],
    supportedFeatures: 0,
    requiredFeatures: 0,
    l1MfnValid: [],
  };
}

/** XENFEAT_ numbers by the names that a FEATURES string may use. Others do not count, as in Xen. */
const featureBits: ReadonlyMap<string, number> = new Map([
  ['writable_page_tables', features.XENFEAT_writable_page_tables],
  ['writable_descriptor_tables', features.XENFEAT_writable_descriptor_tables],
  ['auto_translated_physmap', features.XENFEAT_auto_translated_physmap],
  ['supervisor_mode_kernel', features.XENFEAT_supervisor_mode_kernel],
  ['pae_pgdir_above_4gb', features.XENFEAT_pae_pgdir_above_4gb],
  ['hvm_callback_vector', features.XENFEAT_hvm_callback_vector],
  ['dom0', features.XENFEAT_dom0],
]);

/**
 * Adds a FEATURES string: names joined by `|`, with `!` before those that the kernel cannot do without.
 * Unknown names are passed over, unless required: then Xen refuses the image, and so do we.
 */
export function addFeatures(to: XenStatements, text: string, reader: ImageReader): void {
  for (const feature of text.split('|')) {
    const required = feature.startsWith('!');
    const name = required ? feature.slice(1) : feature;
    const bit = featureBits.get(name);
    if (bit !== undefined) {
      to.supportedFeatures = (to.supportedFeatures | (1 << bit)) >>> 0;
      if (required) to.requiredFeatures = (to.requiredFeatures | (1 << bit)) >>> 0;
    } else if (required) {
      throw reader.error(`requires the feature ${quoted(name)}, which Xen does not know`);
    }
  }
}
