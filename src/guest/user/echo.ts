/** Says every line that is typed; an empty one ends it. */
import { exit, print, read, write } from './library';

const line: usize = memory.data(128);

export function main(_stack: u64): void {
  print('echo: an empty line ends it\n');
  for (;;) {
    const bytes = read(line, 128);
    if (bytes < 0) {
      print('echo: cannot read here\n');
      exit(1);
    }
    if (bytes === 1) exit(0);
    write(line, <usize>bytes);
  }
}
