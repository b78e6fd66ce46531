/** Debian's kernels, the default of `npm start`: Linux 6.1 for clouds. */
import { testStockKernel } from './stock-kernel.ts';

await testStockKernel('debian:cloud');
