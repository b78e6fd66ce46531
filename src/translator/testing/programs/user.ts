/** A program for ring 3, for the kernel beside it: prints, computes by a system call, ends. */

@external("machine", "systemCall2") declare function systemCall2(number: u32, a: u64, b: u64): u64;
@external("machine", "systemCall6")
declare function systemCall6(
  number: u32,
  a: u64,
  b: u64,
  c: u64,
  d: u64,
  e: u64,
  f: u64,
): u64;
@external("machine", "systemCall1") declare function systemCall1(number: u32, a: u64): u64;

const line = memory.data(64);

function print(words: string): void {
  for (let i = 0; i < words.length; i++) store<u8>(line + i, load<u16>(changetype<usize>(words) + 2 * i));
  systemCall2(1, line, words.length);
}

export function main(stack: u64): void {
  print('the program runs: ok\n');
  const sum = systemCall6(2, 1, 20, 300, 4000, 50000, 600000);
  print(sum == 654321 ? 'its system calls: ok\n' : 'its system calls: FAILED\n');
  systemCall1(3, 7);
}
