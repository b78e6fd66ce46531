/** What only a Xen guest has: the P2M and M2P, the balloon, grants, xenstore. */
import { native, probeStore64 } from '../../machine/memory';
import { ON_XEN, paravirtEnabled, platform } from '../../paravirt/info';
import {
  enterLazyMmu,
  flushTlbKernel,
  flushTlbSingle,
  leaveLazyMmu,
  makePte,
  memorySetup,
  setPte,
} from '../../paravirt/operations';
import { currentFrames, giveFrame, takeFrame } from '../../xen/balloon';
import { endAccess, grantAccess, NO_GRANT, setupGrants } from '../../xen/grants';
import { onRefusedCall } from '../../xen/multicall';
import { getPhysToMachine, INVALID_P2M_ENTRY } from '../../xen/p2m-tree';
import {
  maxPfn,
  mfnToLocalPfn,
  mfnToPfn,
  pfnToMfn,
  physicalOf,
  virtToMachine,
  virtToMfn,
} from '../../xen/page';
import {
  arbitraryVirtToMachine,
  lookupAddress,
  makeLowmemPageReadonly,
  makeLowmemPageReadwrite,
} from '../../xen/page-walk';
import { PAGE_SHIFT, Pfn } from '../../xen/types';
import { hasXenstore, xenstoreRead, xenstoreRemove, xenstoreWrite } from '../../xen/xenstore';
import { takePage } from './memory';
import { check, checkEqual } from './output';
import { table } from './tables';

const map: usize = memory.data(20 * 32, 8);

export function testInfo(): void {
  check('info', (platform === ON_XEN) === paravirtEnabled);
  const entries = memorySetup(map, 32);
  check('memory_setup', entries >= 1 && load<u32>(map, 16) === 1);
}

function testProtection(): void {
  const page = takePage();
  const at = lookupAddress(native(page));
  const machine = arbitraryVirtToMachine(native(page) + 0x123);
  checkEqual('arbitrary_virt_to_machine', machine, virtToMachine(page + 0x123));
  makeLowmemPageReadonly(page);
  flushTlbSingle(native(page));
  check('make_lowmem_page_readonly', probeStore64(native(page), 1) === 1);
  makeLowmemPageReadwrite(page);
  check('make_lowmem_page_readwrite', probeStore64(native(page), 1) === 0 && (load<u64>(at) & 2) !== 0);
}

export function testFrames(): void {
  testProtection();
  let right = true;
  for (let pfn: Pfn = 0; pfn < maxPfn; pfn++) {
    const mfn = pfnToMfn(pfn);
    if (mfnToLocalPfn(mfn) !== pfn || mfnToPfn(mfn) !== pfn) right = false;
  }
  check('P2M and M2P agree about every frame', right);
  checkEqual('a frame in a hole of the M2P is none of ours', mfnToLocalPfn(0x7fffff000), maxPfn);
  checkEqual('nor is the first', mfnToLocalPfn(0) === maxPfn || pfnToMfn(mfnToLocalPfn(0)) === 0 ? 1 : 0, 1);
  checkEqual('beyond the end there is nothing', getPhysToMachine(maxPfn), INVALID_P2M_ENTRY);
}

export function testBalloon(): void {
  const page = takePage();
  const pfn = <Pfn>(physicalOf(page) >> PAGE_SHIFT);
  const before = currentFrames();
  check('the balloon takes a page', giveFrame(page));
  checkEqual('which has no machine frame then', pfnToMfn(pfn), INVALID_P2M_ENTRY);
  checkEqual('the domain has one frame less', <u64>(before - currentFrames()), 1);
  check('and it can have another', takeFrame(page));
  store<u64>(page, 0x55);
  checkEqual('which works', load<u64>(page), 0x55);
  checkEqual('and both tables know', mfnToLocalPfn(virtToMfn(page)), pfn);
  checkEqual('the domain has as many as before', <u64>(before - currentFrames()), 0);
}

export function testGrants(): void {
  const room = takePage();
  check('a grant table', setupGrants(room));
  const page = takePage();
  const reference = grantAccess(0, virtToMfn(page), true);
  check('a grant', reference !== NO_GRANT && reference >= 8);
  // Entry: flags permit access (1) and readonly (4), domain 0, the frame.
  checkEqual('as Xen reads it', load<u64>(room + reference * 8), (virtToMfn(page) << 32) | 5);
  check('taken back', endAccess(reference));
  checkEqual('for good', load<u16>(room + reference * 8), 0);
}

const PATH: usize = memory.data<u8>([0x64, 0x61, 0x74, 0x61, 0x2f, 0x74, 0x65, 0x73, 0x74, 0]);
const NAME: usize = memory.data<u8>([0x6e, 0x61, 0x6d, 0x65, 0]);
const value: usize = memory.data(64, 8);

/** The initial domain of a machine keeps xenstore itself, and has none to ask. */
export function testXenstore(): void {
  if (!hasXenstore()) return;
  checkEqual('xenstore: nothing there yet', <u64>(<i64>xenstoreRead(PATH, value, 64)), ~(<u64>0));
  store<u32>(value, 0x676e6972);
  check('xenstore: a write', xenstoreWrite(PATH, value, 4) >= 0);
  store<u32>(value, 0);
  checkEqual('xenstore: a read gives as many bytes', xenstoreRead(PATH, value, 64), 4);
  checkEqual('xenstore: and these', load<u32>(value), 0x676e6972);
  check('xenstore: a node is removed', xenstoreRemove(PATH) >= 0);
  checkEqual('xenstore: and gone', <u64>(<i64>xenstoreRead(PATH, value, 64)), ~(<u64>0));
  check('xenstore: we have a name', xenstoreRead(NAME, value, 64) > 0);
}

let refusedCalls: u32 = 0;
let refusedNumber: u32 = 0;
let refusedResult: i64 = 0;
let refusedPlace: u32 = 0;

function refused(number: u32, result: i64, index: u32, count: u32): void {
  refusedCalls++;
  refusedNumber = number;
  refusedResult = result;
  refusedPlace = index * 100 + count;
}

/** In the middle of a batch an entry for a frame that no machine has. */
export function testRefusals(): void {
  onRefusedCall(refused);
  const good = makePte(physicalOf(takePage()) | 0x63);
  enterLazyMmu();
  flushTlbKernel();
  setPte(table + 400 * 8, 0x000ffffffffff063);
  flushTlbKernel();
  setPte(table + 401 * 8, good);
  leaveLazyMmu();
  checkEqual('a refused call of a batch is reported once', refusedCalls, 1);
  checkEqual('which it was: mmu_update', refusedNumber, 1);
  check('with an error', refusedResult < 0);
  checkEqual('the second of four', refusedPlace, 104);
  checkEqual('its entry is not set', load<u64>(table + 400 * 8), 0);
  check('and what came after it is', (load<u64>(table + 401 * 8) & 1) !== 0);
  setPte(table + 401 * 8, 0);
}
