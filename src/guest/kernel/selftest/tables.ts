/** mmu: entries, batches, address spaces, and what a switch of tasks costs. */
import { load64, native, probeStore64, store64 } from '../../machine/memory';
import { AddressSpace, SIZEOF_AddressSpace } from '../../paravirt/address-space';
import { hypervisorEnd, hypervisorStart, isReserved, ON_XEN, platform } from '../../paravirt/info';
import {
  activateSpace,
  allocPmd,
  allocPte,
  allocPud,
  commitProtectionChange,
  duplicatedSpace,
  endContextSwitch,
  enterLazyMmu,
  exitSpace,
  flushLazyMmu,
  flushTlbKernel,
  flushTlbOthers,
  flushTlbSingle,
  flushTlbUser,
  getAndClearPte,
  leaveLazyMmu,
  loadSp0,
  loadTls,
  makePte,
  pagetableSetupDone,
  pagetableSetupStart,
  pgdAlloc,
  pgdFree,
  pteVal,
  readCr0,
  readCr3,
  releasePmd,
  releasePte,
  releasePud,
  setFixmap,
  setPgd,
  setPmd,
  setPte,
  setPteAt,
  setPud,
  startContextSwitch,
  startProtectionChange,
  writeCr0,
  writeCr3,
  writeFsBase,
} from '../../paravirt/operations';
import { findEntry, mark, physicalOf, takePage } from './memory';
import { check, checkEqual } from './output';

const FLAGS: u64 = 0x63;
const USER: u64 = 4;
const WRITE: u64 = 2;
/** An address of the kernel's half that nobody uses, in a 2 MiB of its own. */
const PLACE: u64 = 0xffffffffb0000000;
export const USER_PLACE: u64 = 0x400000;
const FRAME: u64 = 0x000ffffffffff000;
const ALL: u64 = ~(<u64>0);

/** A table of level 1 that Xen watches. */
export let table: usize = 0;

function entryFor(page: usize, flags: u64): u64 {
  return makePte(physicalOf(page) | flags);
}

let root: usize = 0;

/**
 * Whether a page of ours is mapped as a table has to be: above Xen read-only. (A write would not tell: to a table Xen may
 * carry it out for us.)
 */
function isMappedAs(page: usize, table: bool): bool {
  if (platform !== ON_XEN) return true;
  return ((load<u64>(findEntry(root, native(page), 1)) & WRITE) === 0) === table;
}

/** Above Xen the tables are mapped read-only, and setting up the rest of memory must not change that. */
function testReadOnlyStays(): void {
  const own = findEntry(root, native(root), 1);
  setPte(own, load<u64>(own) | WRITE);
  checkEqual('a read-only page is not remapped as writable', load<u64>(own) & WRITE, 0);
  const at = findEntry(root, native(takePage()), 1);
  const writable = load<u64>(at);
  setPte(at, writable & ~WRITE);
  checkEqual('but other changes are made', load<u64>(at) & WRITE, 0);
  pagetableSetupDone();
  setPte(at, writable);
  checkEqual('and afterwards a page may become writable', load<u64>(at) & WRITE, WRITE);
}

/** A table of level 1 for PLACE in the kernel's own tables. */
export function testAdoptedTables(): void {
  // CR0.WP: what is read-only is so for the kernel too. Above Xen it is set, and not ours to change.
  writeCr0(readCr0() | 0x10000);
  root = pagetableSetupStart();
  checkEqual('pagetable_setup_start gives the root', physicalOf(root), readCr3());
  if (platform === ON_XEN) testReadOnlyStays();
  pagetableSetupDone();

  // The 2 MiB of PLACE may lack any of the tables.
  const pud = findEntry(root, PLACE, 3);
  if ((load<u64>(pud) & 1) === 0) {
    const page = takePage();
    allocPmd(0, page);
    setPud(pud, entryFor(page, FLAGS));
  }
  table = takePage();
  allocPte(0, table);
  check('alloc_pte: a table is mapped as one', isMappedAs(table, true));
  setPmd(findEntry(root, PLACE, 2), entryFor(table, FLAGS));
  const page = takePage();
  setPte(table, entryFor(page, FLAGS));
  store64(PLACE, 0x1122334455667788);
  checkEqual('set_pmd, set_pte: a mapping works', load<u64>(page), 0x1122334455667788);
  checkEqual('pte_val', pteVal(load<u64>(table)) & FRAME, physicalOf(page));
  const old = startProtectionChange(0, PLACE, table);
  commitProtectionChange(0, PLACE, table, old & ~WRITE);
  flushTlbSingle(PLACE);
  check('ptep_modify_prot: not writable any more', probeStore64(PLACE, 1) === 1);
  setPteAt(0, PLACE, table, old);
  flushTlbSingle(PLACE);
  check('set_pte_at: writable again', probeStore64(PLACE, 1) === 0);
  checkEqual(
    'ptep_get_and_clear gives the entry',
    getAndClearPte(table) & 0x000ffffffffff007,
    old & 0x000ffffffffff007,
  );
  flushTlbKernel();
  check('and takes it', probeStore64(PLACE, 1) === 1);
  setFixmap(<usize>PLACE, physicalOf(page), FLAGS);
  store64(PLACE + 8, 99);
  checkEqual('set_fixmap', load<u64>(page, 8), 99);
  flushTlbUser();
  flushTlbOthers(0, PLACE);
  flushTlbOthers(0, ALL);

  check(
    'the hypervisor has its addresses, if there is one',
    platform === ON_XEN ? isReserved(hypervisorStart) : hypervisorEnd === hypervisorStart,
  );
}

/** Marks 1 to 4: 64 updates without and with the lazy mode; 5 and 6: with a flush in the middle. */
export function testBatches(): void {
  const page = takePage();
  const value = entryFor(page, FLAGS);
  mark(1);
  for (let i: usize = 0; i < 64; i++) setPte(table + (64 + i) * 8, value);
  mark(2);
  mark(3);
  enterLazyMmu();
  for (let i: usize = 0; i < 64; i++) setPte(table + (128 + i) * 8, value);
  leaveLazyMmu();
  mark(4);
  let right = true;
  for (let i: usize = 64; i < 192; i++) {
    if ((load<u64>(table + i * 8) & FRAME) !== (value & FRAME)) right = false;
  }
  check('128 entries are as they were set', right);
  mark(5);
  enterLazyMmu();
  for (let i: usize = 0; i < 100; i++) {
    setPte(table + (200 + i) * 8, value);
    if (i === 9) {
      flushLazyMmu();
      check('a flush makes what was kept back', load<u64>(table + 209 * 8) !== 0);
    }
    if (i === 10 && platform === ON_XEN)
      check('what comes after it is kept back', load<u64>(table + 210 * 8) === 0);
  }
  leaveLazyMmu();
  mark(6);
  enterLazyMmu();
  for (let i: usize = 64; i < 300; i++) setPte(table + i * 8, 0);
  flushTlbKernel();
  leaveLazyMmu();
}

let lastTable: usize = 0;

/** A space with one page of its own at USER_PLACE, in which `content` stands. Returns the page. */
export function makeSpace(space: usize, content: u64): usize {
  const spaceRoot = takePage();
  checkEqual('pgd_alloc', pgdAlloc(space, spaceRoot), 0);
  const pud = takePage();
  const pmd = takePage();
  const pte = takePage();
  const data = takePage();
  store<u64>(data, content);
  allocPte(space, pte);
  allocPmd(space, pmd);
  allocPud(space, pud);
  setPte(pte + 0 * 8, entryFor(data, FLAGS | USER));
  setPmd(pmd + 2 * 8, entryFor(pte, FLAGS | USER));
  setPud(pud, entryFor(pmd, FLAGS | USER));
  setPgd(space, spaceRoot, entryFor(pud, FLAGS | USER));
  lastTable = pte;
  return data;
}

const spaces: usize = memory.data(64, 8);
const tls: usize = memory.data(24, 8);

export function testSpaces(): void {
  const first = spaces;
  const second = spaces + ((SIZEOF_AddressSpace + 7) & ~7);
  makeSpace(first, 111);
  const firstTable = lastTable;
  makeSpace(second, 222);
  activateSpace(first);
  check('activate_mm: its tables are watched', isMappedAs(firstTable, true));
  duplicatedSpace(second);
  writeCr3(first);
  checkEqual('read_cr3', readCr3(), physicalOf(changetype<AddressSpace>(first).root));
  checkEqual('write_cr3: the first space', load64(USER_PLACE), 111);
  writeCr3(second);
  checkEqual('write_cr3: the second', load64(USER_PLACE), 222);
  store64(USER_PLACE, 223);
  writeCr3(first);
  checkEqual('they do not see each other', load64(USER_PLACE), 111);

  // A page more, through Xen now.
  const page = takePage();
  store<u64>(page, 333);
  setPteAt(first, USER_PLACE + 0x1000, firstTable + 8, entryFor(page, FLAGS | USER));
  checkEqual('set_pte_at in the space that is loaded', load64(USER_PLACE + 0x1000), 333);
  const pud = findEntry(changetype<AddressSpace>(first).root, USER_PLACE, 3);
  const pmd = takePage();
  allocPmd(first, pmd);
  setPud(pud + 8, entryFor(pmd, FLAGS | USER));
  const pte = takePage();
  allocPte(first, pte);
  setPmd(pmd, entryFor(pte, FLAGS | USER));
  setPte(pte, entryFor(page, FLAGS | USER));
  checkEqual('a table more', load64(0x40000000), 333);
  setPmd(pmd, 0);
  releasePte(pte);
  check('release_pte: it is a page like others', isMappedAs(pte, false));
  setPud(pud + 8, 0);
  releasePmd(pmd);
  check('release_pmd', isMappedAs(pmd, false));
  const upper = takePage();
  allocPud(first, upper);
  setPgd(first, changetype<AddressSpace>(first).root + 8, entryFor(upper, FLAGS | USER));
  setPgd(first, changetype<AddressSpace>(first).root + 8, 0);
  releasePud(upper);
  check('release_pud', isMappedAs(upper, false));

  testSwitch(first, second);

  exitSpace(first);
  check('exit_mmap: its tables are pages again', isMappedAs(firstTable, false));
  exitSpace(second);
  checkEqual('and the kernel has its own tables', readCr3(), physicalOf(root));
  pgdFree(first);
  pgdFree(second);
  checkEqual('pgd_free', changetype<AddressSpace>(first).root, 0);
}

/** Marks 7 and 8: a whole switch of tasks. 9 and 10: the same without batching. */
function testSwitch(from: usize, to: usize): void {
  writeCr3(from);
  writeCr0(readCr0() | 8);
  store<u64>(tls, 0x00cf92000000ffff);
  store<u64>(tls, 0x00cf92000000ffff, 8);
  mark(7);
  startContextSwitch();
  loadSp0(takePage() + 4096);
  loadTls(tls);
  writeCr3(to);
  writeFsBase(0x1000);
  writeCr0(readCr0() & ~(<u64>8));
  endContextSwitch();
  mark(8);
  checkEqual('after a switch the other space is loaded', load64(USER_PLACE), 223);
  memory.fill(tls, 0, 24);
  mark(9);
  loadSp0(takePage() + 4096);
  loadTls(tls);
  writeCr3(from);
  writeFsBase(0);
  writeCr0(readCr0() | 8);
  mark(10);
  writeCr0(readCr0() & ~(<u64>8));
}
