/** Asks for so many MiB, writes to each page, and looks whether all of it is still there. */
import { exit, map, numberArgument, print, printNumber } from './library';

const PAGE: usize = 4096;

export function main(stack: u64): void {
  const mebibytes = numberArgument(stack, 1, 1);
  const start = map(mebibytes << 20);
  if (start < 0) {
    print('no such memory\n');
    exit(1);
  }
  const end = <usize>start + ((<usize>mebibytes) << 20);
  for (let at = <usize>start; at < end; at += PAGE) store<usize>(at, at);
  for (let at = <usize>start; at < end; at += PAGE) if (load<usize>(at) !== at) exit(2);
  printNumber(mebibytes);
  print(' MiB are well\n');
  exit(0);
}
