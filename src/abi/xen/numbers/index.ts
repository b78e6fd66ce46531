/**
 * Every number of the Xen interface, under its name in the public headers. What depends on the width of the
 * guest stands in the namespaces `x86_32` and `x86_64`. The files hold plain integer constants and nothing
 * else, so that a guest's code can be compiled from them too.
 */

export * from './arch-x86.ts';
export * as x86_32 from './arch-x86_32.ts';
export * as x86_64 from './arch-x86_64.ts';
export * from './callback.ts';
export * from './cpuid.ts';
export * from './domain.ts';
export * from './elfnote.ts';
export * from './errno.ts';
export * from './event_channel.ts';
export * from './features.ts';
export * from './grant_table.ts';
export * from './hypercalls.ts';
export * from './memory.ts';
export * from './mmu.ts';
export * from './physdev.ts';
export * from './privileged.ts';
export * from './sched.ts';
export * from './vcpu.ts';
export * from './version.ts';
export * from './xenstore.ts';
