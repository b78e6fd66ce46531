/** Debian's kernels, newer entry code: Linux 6.12. */
import { testStockKernel } from './stock-kernel.ts';

await testStockKernel('debian:6.12');
