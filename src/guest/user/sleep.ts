/** Waits so many milliseconds. */
import { exit, numberArgument, sleep } from './library';

export function main(stack: u64): void {
  sleep(numberArgument(stack, 1, 1000) * 1000000);
  exit(0);
}
