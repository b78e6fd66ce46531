/** A list of experiments: code of a program, which says their names. */
import type { Program } from '../program.ts';

export type Experiments = (p: Program) => void;
