/** A page that the program does not lie in, to be mapped in every way. */
import { at, RAX, RDI } from '../../../guest/tiny/assembler.ts';
import type { Program } from '../program.ts';

/** Its address; it is 2 MiB large. */
export const OTHER_PAGE = 0x400000;

/** RDI = address of the entry that maps OTHER_PAGE, in the tables that the program was given. */
export function findOtherEntry(p: Program): void {
  p.raw('0f 20 df 48 8b 3f 48 81 e7 00 f0 ff ff'); // rdi = cr3; rdi = [rdi] & -4096
  p.raw('48 8b 3f 48 81 e7 00 f0 ff ff'); // again
  p.addImmediate(RDI, (OTHER_PAGE / 0x200000) * 8);
}

/** Gives the other page flags in place of those it had. */
export function setOther(p: Program, flags: number, nx = false): void {
  findOtherEntry(p);
  p.movImmediate64(RAX, OTHER_PAGE | flags);
  if (nx) p.raw('48 0f ba e8 3f'); // bts rax, 63
  p.store(at(RDI), RAX);
  p.movImmediate(RDI, OTHER_PAGE);
  p.raw('0f 01 3f'); // invlpg [rdi]
}
export const LARGE = 0x83;
export const LARGE_USER = 0x87;
