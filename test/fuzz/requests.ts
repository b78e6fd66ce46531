/** Every hypercall with its subcommands, in a form that a hostile kernel might give them: number and arguments. */
import * as X from '../../src/abi/xen/numbers/index.ts';
import type { Attacker, Word } from './attacker.ts';

type Value = Word | number;
/** What a hypercall is made of: its number and up to six arguments, the rest being left to chance. */
export type Request = readonly [number: number, ...args: readonly Value[]];

function foreign(a: Attacker): number {
  return a.random.once(3) ? a.domid() : X.DOMID_SELF;
}

function mmuUpdate(a: Attacker): Request {
  const length = 1 + a.random.below(4);
  const requests = a.list(length, () => {
    const at = a.random.once(6) ? a.mfn() : a.table();
    return [at * 4096 + a.random.below(512) * 8 + a.random.below(4), a.entry()];
  });
  const count = a.random.once(8) ? a.count() : length;
  return [X.__HYPERVISOR_mmu_update, requests, count, a.random.once(3) ? a.gva() : 0, foreign(a)];
}

function mmuextOp(a: Attacker): Request {
  const length = 1 + a.random.below(3);
  const operations = a.list(length, () => [
    a.random.below(23),
    a.random.once(3) ? a.gva() : a.mfn(),
    a.random.once(2) ? a.mfn() : a.pairOfCounts(),
  ]);
  const count = a.random.once(8) ? a.count() : length;
  return [X.__HYPERVISOR_mmuext_op, operations, count, a.random.once(3) ? a.gva() : 0, foreign(a)];
}

function memoryOp(a: Attacker): Request {
  const { random } = a;
  const op = random.below(32);
  const length = 1 + random.below(4);
  const list = a.list(length, () => [a.mfn()]);
  const reservation = (): Value[] => [
    list,
    random.once(8) ? a.count() : length,
    a.pair(random.pick([0, 0, 0, 1, 9, 10, 64]), random.once(5) ? random.next() : 0),
    foreign(a),
  ];
  const argument =
    op === X.XENMEM_exchange
      ? a.put(...reservation(), ...reservation(), random.once(3) ? a.count() : 0)
      : random.once(4)
        ? a.blob()
        : a.put(...reservation());
  const start = random.once(10) ? random.below(8) * 64 : 0;
  return [X.__HYPERVISOR_memory_op, op + start, argument];
}

function grantOp(a: Attacker): Request {
  const { random } = a;
  const op = random.below(14);
  const end = (): Value[] => [
    random.once(2) ? random.below(600) : a.mfn(),
    a.pair(a.domid() | (random.below(4200) << 16), 0),
  ];
  const argument =
    op === X.GNTTABOP_copy
      ? a.put(...end(), ...end(), a.pair(random.below(4200) | (random.below(4) << 16), 0))
      : op === X.GNTTABOP_setup_table
        ? a.put(a.pair(foreign(a), random.pick([0, 1, 3, 4, 5, 0x10000, -1])), 0, a.gva())
        : a.blob();
  return [X.__HYPERVISOR_grant_table_op, op, argument, random.once(6) ? a.count() : 1];
}

function eventOp(a: Attacker): Request {
  const { random } = a;
  const domains = a.pair((a.domid() & 0xffff) | ((a.domid() & 0xffff) << 16), random.below(70));
  const argument = random.once(3)
    ? a.blob()
    : a.put(
        random.once(2) ? domains : a.pair(random.below(70), random.below(3)),
        a.pair(random.below(30), random.below(70)),
      );
  return [X.__HYPERVISOR_event_channel_op, random.below(16), argument];
}

function schedOp(a: Attacker): Request {
  const { random } = a;
  const op = random.below(9);
  // Shutting down is always possible; not too often.
  if (op === X.SCHEDOP_shutdown && !random.once(8)) return schedOp(a);
  if (op === X.SCHEDOP_poll) {
    const ports = a.list(4, () => [a.pair(random.below(70), random.below(70))]);
    return [X.__HYPERVISOR_sched_op, op, a.put(ports, random.once(4) ? a.count() : random.below(9), a.any())];
  }
  return [X.__HYPERVISOR_sched_op, op, a.blob()];
}

function vcpuOp(a: Attacker): Request {
  const { random } = a;
  const op = random.below(16);
  const vcpu = random.pick([0, 0, 1, 1, 1, 2, -1]);
  if (op === X.VCPUOP_down && !random.once(8)) return vcpuOp(a);
  const argument =
    op === X.VCPUOP_register_vcpu_info
      ? a.put(a.mfn(), a.pair(random.below(64) * 64, 0))
      : op === X.VCPUOP_send_nmi
        ? 0
        : random.once(3)
          ? a.gva()
          : a.put(a.gva(), a.any(), a.any());
  return [X.__HYPERVISOR_vcpu_op, op, vcpu, argument];
}

function descriptors(a: Attacker): Request {
  const { random } = a;
  const entry = a.pair(0xffff | (random.next() << 16), random.once(3) ? random.next() : 0x00cff300);
  switch (random.below(4)) {
    case 0:
      return [
        X.__HYPERVISOR_set_gdt,
        a.list(2, () => [a.mfn()]),
        random.pick([0, 1, 512, 513, 8192, 7168, 7169, -1]),
      ];
    case 1:
      return [X.__HYPERVISOR_update_descriptor, a.mfn() * 4096 + random.below(512) * 8, entry];
    case 2:
      return [X.__HYPERVISOR_set_segment_base, random.below(5), a.any()];
    default:
      return [
        random.pick([X.__HYPERVISOR_set_debugreg, X.__HYPERVISOR_get_debugreg]),
        random.below(9),
        a.any(),
      ];
  }
}

function entries(a: Attacker): Request {
  const { random } = a;
  switch (random.below(5)) {
    case 0:
      return [
        X.__HYPERVISOR_set_trap_table,
        a.list(3, () => [a.pair(random.below(256) | (random.below(8) << 8) | (0xe033 << 16), 0), a.gva()]),
      ];
    case 1:
      return [X.__HYPERVISOR_set_callbacks, a.gva(), a.gva(), a.gva()];
    case 2:
      return [
        X.__HYPERVISOR_callback_op,
        random.below(3),
        a.put(a.pair(random.below(9) | (random.below(2) << 16), 0), a.gva()),
      ];
    case 3:
      return [X.__HYPERVISOR_stack_switch, a.any(), a.gva()];
    default:
      return [X.__HYPERVISOR_nmi_op, random.below(3), a.blob()];
  }
}

function vaMapping(a: Attacker): Request {
  const flags = a.random.once(4) ? a.any() : a.random.below(4);
  if (a.random.once(6)) {
    return [X.__HYPERVISOR_update_va_mapping_otherdomain, a.gva(), a.entry(), flags, a.domid()];
  }
  return [X.__HYPERVISOR_update_va_mapping, a.gva(), a.entry(), flags];
}

const PLAIN: readonly ((a: Attacker) => Request)[] = [
  (a) => [X.__HYPERVISOR_xen_version, a.random.below(13), a.random.once(4) ? 0 : a.blob()],
  (a) => [X.__HYPERVISOR_vm_assist, a.random.below(3), a.random.below(40)],
  (a) => [X.__HYPERVISOR_console_io, a.random.below(3), a.count(), a.gva()],
  (a) => [X.__HYPERVISOR_physdev_op, a.random.below(34), a.blob()],
  (a) => [X.__HYPERVISOR_set_timer_op, a.any()],
  (a) => [X.__HYPERVISOR_fpu_taskswitch, a.random.below(2)],
  (a) => [X.__HYPERVISOR_event_channel_op_compat, a.blob()],
  (a) => [X.__HYPERVISOR_physdev_op_compat, a.blob()],
  // Most ends of it are the end of the guest.
  (a) => (a.random.once(6) ? [X.__HYPERVISOR_iret] : [X.__HYPERVISOR_fpu_taskswitch, 1]),
  (a) => [a.random.below(64)],
];

const KINDS = [
  mmuUpdate,
  mmuUpdate,
  mmuextOp,
  mmuextOp,
  vaMapping,
  memoryOp,
  memoryOp,
  grantOp,
  eventOp,
  schedOp,
  vcpuOp,
  descriptors,
  entries,
];

/** One hypercall of any kind; page tables and memory come most often. */
export function anyRequest(a: Attacker): Request {
  return a.random.once(5) ? a.random.pick(PLAIN)(a) : a.random.pick(KINDS)(a);
}

/** A multicall of them; now and then with a multicall inside, or with a length that is a lie. */
export function anyMulticall(a: Attacker): Request {
  const length = 1 + a.random.below(5);
  const list = a.list(length, () => {
    const [number, ...args] = a.random.once(15)
      ? ([X.__HYPERVISOR_multicall, a.blob(), 2] as const)
      : anyRequest(a);
    return [number, 0, ...Array.from({ length: 6 }, (_, i) => args[i] ?? a.any())];
  });
  return [X.__HYPERVISOR_multicall, list, a.random.once(10) ? a.count() : length];
}
