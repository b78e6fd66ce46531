/** Commands about what only a Xen guest has: the one place of the kernel that looks below the operations. */
import { DOMID_SELF } from '../../../abi/xen/numbers/domain.ts';
import {
  EVTCHNOP_status,
  EVTCHNSTAT_interdomain,
  EVTCHNSTAT_ipi,
  EVTCHNSTAT_pirq,
  EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq,
} from '../../../abi/xen/numbers/event_channel.ts';
import {
  evtchn_status_dom,
  evtchn_status_port,
  evtchn_status_status,
  evtchn_status_u,
  evtchn_status_u_interdomain_port,
  SIZEOF_evtchn_status,
  shared_info_evtchn_mask,
} from '../../abi/structures';
import { hypercallCount } from '../../machine/hypercall';
import { ON_XEN, platform } from '../../paravirt/info';
import { schedClock } from '../../paravirt/operations';
import { isPending } from '../../xen/events';
import { HYPERVISOR_xen_version } from '../../xen/hypercall';
import { HYPERVISOR_event_channel_op } from '../../xen/hypercall-compat';
import { batchesMade, callsMade, callsRefused } from '../../xen/multicall';
import {
  FOREIGN_FRAME_BIT,
  getPhysToMachine,
  IDENTITY_FRAME_BIT,
  INVALID_P2M_ENTRY,
} from '../../xen/p2m-tree';
import { maxPfn } from '../../xen/page';
import { Pfn } from '../../xen/types';
import { eventUpcalls, failsafeUpcalls } from '../../xen/upcalls';
import { sharedInfo } from '../../xen/vcpu-info';
import { print, printHex, printNumber, printNumberTo, spaceTo } from '../text';
import { hypercallName, namedHypercalls } from './hypercall-names';

/** Ports are given out from the lowest on; nobody here has more. */
const LISTED_PORTS: u32 = 64;
const ROUNDS: u64 = 1000;
const argument: usize = memory.data(SIZEOF_evtchn_status, 8);

function isXen(): bool {
  if (platform !== ON_XEN) print('there is no Xen below\n');
  return platform === ON_XEN;
}

const KIND_MEMORY: u32 = 0;
const KIND_MISSING: u32 = 1;
const KIND_IDENTITY: u32 = 2;
const KIND_FOREIGN: u32 = 3;

function kindOf(pfn: Pfn): u32 {
  const entry = getPhysToMachine(pfn);
  if (entry === INVALID_P2M_ENTRY) return KIND_MISSING;
  if ((entry & FOREIGN_FRAME_BIT) !== 0) return KIND_FOREIGN;
  return (entry & IDENTITY_FRAME_BIT) !== 0 ? KIND_IDENTITY : KIND_MEMORY;
}

function kindName(kind: u32): string {
  if (kind === KIND_MEMORY) return 'memory';
  if (kind === KIND_MISSING) return 'missing';
  return kind === KIND_IDENTITY ? 'identity' : 'foreign';
}

/** Stretches of frames of one kind, in hexadecimal; of memory, the first machine frame. */
export function physToMachine(): void {
  if (!isXen()) return;
  let first: Pfn = 0;
  while (first < maxPfn) {
    const kind = kindOf(first);
    let next = first + 1;
    while (next < maxPfn && kindOf(next) === kind) next++;
    printHex(<u64>first);
    print(' to ');
    printHex(<u64>(next - 1));
    spaceTo(24);
    print(kindName(kind));
    if (kind === KIND_MEMORY) {
      print(', the first is machine frame ');
      printHex(<u64>getPhysToMachine(first));
    }
    print('\n');
    first = next;
  }
}

function statusName(status: u32): string {
  if (status === <u32>EVTCHNSTAT_unbound) return 'unbound';
  if (status === <u32>EVTCHNSTAT_interdomain) return 'interdomain';
  if (status === <u32>EVTCHNSTAT_pirq) return 'pirq';
  if (status === <u32>EVTCHNSTAT_virq) return 'virq';
  return status === <u32>EVTCHNSTAT_ipi ? 'ipi' : 'reserved';
}

function isMasked(port: u32): bool {
  return (load<u8>(sharedInfo + shared_info_evtchn_mask + (port >> 3)) & (1 << (<u8>(port & 7)))) !== 0;
}

export function eventChannels(): void {
  if (!isXen()) return;
  print('PORT KIND         WITH\n');
  for (let port: u32 = 1; port < LISTED_PORTS; port++) {
    memory.fill(argument, 0, SIZEOF_evtchn_status);
    store<u16>(argument, DOMID_SELF, evtchn_status_dom);
    store<u32>(argument, port, evtchn_status_port);
    if (HYPERVISOR_event_channel_op(EVTCHNOP_status, argument) !== 0) continue;
    const status = load<u32>(argument, evtchn_status_status);
    if (status === 0) continue;
    printNumberTo(port, 4);
    spaceTo(5);
    print(statusName(status));
    spaceTo(18);
    if (status === <u32>EVTCHNSTAT_interdomain) {
      print('port ');
      printNumber(load<u32>(argument, evtchn_status_u_interdomain_port));
      print(' of domain ');
      printNumber(load<u16>(argument, evtchn_status_u));
    } else if (status === <u32>EVTCHNSTAT_virq) {
      print('virtual interrupt ');
      printNumber(load<u32>(argument, evtchn_status_u));
    }
    if (isMasked(port)) print(' masked');
    if (isPending(port)) print(' pending');
    print('\n');
  }
}

/** What was asked for, alone or in a multicall; how often several went together; what one costs. */
export function hypercalls(): void {
  if (!isXen()) return;
  print('  CALLS  HYPERCALL\n');
  for (let number: u32 = 0; number < namedHypercalls(); number++) {
    const count = hypercallCount(number);
    if (count === 0) continue;
    printNumberTo(count, 7);
    spaceTo(9);
    print(hypercallName(number));
    print('\n');
  }
  printNumber(batchesMade);
  print(' batches of together ');
  printNumber(callsMade);
  print(' calls, ');
  printNumber(callsRefused);
  print(' refused; ');
  printNumber(eventUpcalls);
  print(' event upcalls, ');
  printNumber(failsafeUpcalls);
  print(' failsafe upcalls\n');
  const before = schedClock();
  for (let i: u64 = 0; i < ROUNDS; i++) HYPERVISOR_xen_version(0, 0);
  print('xen_version takes ');
  printNumber((schedClock() - before) / ROUNDS);
  print(' ns\n');
}
