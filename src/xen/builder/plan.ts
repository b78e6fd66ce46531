/**
 * Where everything goes in a new domain's memory, decided before a byte is written.
 *
 * Pseudo-physical frames are given out from 0 upwards, and the first part of them is mapped from VIRT_BASE upwards:
 *
 *     VIRT_BASE                                                                            end: a multiple of 4 MiB
 *     | … | kernel | initrd¹ | P2M² | start_info | xenstore | console | page tables | stack | padding ≥ 512 KiB |
 *                                                                        and beyond, unmapped: | initrd¹ | P2M² |
 *
 *     ¹ before the rest, or unmapped and given by frame number, if the kernel has the note MOD_START_PFN
 *     ² in the mapping, or beyond it and mapped at INIT_P2M with tables of its own, if the kernel has that note
 *
 * (Xen 4.17, tools/libs/guest/xg_dom_core.c: xc_dom_build_image; xg_dom_x86.c: alloc_pgtables_pv.)
 */
import type { Gva, Pfn } from '../../machine/memory.ts';
import { PAGE_SIZE } from '../../machine/memory.ts';
import { DomainBuildError, TooLittleMemoryError } from './errors.ts';
import { type Mapping, type PagingShape, planMapping } from './mappings.ts';

export interface PlanRequest {
  readonly shape: PagingShape;
  /** Bytes of a P2M entry: a machine word. */
  readonly wordBytes: number;
  /** Pages of 4 KiB that the domain gets. */
  readonly pages: number;
  readonly virtBase: Gva;
  /** The kernel's first byte, and the one past its last. */
  readonly kernelStart: Gva;
  readonly kernelEnd: Gva;
  /** The note INIT_P2M. */
  readonly initP2m?: Gva | undefined;
  /** The note MOD_START_PFN. */
  readonly modStartPfn: boolean;
  /** 0: there is none. */
  readonly initrdBytes: number;
}

/** A run of frames with one purpose. */
export interface Segment {
  readonly pfn: Pfn;
  readonly pages: number;
  /** Its address in the initial mapping; meaningless for what lies beyond it. */
  readonly virtual: Gva;
}

export interface DomainPlan {
  readonly kernel: Segment;
  readonly initrd: Segment | undefined;
  /** The initrd is given by frame number (SIF_MOD_START_PFN). */
  readonly initrdUnmapped: boolean;
  readonly p2m: Segment;
  /** Where the guest finds the P2M list. */
  readonly p2mVirtual: Gva;
  /** The P2M stands at INIT_P2M; the segment then includes its page tables. */
  readonly p2mAtNote: boolean;
  readonly startInfo: Segment;
  readonly xenstore: Segment;
  readonly console: Segment;
  readonly pageTables: Segment;
  readonly stack: Segment;
  /** The initial mapping, and the P2M's if it has one of its own. */
  readonly mappings: readonly Mapping[];
  /** One past the last address of the initial mapping. */
  readonly mappedEnd: Gva;
  /** Frames that have a purpose; the rest is free memory. */
  readonly usedPages: number;
}

const SLACK_PAGES = (512 * 1024) / PAGE_SIZE;
const STACK_PAGES = 1;
const END_ALIGNMENT = 4 * 1024 * 1024;

/** Gives frames out in order, and addresses along with them. */
class Allotment {
  pfn: Pfn = 0;
  private readonly request: PlanRequest;

  constructor(request: PlanRequest) {
    this.request = request;
  }
  get virtual(): Gva {
    return this.request.virtBase + this.pfn * PAGE_SIZE;
  }
  take(what: string, bytes: number): Segment {
    const { pfn, virtual } = this;
    const pages = Math.ceil(bytes / PAGE_SIZE);
    const left = this.request.pages - pfn;
    if (pages > left)
      throw new TooLittleMemoryError(`${what} needs ${pages} pages, but only ${left} are left`);
    this.pfn += pages;
    return { pfn, pages, virtual };
  }
  padTo(virtual: Gva, what: string): void {
    this.take(what, virtual - this.virtual);
  }
}

/** Plans a domain. Raises TooLittleMemoryError, or DomainBuildError if the kernel's wishes contradict each other. */
export function planDomain(request: PlanRequest): DomainPlan {
  const { virtBase, kernelStart, kernelEnd, modStartPfn, initrdBytes, pages, wordBytes } = request;
  if (virtBase % PAGE_SIZE !== 0 || kernelStart % PAGE_SIZE !== 0 || kernelStart < virtBase) {
    throw new DomainBuildError('expected the kernel to begin at a page boundary at or above its VIRT_BASE');
  }
  const frames = new Allotment(request);
  frames.padTo(kernelStart, 'the space before the kernel');
  const kernel = frames.take('the kernel', kernelEnd - kernelStart);
  let initrd: Segment | undefined;
  if (initrdBytes > 0 && !modStartPfn) initrd = frames.take('the initrd', initrdBytes);

  const p2mBytes = pages * wordBytes;
  const p2mAtNote = usableInitP2m(request);
  let p2m = p2mAtNote ? undefined : frames.take('the P2M list', p2mBytes);

  const startInfo = frames.take('start_info', PAGE_SIZE);
  const xenstore = frames.take('the xenstore page', PAGE_SIZE);
  const console = frames.take('the console page', PAGE_SIZE);

  const first = planFirstMapping(request, frames);
  const mappings = [first];
  const pageTables = frames.take('the page tables', first.tables * PAGE_SIZE);
  const stack = frames.take('the stack', STACK_PAGES * PAGE_SIZE);
  const mappedPages = Math.floor((first.to - first.from) / PAGE_SIZE) + 1;
  const mappedEnd = virtBase + mappedPages * PAGE_SIZE;
  frames.padTo(mappedEnd, 'the space after the page tables');

  if (initrdBytes > 0 && modStartPfn) initrd = frames.take('the initrd', initrdBytes);
  let p2mVirtual = p2m?.virtual ?? 0;
  if (p2m === undefined) {
    p2mVirtual = request.initP2m!;
    const listPages = Math.ceil(p2mBytes / PAGE_SIZE);
    const end = p2mVirtual + listPages * PAGE_SIZE - 1;
    const { pfn } = frames;
    const second = planMapping(request.shape, mappings, p2mVirtual, end, pfn, pfn + listPages, pages);
    mappings.push(second);
    p2m = frames.take('the P2M list', (listPages + second.tables) * PAGE_SIZE);
  }
  return {
    kernel,
    initrd,
    initrdUnmapped: initrd !== undefined && modStartPfn,
    p2m,
    p2mVirtual,
    p2mAtNote,
    startInfo,
    xenstore,
    console,
    pageTables,
    stack,
    mappings,
    mappedEnd,
    usedPages: frames.pfn,
  };
}

/** INIT_P2M counts only on a page boundary below the kernel, and only for a 64-bit one. */
function usableInitP2m({ initP2m, virtBase, wordBytes }: PlanRequest): boolean {
  if (initP2m === undefined || wordBytes !== 8 || initP2m % PAGE_SIZE !== 0) return false;
  // As unsigned numbers: the negative half lies above the other.
  return initP2m < 0 === virtBase < 0 ? initP2m < virtBase : initP2m >= 0;
}

/** The mapping must hold its own tables, the stack and the slack: enlarge it until it does. */
function planFirstMapping(request: PlanRequest, frames: Allotment): Mapping {
  const { shape, virtBase, pages } = request;
  const extra = STACK_PAGES + SLACK_PAGES;
  for (let needed = extra; ; ) {
    const end = frames.virtual + needed * PAGE_SIZE;
    const last = Math.floor(end / END_ALIGNMENT) * END_ALIGNMENT + END_ALIGNMENT - 1;
    const mapping = planMapping(shape, [], virtBase, last, 0, frames.pfn, pages);
    needed = mapping.tables + extra;
    if (frames.virtual + needed * PAGE_SIZE <= last + 1) return mapping;
  }
}

/** The least memory, in MiB, that a plan fits into; undefined if none below `limitMib` does. */
export function leastMebibytes(request: PlanRequest, limitMib = 1 << 20): number | undefined {
  const fits = (mib: number): boolean => {
    try {
      planDomain({ ...request, pages: mib * 256 });
      return true;
    } catch (error) {
      // Too much does not fit either, where the list of frames outgrows the addresses above the kernel.
      if (error instanceof DomainBuildError) return false;
      throw error;
    }
  };
  let high = 1;
  while (!fits(high)) {
    if (high >= limitMib) return undefined;
    high = Math.min(high * 2, limitMib);
  }
  let low = Math.floor(high / 2);
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) high = middle;
    else low = middle;
  }
  return high;
}
