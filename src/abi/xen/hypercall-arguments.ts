/**
 * What each hypercall takes: how many arguments, of which kind, and for commands with a small structure what stands in
 * it. For traces and reports; handlers know for themselves.
 *
 * (Xen 4.17, xen/include/hypercall-defs.c, and the comments of the public headers.)
 */
import { HYPERCALLS } from './hypercall-table.ts';
import type { Abi, Layout } from './layout.ts';
import * as s from './structures/index.ts';

/**
 * One letter for each argument: `c` a command, `n` a number to count or to name something with, `d` a domain's number,
 * `p` anything that is read in hexadecimal: a pointer, a frame, an entry, flags. Where a 32-bit guest needs two registers
 * for what a 64-bit one has in one, its form stands second.
 */
const ARGUMENTS: Readonly<Record<string, string | readonly [x64: string, x32: string]>> = {
  set_trap_table: 'p',
  mmu_update: 'pnpd',
  set_gdt: 'pn',
  stack_switch: 'pp',
  set_callbacks: ['ppp', 'pppp'],
  fpu_taskswitch: 'n',
  sched_op_compat: 'cn',
  platform_op: 'p',
  set_debugreg: 'np',
  get_debugreg: 'n',
  update_descriptor: ['pp', 'pppp'],
  memory_op: 'cp',
  multicall: 'pn',
  update_va_mapping: ['ppp', 'pppp'],
  set_timer_op: ['n', 'pp'],
  event_channel_op_compat: 'p',
  xen_version: 'cp',
  console_io: 'cnp',
  physdev_op_compat: 'p',
  grant_table_op: 'cpn',
  vm_assist: 'cn',
  update_va_mapping_otherdomain: ['pppd', 'ppppd'],
  iret: '',
  vcpu_op: 'cnp',
  set_segment_base: 'cp',
  mmuext_op: 'pnpd',
  xsm_op: 'p',
  nmi_op: 'cp',
  sched_op: 'cp',
  callback_op: 'cp',
  xenoprof_op: 'cp',
  event_channel_op: 'cp',
  physdev_op: 'cp',
  hvm_op: 'cp',
  sysctl: 'p',
  domctl: 'p',
  kexec_op: 'cp',
  tmem_op: 'p',
  argo_op: 'cpppp',
  xenpmu_op: 'cp',
  dm_op: 'dnp',
  hypfs_op: 'cpnpn',
  arch_0: 'p',
};

/** Commands that have no use for the last argument of their hypercall. */
const ONE_LESS = new Set(
  [
    'SCHEDOP_yield SCHEDOP_block XENVER_version XENNMI_unregister_callback',
    'XENMEM_maximum_ram_page XENMEM_get_sharing_freed_pages XENMEM_get_sharing_shared_pages',
    'VCPUOP_up VCPUOP_down VCPUOP_is_up VCPUOP_stop_periodic_timer VCPUOP_stop_singleshot_timer VCPUOP_send_nmi',
  ].flatMap((line) => line.split(' ')),
);

const byName = new Map(HYPERCALLS.map((hypercall) => [hypercall.name, hypercall]));

/**
 * The kinds of a hypercall's arguments; undefined for one that is not known. `first` is the first argument, where it may
 * be a command that takes less than others.
 */
export function argumentKinds(name: string, abi: Abi, first?: number): string | undefined {
  const forms = ARGUMENTS[name];
  if (forms === undefined) return undefined;
  const kinds = typeof forms === 'string' ? forms : forms[abi === 'x64' ? 0 : 1];
  const command = first === undefined ? undefined : commandOf(name, first);
  return command !== undefined && ONE_LESS.has(command) ? kinds.slice(0, -1) : kinds;
}

/** The name of the command in a hypercall's first argument, if there is one and it is known. */
export function commandOf(name: string, first: number): string | undefined {
  const hypercall = byName.get(name);
  if (hypercall === undefined || hypercall.commandMask === 0) return undefined;
  const number = (first & hypercall.commandMask) >>> 0;
  return hypercall.commands.find((command) => command.number === number)?.name;
}

/** What a trace shows of the structure that a command's pointer leads to. */
export interface ArgumentStructure {
  readonly structure: Readonly<Record<Abi, Layout<string>>>;
  /** Fields of one ABI or of both, with the name to show. */
  readonly fields: readonly ArgumentField[];
}

export interface ArgumentField {
  readonly shown: string;
  /** As the layout has it. */
  readonly field: string;
  /** Written by Xen, if the call succeeds. */
  readonly out: boolean;
}

/** Fields in order; behind `>` those that are results; `name=field` where the field's own name says too little. */
function fields(structure: ArgumentStructure['structure'], words: string): ArgumentStructure {
  const [into = '', out = ''] = words.split('>').map((part) => part.trim());
  const list = (part: string, isOut: boolean) =>
    part.split(' ').flatMap((word) => {
      if (word === '') return [];
      const [shown, field = shown] = word.split('=') as [string, string?];
      return [{ shown, field, out: isOut }];
    });
  return { structure, fields: [...list(into, false), ...list(out, true)] };
}

const reservation = fields(s.xen_memory_reservation, 'nr_extents extent_order domid');
const withMfn = fields(s.mmuext_op, 'cmd mfn=arg1_mfn');
const withAddress = fields(s.mmuext_op, 'cmd linear_addr=arg1_linear_addr');

/** The structures that are small and that handlers read whole, by command. Those of mmuext_op name their command themselves. */
export const ARGUMENT_STRUCTURES: Readonly<Record<string, ArgumentStructure>> = {
  EVTCHNOP_bind_interdomain: fields(s.evtchn_bind_interdomain, 'remote_dom remote_port > local_port'),
  EVTCHNOP_bind_virq: fields(s.evtchn_bind_virq, 'virq vcpu > port'),
  EVTCHNOP_bind_pirq: fields(s.evtchn_bind_pirq, 'pirq > port'),
  EVTCHNOP_close: fields(s.evtchn_close, 'port'),
  EVTCHNOP_send: fields(s.evtchn_send, 'port'),
  EVTCHNOP_status: fields(s.evtchn_status, 'dom port > status vcpu'),
  EVTCHNOP_alloc_unbound: fields(s.evtchn_alloc_unbound, 'dom remote_dom > port'),
  EVTCHNOP_bind_ipi: fields(s.evtchn_bind_ipi, 'vcpu > port'),
  EVTCHNOP_bind_vcpu: fields(s.evtchn_bind_vcpu, 'port vcpu'),
  EVTCHNOP_unmask: fields(s.evtchn_unmask, 'port'),
  EVTCHNOP_reset: fields(s.evtchn_reset, 'dom'),
  EVTCHNOP_init_control: fields(s.evtchn_init_control, 'control_gfn offset vcpu'),
  EVTCHNOP_expand_array: fields(s.evtchn_expand_array, 'array_gfn'),
  EVTCHNOP_set_priority: fields(s.evtchn_set_priority, 'port priority'),

  SCHEDOP_shutdown: fields(s.sched_shutdown, 'reason'),
  SCHEDOP_shutdown_code: fields(s.sched_shutdown, 'reason'),
  SCHEDOP_poll: fields(s.sched_poll, 'nr_ports timeout'),
  SCHEDOP_watchdog: fields(s.sched_watchdog, 'id timeout'),

  VCPUOP_set_periodic_timer: fields(s.vcpu_set_periodic_timer, 'period_ns'),
  VCPUOP_set_singleshot_timer: fields(s.vcpu_set_singleshot_timer, 'timeout_abs_ns flags'),
  VCPUOP_register_vcpu_info: fields(s.vcpu_register_vcpu_info, 'mfn offset'),
  VCPUOP_register_runstate_memory_area: fields(s.vcpu_register_runstate_memory_area, 'addr=addr_v'),
  VCPUOP_register_vcpu_time_memory_area: fields(s.vcpu_register_time_memory_area, 'addr=addr_v'),

  XENVER_get_features: fields(s.xen_feature_info, 'submap_idx > submap'),
  CALLBACKOP_register: fields(s.callback_register, 'type flags address cs=address_cs eip=address_eip'),
  CALLBACKOP_unregister: fields(s.callback_unregister, 'type'),
  PHYSDEVOP_set_iopl: fields(s.physdev_set_iopl, 'iopl'),

  XENMEM_increase_reservation: reservation,
  XENMEM_decrease_reservation: reservation,
  XENMEM_populate_physmap: reservation,
  XENMEM_current_reservation: fields(s.xen_memory_domain, 'domid'),
  XENMEM_maximum_reservation: fields(s.xen_memory_domain, 'domid'),
  XENMEM_maximum_gpfn: fields(s.xen_memory_domain, 'domid'),
  XENMEM_memory_map: fields(s.xen_memory_map, 'nr_entries'),
  XENMEM_machphys_mapping: fields(s.xen_machphys_mapping, '> v_start v_end max_mfn'),

  GNTTABOP_setup_table: fields(s.gnttab_setup_table, 'dom nr_frames > status'),
  GNTTABOP_query_size: fields(s.gnttab_query_size, 'dom > nr_frames max_nr_frames status'),
  GNTTABOP_set_version: fields(s.gnttab_set_version, 'version'),
  GNTTABOP_get_version: fields(s.gnttab_get_version, 'dom > version'),

  MMUEXT_PIN_L1_TABLE: withMfn,
  MMUEXT_PIN_L2_TABLE: withMfn,
  MMUEXT_PIN_L3_TABLE: withMfn,
  MMUEXT_PIN_L4_TABLE: withMfn,
  MMUEXT_UNPIN_TABLE: withMfn,
  MMUEXT_NEW_BASEPTR: withMfn,
  MMUEXT_NEW_USER_BASEPTR: withMfn,
  MMUEXT_CLEAR_PAGE: withMfn,
  MMUEXT_COPY_PAGE: fields(s.mmuext_op, 'cmd mfn=arg1_mfn src_mfn=arg2_src_mfn'),
  MMUEXT_MARK_SUPER: withMfn,
  MMUEXT_UNMARK_SUPER: withMfn,
  MMUEXT_INVLPG_LOCAL: withAddress,
  MMUEXT_INVLPG_MULTI: withAddress,
  MMUEXT_INVLPG_ALL: withAddress,
  MMUEXT_SET_LDT: fields(s.mmuext_op, 'cmd linear_addr=arg1_linear_addr nr_ents=arg2_nr_ents'),
  MMUEXT_TLB_FLUSH_LOCAL: fields(s.mmuext_op, 'cmd'),
  MMUEXT_TLB_FLUSH_MULTI: fields(s.mmuext_op, 'cmd'),
  MMUEXT_TLB_FLUSH_ALL: fields(s.mmuext_op, 'cmd'),
  MMUEXT_FLUSH_CACHE: fields(s.mmuext_op, 'cmd'),
  MMUEXT_FLUSH_CACHE_GLOBAL: fields(s.mmuext_op, 'cmd'),
};
