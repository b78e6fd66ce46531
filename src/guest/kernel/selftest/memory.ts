/** Pages for the self-test, from what the builder mapped behind everything else; and a mark that the test outside can see. */
import { native } from '../../machine/memory';
import { HYPERVISOR_xen_version } from '../../xen/hypercall';
import { lookupAddress } from '../../xen/page-walk';
import { setPageAllocator } from '../../xen/pages';
import { freeMemoryStart } from '../../xen/start';
import { PAGE_SIZE } from '../../xen/types';

let next: usize = 0;
/** Pages that came back, each with the address of the one before in its first word. */
let returned: usize = 0;

/** A page, zeroed. */
export function takePage(): usize {
  let page = returned;
  if (page !== 0) returned = load<usize>(page);
  else {
    if (next === 0) next = freeMemoryStart();
    if (lookupAddress(native(next)) === 0) unreachable();
    page = next;
    next += PAGE_SIZE;
  }
  memory.fill(page, 0, PAGE_SIZE);
  return page;
}

export function returnPage(page: usize): void {
  store<usize>(page, returned);
  returned = page;
}

export function useTestPages(): void {
  setPageAllocator(takePage, returnPage);
}

/** Of xen_version, commands that do not exist: who follows hypercalls from outside sees where something begins and ends. */
const FIRST_MARK: i32 = 1000;

export function mark(number: i32): void {
  HYPERVISOR_xen_version(FIRST_MARK + number, 0);
}
