/** The machine as guest code sees it: what becomes an instruction, a stub, or a place of the image. docs/guest.md. */
export * from './exception-table';
export * from './hypercall';
export * from './image';
export * from './memory';
export * from './operations';
export * from './processor';
export * from './stack';
export * from './symbols';
export * from './trap-frame';
