/**
 * What a trace and a crash report are told of a hypercall: the arguments that it takes, without what happens to stand in
 * the other registers, and the fields of the small structure that an argument points to.
 *
 * The structure is read when the call has returned, by the guest's own address and with its rights, from no more than a
 * few bytes; an address that does not translate gives nothing. All that this can change is an accessed bit, which a
 * processor may set whenever it likes.
 */
import { ARGUMENT_STRUCTURES, argumentKinds, commandOf } from '../../abi/xen/hypercall-arguments.ts';
import { commandName } from '../../abi/xen/hypercall-table.ts';
import type { Abi, Layout } from '../../abi/xen/layout.ts';
import { __HYPERVISOR_mmuext_op } from '../../abi/xen/numbers/index.ts';
import { mmuext_op } from '../../abi/xen/structures/index.ts';
import { memoryOf, StructureView } from '../../abi/xen/view.ts';
import type { TracedStructure } from '../../hypervisor/trace.ts';
import type { Gva } from '../../machine/memory.ts';
import { GuestFault, type GuestMemory } from '../../machine/x86/guest-memory.ts';
import { hypercallName } from './names.ts';

/** Registers that Xen passes on to any call; of a call that is not known all are shown. */
export const TRACED_ARGUMENTS = 5;
/** mmuext_op's count: the rest says that the call goes on after a preemption. */
const COUNT_MASK = 0x7fffffff;

/** Of the five registers, those that the call takes. */
export function tracedArguments(number: number, registers: readonly number[], abi: Abi): readonly number[] {
  const kinds = argumentKinds(hypercallName(number), abi, registers[0]);
  return kinds === undefined ? registers : registers.slice(0, kinds.length);
}

/** `args` as `tracedArguments` gives them. Undefined if there is no structure, or none that can be read. */
export function tracedStructure(
  number: number,
  args: readonly number[],
  result: number | undefined,
  guest: GuestMemory,
  abi: Abi,
): TracedStructure | undefined {
  const name = hypercallName(number);
  const argument = argumentKinds(name, abi)?.indexOf('p') ?? -1;
  const at = args[argument];
  if (at === undefined || at === 0) return undefined;
  const count = number === __HYPERVISOR_mmuext_op ? (args[1]! & COUNT_MASK) >>> 0 : 1;
  if (count === 0) return undefined;
  const command =
    number === __HYPERVISOR_mmuext_op ? firstOperation(guest, at, abi) : commandOf(name, args[0]!);
  const known = command === undefined ? undefined : ARGUMENT_STRUCTURES[command];
  if (known === undefined) return undefined;
  const layout = known.structure[abi];
  const view = viewAt(guest, at, layout);
  if (view === undefined) return undefined;
  const succeeded = result !== undefined && result >= 0;
  const fields = known.fields
    .filter(({ field, out }) => layout.fields.get(field)?.integer === true && (succeeded || !out))
    .map(({ shown, field }) => [shown, view.get(field)] as const);
  return { argument, fields, more: count > 1 };
}

/** The command of the first operation in mmuext_op's list. */
function firstOperation(guest: GuestMemory, at: Gva, abi: Abi): string | undefined {
  const command = viewAt(guest, at, mmuext_op[abi])?.get('cmd');
  return command === undefined ? undefined : commandName(__HYPERVISOR_mmuext_op, command);
}

/** A copy of the structure, or undefined. */
function viewAt<P extends string>(
  guest: GuestMemory,
  at: Gva,
  layout: Layout<P>,
): StructureView<P> | undefined {
  const bytes = new Uint8Array(layout.size);
  try {
    guest.readBytes(at, bytes);
  } catch (error) {
    if (error instanceof GuestFault) return undefined;
    throw error;
  }
  return new StructureView(layout, memoryOf(new DataView(bytes.buffer)), 0);
}
