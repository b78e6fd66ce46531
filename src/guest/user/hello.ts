/** Says its words, and who it is. */
import { argumentCount, exit, print, printArgument } from './library';

export function main(stack: u64): void {
  print('hello from a program;');
  for (let i: u64 = 0; i < argumentCount(stack); i++) {
    print(' ');
    printArgument(stack, i);
  }
  print('\n');
  exit(0);
}
