/**
 * The P2M of a guest, drawn: the tree of three levels in which a PV kernel keeps the machine frame behind each of its own,
 * as it tells its toolstack of it.
 *
 * A kernel tells in one of two ways (Xen 4.17, public/arch-x86/xen.h, arch_shared_info). The older is a list of the frames
 * that list the frames of the tree's leaves. The newer is a linear list in the kernel's own address space, whose pages are
 * the leaves; what would be mid pages are its page tables then. Both share pages for what is missing, and for what is its
 * own machine frame, and it is that which a drawing shows. (Linux, arch/x86/xen/p2m.c, has the picture.)
 */

import { arch_shared_info, shared_info } from '../abi/xen/structures/index.ts';
import type { Domain } from '../hypervisor/domain.ts';
import type { Gva, MachineMemory, Mfn } from '../machine/memory.ts';
import { PAGE_SIZE } from '../machine/memory.ts';
import { XenDomain } from '../xen/domain.ts';
import { DomainMemory } from '../xen/mm/domain-memory.ts';
import { PAGE_PRESENT, PGT_l4_page_table } from '../xen/mm/page-info.ts';
import { guestL1eWord, NO_ENTRY } from '../xen/mm/walk.ts';
import type { SymbolTable } from './images/index.ts';

/** More runs of a leaf are not shown. */
const MOST_RUNS = 4;
const WORD_BYTES = 8;
const PER_PAGE = PAGE_SIZE / WORD_BYTES;
const TWO_32 = 2 ** 32;
const ALL_ONES = 0xffffffff;
const FOREIGN = 0x80000000;
const IDENTITY = 0x40000000;
/** Where the guest library of this project keeps the address of its shared identity leaf. */
const IDENTITY_SYMBOL = 'xen/p2m-tree/p2mIdentity';
const VIRTUAL_BASE = -0x80000000;

/** What one entry of a leaf says. */
export type EntryKind = 'mfn' | 'IDENTITY' | 'FOREIGN' | '~0';

/** A leaf: the page that has the entries of PER_PAGE frames. */
export interface P2mLeaf {
  readonly mfn: Mfn;
  /** Of a page that many places share, what it stands for. */
  readonly shared: 'p2m_missing' | 'p2m_identity' | undefined;
  /** Its entries, like ones together. */
  readonly runs: readonly { readonly kind: EntryKind; readonly count: number }[];
}

/** The leaves below an entry of the top level; undefined where none is mapped. */
type Leaves = readonly (P2mLeaf | undefined)[];

/** The tree: for each entry of the top level its leaves, or undefined where all of them are missing. */
export interface P2mTree {
  readonly frames: number;
  readonly told: 'frame lists' | 'a linear list';
  readonly mids: readonly (Leaves | undefined)[];
}

/** Reads the tree of a 64-bit domain; undefined if it tells nothing, or what it tells leads nowhere. */
export function readP2m(domain: XenDomain, symbols?: SymbolTable): P2mTree | undefined {
  const { memory } = domain.host;
  const at = domain.sharedInfo + shared_info.x64.offset.arch;
  const { max_pfn, pfn_to_mfn_frame_list_list, p2m_cr3, p2m_vaddr } = arch_shared_info.x64.offset;
  const frames = word(memory, at + max_pfn);
  const lists = word(memory, at + pfn_to_mfn_frame_list_list);
  const cr3 = word(memory, at + p2m_cr3);
  if (!(frames > 0 && frames < PER_PAGE ** 3)) return undefined;
  if (cr3 > 0 && cr3 < Number.POSITIVE_INFINITY) {
    const start = word(memory, at + p2m_vaddr, true);
    return readLinear(domain, frames, Math.floor(cr3 / PAGE_SIZE), start);
  }
  return lists > 0 && lists < memory.frames ? readLists(memory, frames, lists, symbols) : undefined;
}

/** The lines for a domain: a drawing, or why there is none. */
export function drawP2mOf(domain: Domain, symbols?: SymbolTable): string[] {
  if (!(domain instanceof XenDomain)) return ['a bare machine has no P2M'];
  if (domain.state === 'destroyed') return ['the guest is gone'];
  const tree = readP2m(domain, symbols);
  return tree === undefined ? ['the guest tells nobody of its P2M'] : drawP2m(tree);
}

/** A word as a number; all ones, like everything that a double cannot hold, is infinite. `signed`: an address. */
function word(memory: MachineMemory, at: number, signed = false): number {
  const high = memory.read32(at + 4) >>> 0;
  if (!signed && high >= 2 ** 21) return Number.POSITIVE_INFINITY;
  return (signed ? high | 0 : high) * TWO_32 + (memory.read32(at) >>> 0);
}

function wordsOf(memory: MachineMemory, mfn: Mfn): number[] {
  return Array.from({ length: PER_PAGE }, (_, i) => word(memory, mfn * PAGE_SIZE + i * WORD_BYTES));
}

function readLists(
  memory: MachineMemory,
  frames: number,
  lists: Mfn,
  symbols: SymbolTable | undefined,
): P2mTree | undefined {
  const top = wordsOf(memory, lists);
  if (top.some((mfn) => mfn >= memory.frames)) return undefined;
  // Nobody has 512 GiB: what the last entry leads to is what all missing ones share.
  const midMissing = top.at(-1)!;
  const missing = word(memory, midMissing * PAGE_SIZE);
  const found = top.map((mfn) => (mfn === midMissing ? undefined : wordsOf(memory, mfn)));
  const leafOf = (index: number): Mfn | undefined => found[Math.floor(index / PER_PAGE)]?.[index % PER_PAGE];
  const identity = identityLeaf(memory, leafOf, symbols);
  const shared = new Map<Mfn, P2mLeaf['shared']>([[missing, 'p2m_missing']]);
  if (identity !== undefined) shared.set(identity, 'p2m_identity');
  const leaf = leafReader(memory);
  const mids = found.map((leaves) => leaves?.map((mfn) => ({ ...leaf(mfn), shared: shared.get(mfn) })));
  return { frames, told: 'frame lists', mids };
}

/**
 * The frame of the shared identity leaf, which holds nothing but ~0 like the missing one: only the guest knows which is
 * which, and says so in a variable that has a symbol.
 */
function identityLeaf(
  memory: MachineMemory,
  leafOf: (index: number) => Mfn | undefined,
  symbols: SymbolTable | undefined,
): Mfn | undefined {
  const frameOf = (address: Gva): number => {
    const pfn = Math.floor((address - VIRTUAL_BASE) / PAGE_SIZE);
    const leaf = leafOf(Math.floor(pfn / PER_PAGE));
    return leaf === undefined ? Number.NaN : word(memory, leaf * PAGE_SIZE + (pfn % PER_PAGE) * WORD_BYTES);
  };
  const variable = symbols?.addressOf(IDENTITY_SYMBOL);
  if (variable === undefined) return undefined;
  const frame = frameOf(variable);
  if (!(frame < memory.frames)) return undefined;
  const pointer = memory.read32(frame * PAGE_SIZE + ((variable - VIRTUAL_BASE) % PAGE_SIZE)) | 0;
  const leaf = frameOf(pointer);
  return leaf < memory.frames ? leaf : undefined;
}

function readLinear(domain: XenDomain, frames: number, root: Mfn, start: Gva): P2mTree | undefined {
  const { memory } = domain.host;
  if (root >= memory.frames || !(domain.mm instanceof DomainMemory)) return undefined;
  // The guest could name any frame; only a validated root can be walked.
  if (domain.mm.pageType(root) !== PGT_l4_page_table) return undefined;
  const { table } = domain.mm;
  const leaves: (Mfn | undefined)[] = [];
  for (let i = 0; i < Math.ceil(frames / PER_PAGE); i++) {
    const entry = guestL1eWord(table, root, start + i * PAGE_SIZE);
    // Room for an entry is not an entry.
    if (entry === NO_ENTRY || (table.words[entry]! & PAGE_PRESENT) === 0) leaves.push(undefined);
    else
      leaves.push(((table.words[entry + 1]! & 0xfffff) * TWO_32 + (table.words[entry]! >>> 0)) / PAGE_SIZE);
  }
  const uses = new Map<Mfn, number>();
  for (const leaf of leaves)
    if (leaf !== undefined) uses.set(Math.floor(leaf), (uses.get(Math.floor(leaf)) ?? 0) + 1);
  const mids: (P2mLeaf[] | undefined)[] = [];
  const leaf = leafReader(memory);
  for (const [i, frame] of leaves.entries()) {
    if (frame === undefined || Math.floor(frame) >= memory.frames) continue;
    const mfn = Math.floor(frame);
    const read = leaf(mfn);
    const kind = read.runs[0]!.kind;
    const isShared = uses.get(mfn)! > 1 && (kind === '~0' || kind === 'IDENTITY');
    const shared = isShared ? (kind === '~0' ? 'p2m_missing' : 'p2m_identity') : undefined;
    (mids[Math.floor(i / PER_PAGE)] ??= [])[i % PER_PAGE] = { ...read, shared };
  }
  return { frames, told: 'a linear list', mids: Array.from(mids) };
}

/** Reads leaves, each frame once: a guest may name the same one as often as it likes. */
function leafReader(memory: MachineMemory): (mfn: Mfn) => Pick<P2mLeaf, 'mfn' | 'runs'> {
  const known = new Map<Mfn, P2mLeaf['runs']>();
  return (mfn) => {
    let runs = known.get(mfn);
    if (runs === undefined) {
      runs = mfn < memory.frames ? runsOf(memory, mfn) : [];
      known.set(mfn, runs);
    }
    return { mfn, runs };
  };
}

function runsOf(memory: MachineMemory, mfn: Mfn): P2mLeaf['runs'] {
  const runs: { kind: EntryKind; count: number }[] = [];
  for (let i = 0; i < PER_PAGE; i++) {
    const at = mfn * PAGE_SIZE + i * WORD_BYTES;
    const kind = kindOf(memory.read32(at) >>> 0, memory.read32(at + 4) >>> 0);
    const last = runs.at(-1);
    if (last?.kind === kind) last.count++;
    else runs.push({ kind, count: 1 });
  }
  return runs;
}

function kindOf(low: number, high: number): EntryKind {
  if (low === ALL_ONES && high === ALL_ONES) return '~0';
  if ((high & FOREIGN) !== 0) return 'FOREIGN';
  return (high & IDENTITY) !== 0 ? 'IDENTITY' : 'mfn';
}

/** The tree as lines of text, equal neighbours on one line. */
export function drawP2m(tree: P2mTree): string[] {
  const lines = [
    `${tree.frames} frames, ${PER_PAGE} to a leaf, told by ${tree.told}`,
    '',
    '     p2m              mid                 leaf',
    '  /-------\\',
  ];
  for (const { from, to, value } of together(tree.mids, (leaves) =>
    leaves === undefined ? 'missing' : '',
  )) {
    const label = `  | ${range(from, to, 5)} |`;
    if (value === undefined) lines.push(`${label}----> p2m_mid_missing`);
    else lines.push(...drawMid(label, value, from * PER_PAGE));
  }
  lines.push('  \\-------/');
  return lines;
}

function drawMid(label: string, leaves: Leaves, firstLeaf: number): string[] {
  const beside = '  |       |     ';
  const rows = together(leaves, leafText).map(({ from, to, value }, i) => {
    const first = (firstLeaf + from) * PER_PAGE;
    const last = (firstLeaf + to + 1) * PER_PAGE - 1;
    const what = leafText(value).padEnd(28);
    return `${i === 0 ? `${label}---->` : beside}| ${range(from, to, 9)} |---> ${what} pfn ${hex(first)}..${hex(last)}`;
  });
  return [`${beside}/-----------\\`, ...rows, `${beside}\\-----------/`];
}

function leafText(leaf: P2mLeaf | undefined): string {
  return leaf === undefined ? 'not mapped' : (leaf.shared ?? runsText(leaf.runs));
}

function runsText(runs: P2mLeaf['runs']): string {
  if (runs.length === 0) return 'no frame of this machine';
  const text = runs.slice(0, MOST_RUNS).map(({ kind, count }) => `${count} ${kind}`);
  return [...text, ...(runs.length > MOST_RUNS ? ['…'] : [])].join(', ');
}

/** Neighbours for which `name` gives the same; an empty name is nobody's equal. */
function together<T>(
  values: readonly T[],
  name: (value: T) => string,
): { from: number; to: number; value: T }[] {
  const groups: { from: number; to: number; value: T }[] = [];
  for (const [i, value] of values.entries()) {
    const last = groups.at(-1);
    if (last !== undefined && name(value) !== '' && name(last.value) === name(value)) last.to = i;
    else groups.push({ from: i, to: i, value });
  }
  return groups;
}

function range(from: number, to: number, width: number): string {
  return (from === to ? `${from}` : width < 9 ? `${from}-${to}` : `${from}..${to}`).padStart(width);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
