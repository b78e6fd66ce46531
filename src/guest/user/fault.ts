/** Touches what is not its own. */
import { exit, print } from './library';

export function main(_stack: u64): void {
  print('reading address 8\n');
  load<u64>(8);
  exit(0);
}
