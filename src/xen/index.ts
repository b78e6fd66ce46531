/**
 * The Xen PV interface, host side: what a 64-bit paravirtualized kernel finds when it looks for Xen 4.17.
 *
 * Reading order of this folder:
 *   domain, vcpu                        what there is: a domain, its vCPUs, the two modes of a 64-bit guest (parts: their links)
 *   traps, segments, control            what the kernel has told Xen: entry points, descriptor tables, registers
 *   exceptions                          what an exit of the processor means; from here everything is called
 *   bounce, failsafe, entry             how the kernel is entered, and what happens right before the guest runs
 *   emulate/                            privileged instructions: privileged, instruction, ports; invalid-op, cpuid (with ../cpuid, ../msr)
 *   hypercalls/                         dispatch, arguments, guest-structure; then a file for each family; multicall, iret
 *   mm/                                 frames, types, page tables; its index has the order
 *   events/, grants/                    channels between domains; memory lent and copied
 *   time, runstate                      clocks and timers
 *   builder/, vcpu-context, hypercall-page    how a domain comes to life; the builder's index has the order
 *   lifecycle, crash, trail             how it ends, and what is reported
 *   testing/                            a scripted processor and a small world, for tests
 */
export { buildDomain } from './builder/index.ts';
export { XenDomain } from './domain.ts';
export { HypercallTable } from './hypercalls/dispatch.ts';
