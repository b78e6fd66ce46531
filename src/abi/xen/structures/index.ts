/**
 * Every structure of the Xen interface that a guest and its host share, with its layout under both ABIs. To
 * read them in order: what a domain is born with (`start-info`), what it shares while it lives
 * (`shared-info`), its registers (`arch-x86`), then the arguments of the hypercalls by family, and last the
 * two rings (`io`).
 */

export * from './arch-x86.ts';
export * from './callback.ts';
export * from './event_channel.ts';
export * from './grant_table.ts';
export * from './io.ts';
export * from './memory.ts';
export * from './mmu.ts';
export * from './physdev.ts';
export * from './sched.ts';
export * from './shared-info.ts';
export * from './start-info.ts';
export * from './version.ts';
