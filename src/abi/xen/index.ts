/**
 * The Xen public interface as data: what a guest and its host must agree on, and nothing that either of them
 * does.
 *
 * - `numbers/`: hypercalls, commands, flags, errors.
 * - `structures/`: what lies in shared memory, each described once.
 * - `layout.ts`: how a description becomes offsets, for 32-bit and for 64-bit guests; `view.ts`: access by
 *   field name.
 * - `hypercall-table.ts`: the whole interface as a list, for names and for the coverage table;
 *   `hypercall-arguments.ts`: what each call takes, for traces.
 * - `vectors/`: what a C compiler says of the public headers, and how it was asked. The test compares.
 */
export * from './hypercall-arguments.ts';
export * from './hypercall-table.ts';
export type { Abi, CType, Field, Layout, Structure } from './layout.ts';
export * from './numbers/index.ts';
export * from './structures/index.ts';
export * from './view.ts';
