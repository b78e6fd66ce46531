/**
 * The support module: what generated WebAssembly calls rather than contains. Compiled by scripts/build-support.mjs.
 */

export * from './crc32';
export * from './flags';
export * from './float/sse-approximate';
export * from './float/sse-arithmetic';
export * from './float/sse-convert';
export * from './float/sse-state';
export * from './float/x87-arctangent';
export * from './float/x87-arithmetic';
export * from './float/x87-convert';
export * from './float/x87-exponential';
export * from './float/x87-scale';
export * from './float/x87-state';
export * from './float/x87-trigonometry';
export * from './float-lanes';
export * from './fpu-image';
export * from './integer';
export * from './paging';
export * from './string-compare';
export * from './x87';
