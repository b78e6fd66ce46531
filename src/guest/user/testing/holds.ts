/** Holds so many pages; takes so many more, gives them back, and waits to be ended. */
import { exit, map, numberArgument, print, sleep, unmap } from '../library';

const PAGE: u64 = 4096;

function touch(start: i64, pages: u64): void {
  for (let i: u64 = 0; i < pages; i++) store<u64>(<usize>start + <usize>(i * PAGE), i);
}

export function main(stack: u64): void {
  const kept = numberArgument(stack, 1, 1);
  const more = numberArgument(stack, 2, 1);
  touch(map(kept * PAGE), kept);
  const start = map(more * PAGE);
  touch(start, more);
  unmap(<u64>start, more * PAGE);
  print('held\n');
  sleep(1000000000000);
  exit(0);
}
