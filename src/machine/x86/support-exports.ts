/** What the support module (`../assembly`) exports that TypeScript calls. */

import type { HostAddress } from '../memory.ts';

/** Functions of `../assembly/paging.ts`; virtual addresses as halves, banks and pages as host addresses. */
export interface SupportExports {
  /** The host address of a byte for one of ACCESS_*, 0 if that faults; the exception is then noted. */
  translate(low: number, high: number, access: number): HostAddress;
  setCodePage(low: number, high: number, codePage: HostAddress): void;
  invalidatePage(low: number, high: number): void;
  emptyBank(bank: HostAddress): void;
  forbidInlineWrites(page: HostAddress, banks: number): void;
  forgetCode(codePage: HostAddress, banks: number): void;
}

export const ACCESS_READ = 0;
export const ACCESS_WRITE = 1;
export const ACCESS_FETCH = 2;
