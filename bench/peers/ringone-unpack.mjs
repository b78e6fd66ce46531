/**
 * Unpacks a kernel and says how many seconds that took, in a process that has just started, as it is when a guest
 * boots.
 *
 *     node ringone-unpack.mjs KERNEL
 */
import { readFileSync } from 'node:fs';
import { loadKernelImage } from '../../dist/toolstack/images/index.js';

const [kernel] = process.argv.slice(2);
const image = readFileSync(kernel);
const start = performance.now();
await loadKernelImage(image, 'kernel');
console.log((performance.now() - start) / 1000);
