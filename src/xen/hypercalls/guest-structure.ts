/**
 * A structure that a hypercall's argument points to: read whole before anything is checked, so that the guest cannot
 * change it between check and use, and written back whole.
 */
import type { Layout, Structure } from '../../abi/xen/layout.ts';
import { memoryOf, StructureView } from '../../abi/xen/view.ts';
import type { Gva } from '../../machine/memory.ts';
import type { XenVcpu } from '../vcpu.ts';

/** A private copy of a guest's structure; only fields that both ABIs have are known by name. */
export class GuestStructure<P extends string> extends StructureView<P> {
  readonly bytes: Uint8Array;
  private readonly vcpu: XenVcpu;
  private readonly at: Gva;

  constructor(vcpu: XenVcpu, layout: Layout<P>, at: Gva) {
    const bytes = new Uint8Array(layout.size);
    super(layout, memoryOf(new DataView(bytes.buffer)), 0);
    this.bytes = bytes;
    this.vcpu = vcpu;
    this.at = at;
  }

  /** copy_to_guest: raises `GuestFault` if the guest cannot write there. */
  store(): void {
    this.vcpu.guest.writeBytes(this.at, this.bytes);
  }
}

/** The layout of a structure for the ABI of a vCPU's domain. */
export function layoutFor<P32 extends string, P64 extends string>(
  vcpu: XenVcpu,
  type: Structure<P32, P64>,
): Layout<P32 & P64> {
  return (vcpu.domain.is64 ? type.x64 : type.x32) as Layout<string> as Layout<P32 & P64>;
}

/** copy_from_guest: a copy of the structure at `at`. Raises `GuestFault` if the guest cannot read it. */
export function copyFromGuest<P32 extends string, P64 extends string>(
  vcpu: XenVcpu,
  type: Structure<P32, P64>,
  at: Gva,
): GuestStructure<P32 & P64> {
  const copy = new GuestStructure(vcpu, layoutFor(vcpu, type), at);
  vcpu.guest.readBytes(at, copy.bytes);
  return copy;
}
