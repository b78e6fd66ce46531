/** Debian's kernels, the main job: Linux 6.1. */
import { testStockKernel } from './stock-kernel.ts';

await testStockKernel('debian:6.1');
