/**
 * The paravirtual operations as a kernel sees them: `operations.ts` to call, `handlers.ts` to be called, `info.ts` to know
 * where one is, `address-space.ts` for what both sides hold. `lazy.ts`, `slots.ts` and `patch.ts` are for back ends.
 */
export * from './address-space';
export * from './handlers';
export * from './info';
export * from './lazy';
export * from './operations';
