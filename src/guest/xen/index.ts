/**
 * The Xen back end of the paravirtual operations. A kernel needs `startXen`; what has no operation, since nothing else has
 * it either, is here too: hypercalls, event channels, grants, xenstore, the balloon, suspend.
 *
 * Reading order: `types`, `hypercall`, `hypercall-compat`, `multi`; `vcpu-info`, `event-mask`, `suspend-hooks`, `events`,
 * `upcalls`;
 * `brk`, `pages`, `p2m-tree`, `p2m`, `p2m-identity`, `p2m-frame-lists`; `machine-to-phys`, `page`, `page-entry`,
 * `page-walk`; `multicall`, `mmu-requests`, `mmu-entries`, `table-pages`, `mmu-spaces`, `mmu`; `segments`, `traps`,
 * `entries`, `cpu`, `apic`, `time`, `shutdown`; `console`, `mapping`, `grants`, `xenstore`, `xenbus-console`, `balloon`,
 * `vcpu-placement`, `suspend`; `install`, `patch`, and last `start`, which puts it together.
 */
export * from './balloon';
export * from './events';
export * from './grants';
export * from './hypercall';
export * from './hypercall-compat';
export * from './multi';
export * from './multicall';
export * from './p2m';
export * from './p2m-tree';
export * from './page';
export * from './page-walk';
export * from './pages';
export * from './start';
export * from './suspend';
export * from './suspend-hooks';
export * from './upcalls';
export * from './vcpu-placement';
export * from './xenbus-console';
export * from './xenstore';
