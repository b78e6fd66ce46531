/**
 * The Xen interface as a list: every hypercall number that the public headers reserve, with the commands
 * behind it.
 *
 * Joined with the handlers that a host has registered it gives the coverage table of the documentation;
 * traces and statistics take their names from it. The names are those of `numbers/`, so a command that is
 * added there appears here.
 */
import type { Abi } from './layout.ts';
import * as x64 from './numbers/arch-x86_64.ts';
import * as callback from './numbers/callback.ts';
import * as domain from './numbers/domain.ts';
import * as eventChannel from './numbers/event_channel.ts';
import * as grantTable from './numbers/grant_table.ts';
import * as hypercalls from './numbers/hypercalls.ts';
import * as memory from './numbers/memory.ts';
import * as mmu from './numbers/mmu.ts';
import * as physdev from './numbers/physdev.ts';
import * as privileged from './numbers/privileged.ts';
import * as sched from './numbers/sched.ts';
import * as vcpu from './numbers/vcpu.ts';
import * as version from './numbers/version.ts';

/**
 * Who has a use for it: `guest`: any PV domain; `control`: the control domain, a driver domain or a device
 * model; `hvm`: guests whose frames Xen translates; `nobody`: reserved, withdrawn, or internal to Xen.
 */
export type Audience = 'guest' | 'control' | 'hvm' | 'nobody';

/** One command of a hypercall. */
export interface CommandDescription {
  /** The name in the public headers, such as `MMUEXT_PIN_L4_TABLE`. */
  readonly name: string;
  readonly number: number;
  readonly audience: Audience;
}

/** One hypercall. */
export interface HypercallDescription {
  /** The name in the public headers without `__HYPERVISOR_`, such as `mmuext_op`. */
  readonly name: string;
  readonly number: number;
  readonly audience: Audience;
  /** The width of guest that has it; absent if both do. */
  readonly abi?: Abi;
  /**
   * Where the command stands: in the bits `commandMask` of the first argument; or, if the mask is 0, in the
   * structures that an argument points to. Without commands it means nothing.
   */
  readonly commandMask: number;
  readonly commands: readonly CommandDescription[];
}

type NumbersModule = Readonly<Record<string, number>>;
type Source = readonly [module: NumbersModule, names: RegExp, commandMask: number];

const WHOLE = 0xffffffff;
const IN_MEMORY = 0;
/** memory_op: the upper bits of the argument carry the extent at which an interrupted call goes on. */
const MEMOP_CMD_MASK = 0x3f;

/** Where each hypercall's commands come from. One that is not named here has none. */
const SOURCES: Readonly<Record<string, Source>> = {
  mmu_update: [mmu, /^MMU_/, IN_MEMORY],
  sched_op_compat: [sched, /^SCHEDOP_(yield|block|shutdown)$/, WHOLE],
  platform_op: [privileged, /^XENPF_/, IN_MEMORY],
  memory_op: [memory, /^XENMEM_(?!resource_)/, MEMOP_CMD_MASK],
  event_channel_op_compat: [
    eventChannel,
    /^EVTCHNOP_(?!reset|init_control|expand_array|set_priority)/,
    IN_MEMORY,
  ],
  xen_version: [version, /^XENVER_/, WHOLE],
  console_io: [domain, /^CONSOLEIO_/, WHOLE],
  physdev_op_compat: [
    physdev,
    /^PHYSDEVOP_(IRQ_UNMASK|irq_status|set_io|apic_|alloc_irq|free_irq)/,
    IN_MEMORY,
  ],
  grant_table_op: [grantTable, /^GNTTABOP_/, WHOLE],
  vm_assist: [domain, /^VMASST_CMD_/, WHOLE],
  vcpu_op: [vcpu, /^VCPUOP_/, WHOLE],
  set_segment_base: [x64, /^SEGBASE_/, WHOLE],
  mmuext_op: [mmu, /^MMUEXT_/, IN_MEMORY],
  nmi_op: [callback, /^XENNMI_/, WHOLE],
  sched_op: [sched, /^SCHEDOP_/, WHOLE],
  callback_op: [callback, /^CALLBACKOP_/, WHOLE],
  xenoprof_op: [privileged, /^XENOPROF_/, WHOLE],
  event_channel_op: [eventChannel, /^EVTCHNOP_/, WHOLE],
  physdev_op: [physdev, /^PHYSDEVOP_[a-z]/, WHOLE],
  hvm_op: [privileged, /^HVMOP_/, WHOLE],
  kexec_op: [privileged, /^KEXEC_CMD_/, WHOLE],
  argo_op: [privileged, /^XEN_ARGO_OP_/, WHOLE],
  xenpmu_op: [privileged, /^XENPMU_/, WHOLE],
  hypfs_op: [privileged, /^XEN_HYPFS_OP_/, WHOLE],
};

/** Those that are not for every guest, by name; a hypercall's audience holds for its commands too. */
const AUDIENCES: readonly (readonly [RegExp, Audience])[] = [
  [/^(platform_op|xsm_op|xenoprof_op|sysctl|domctl|kexec_op|dm_op|hypfs_op|arch_0)$/, 'control'],
  [/^hvm_op$/, 'hvm'],
  [/^(tmem_op|arch_[1-7])$/, 'nobody'],
  [/^SCHEDOP_(remote_shutdown|pin_override)$/, 'control'],
  [/^VCPUOP_get_physid$/, 'control'],
  [/^EVTCHNOP_bind_pirq$/, 'control'],
  [/^GNTTABOP_dump_table$/, 'nobody'],
  [/^XENMEM_(machine_memory_map|set_memory_map|[sg]et_pod_target|machphys_compat_mfn_list)$/, 'control'],
  [/^XENMEM_(get_sharing_.*|.*_op|claim_pages|reserved_device_memory_map|acquire_resource)$/, 'control'],
  [/^XENMEM_(add_to|remove_from)_physmap/, 'hvm'],
  [/^MMUEXT_(UN)?MARK_SUPER$/, 'nobody'],
  // These want devices of one's own, the next the toolstack.
  [/^MMUEXT_FLUSH_CACHE/, 'control'],
  [/^XENVER_build_id$/, 'control'],
  [/^PHYSDEVOP_(?!set_iopl$|set_iobitmap$|irq_status_query$|IRQ_UNMASK_NOTIFY$|pirq_eoi_gmfn_)/, 'control'],
];

/** Every hypercall, by ascending number. */
export const HYPERCALLS: readonly HypercallDescription[] = Object.entries(hypercalls)
  .map(([headerName, number]) => describe(headerName.replace('__HYPERVISOR_', ''), number))
  .sort((a, b) => a.number - b.number);

const byNumber = new Map(HYPERCALLS.map((hypercall) => [hypercall.number, hypercall]));

/** The name of a hypercall, or `hypercall_<number>` for a number that the headers do not know. */
export function hypercallName(number: number): string {
  return byNumber.get(number)?.name ?? `hypercall_${number}`;
}

/** The name of a command, or the number itself for one that the headers do not know. */
export function commandName(hypercall: number, command: number): string {
  const commands = byNumber.get(hypercall)?.commands ?? [];
  return commands.find((known) => known.number === command)?.name ?? String(command);
}

function describe(name: string, number: number): HypercallDescription {
  const audience = audienceOf(name, 'guest');
  const [module, names, commandMask] = SOURCES[name] ?? [{}, /^$/, WHOLE];
  const commands = Object.entries(module)
    .filter(([command]) => names.test(command))
    .map(([command, value]) => ({ name: command, number: value, audience: audienceOf(command, audience) }))
    .sort((a, b) => a.number - b.number);
  return {
    name,
    number,
    audience,
    commandMask,
    commands,
    ...(name === 'set_segment_base' && { abi: 'x64' }),
  };
}

function audienceOf(name: string, otherwise: Audience): Audience {
  return AUDIENCES.find(([names]) => names.test(name))?.[1] ?? otherwise;
}
