/** The words of a line: where each begins. They stand one behind the other, each with a zero at its end. */

export const MOST_WORDS: u32 = 16;
const room: usize = memory.data(130);
const starts: usize = memory.data(16 * 4, 4);
export let wordCount: u32 = 0;

/** Takes a line (less than 128 characters and a zero) apart at its spaces. False: it has more than MOST_WORDS. */
export function splitWords(line: usize): bool {
  wordCount = 0;
  let used: usize = 0;
  let inWord = false;
  for (let i: usize = 0; ; i++) {
    const byte = load<u8>(line + i);
    if (byte !== 0 && byte !== 0x20) {
      if (!inWord) {
        if (wordCount === MOST_WORDS) return false;
        store<usize>(starts + wordCount++ * 4, room + used);
      }
      inWord = true;
      store<u8>(room + used++, byte);
      continue;
    }
    if (inWord) store<u8>(room + used++, 0);
    inWord = false;
    if (byte === 0) break;
  }
  return true;
}

/** The word at `index`, which must be there. */
export function argument(index: u32): usize {
  return load<usize>(starts + index * 4);
}

/** The word as a number of base 10 or 16; all ones if it is none, or not there. */
export function numberArgument(index: u32, base: u64): u64 {
  if (index >= wordCount) return ~(<u64>0);
  let value: u64 = 0;
  for (let at = argument(index); load<u8>(at) !== 0; at++) {
    const digit = digitOf(load<u8>(at));
    if (digit >= base) return ~(<u64>0);
    value = value * base + digit;
  }
  return value;
}

function digitOf(byte: u32): u64 {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : 99;
}
