/** Parents and children: what a fork shares until somebody writes, what a child becomes, how it ends. */
import { execute, exit, fork, map, print, printNumber, unmap, wait } from './library';

const PAGES: u64 = 64;
const HELLO: usize = memory.data<u8>([0x68, 0x65, 0x6c, 0x6c, 0x6f, 0]);
let word: u64 = 1;

/** Writes to each page of a mapping, and adds up what stood there before. */
function visit(at: usize, value: u64): u64 {
  let sum: u64 = 0;
  for (let i: usize = 0; i < <usize>PAGES; i++) {
    sum += load<u64>(at + i * 4096);
    store<u64>(at + i * 4096, value);
  }
  return sum;
}

function say(who: string, value: u64): void {
  print(who);
  printNumber(value);
  print('\n');
}

export function main(_stack: u64): void {
  const at = <usize>map(PAGES * 4096);
  say('zeros: ', visit(at, 1));
  const child = fork();
  if (child === 0) {
    word = 2;
    say('child finds: ', visit(at, 3));
    say('and has: ', word + visit(at, 0));
    exit(7);
  }
  say('child ended: ', <u64>wait(child));
  say('parent still has: ', word + visit(at, 0));
  unmap(<u64>at, PAGES * 4096);
  const other = fork();
  if (other === 0) {
    execute(HELLO, HELLO);
    exit(1);
  }
  say('the other ended: ', <u64>wait(other));
  exit(0);
}
