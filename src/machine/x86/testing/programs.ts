/** Random programs for tests of the engine, as hex text, and the numbers they are made of. */

/** Numbers below a limit from a seed: a linear congruential generator's upper bits. */
export function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 4294967296) * below);
  };
}

const byte = (n: number): string => (n & 0xff).toString(16).padStart(2, '0');
const word = (n: number): string => [0, 8, 16, 24].map((shift) => byte(n >> shift)).join(' ');
export const lengthOf = (hex: string): number => hex.split(' ').length;

/**
 * Straight code, forward jumps, calls, string instructions and stores, seven times round, then INT3. It wants rbx and
 * rsi to point to 128 bytes of data, rdi to 64, and a stack.
 */
export function randomProgram(seed: number): string {
  const random = numbers(seed);
  const blocks: string[] = [];
  for (let i = 0; i < 30; i++) {
    const a = random(3); // rax, rcx, rdx
    const b = random(3);
    const modrm = byte(0xc0 | (b << 3) | a);
    const choices = [
      `48 01 ${modrm}`, // add
      `48 29 ${modrm}`, // sub
      `0f af ${modrm}`, // imul
      `48 11 ${modrm}`, // adc
      `48 c1 ${byte(0xc0 | a)} 07`, // rol
      `48 89 ${byte(0x43 | (a << 3))} ${byte(random(15) * 8)}`, // mov [rbx+n], reg
      `48 03 ${byte(0x43 | (a << 3))} ${byte(random(15) * 8)}`, // add reg, [rbx+n]
      `7${random(16).toString(16)} 03 48 ff ${byte(0xc0 | a)}`, // jcc over an inc
      '50 5a', // push rax; pop rdx
      `e8 02 00 00 00 eb 04 48 31 ${modrm} c3`, // call; jmp over; xor; ret
      '51 57 b9 05 00 00 00 f3 48 ab 5f 59', // rep stosq: five into [rdi]
      '51 57 56 b9 09 00 00 00 f3 a6 5e 5f 59', // repe cmpsb
      '51 57 56 31 c9 f3 a4 5e 5f 59', // rep movsb of nothing
      `0f 9${random(16).toString(16)} c0`, // setcc al
      '41 b8 03 00 00 00 41 ff c8 75 fb', // mov r8d, 3; again: dec r8d; jnz again
    ];
    blocks.push(choices[random(choices.length)]!);
  }
  const body = blocks.join(' ');
  // mov r15d, 7; body; dec r15d; jnz body; int3
  return `41 bf 07 00 00 00 ${body} 41 ff cf 0f 85 ${word(-(lengthOf(body) + 9))} cc`;
}

/** Pieces of a self-modifying program: their length, and their code for an offset of an immediate from the start. */
const PIECES: readonly (readonly [number, (at: number, random: (below: number) => number) => string])[] = [
  [5, (_, random) => `05 ${word(random(0x7fffffff))}`], // add eax, imm32: what the others rewrite
  [6, (at, random) => `88 83 ${word(at + random(4))}`], // mov [rbx+at], al
  [6, (at) => `89 83 ${word(at)}`], // mov [rbx+at], eax
  [8, (at, random) => `41 00 84 24 ${word(at + random(4))}`], // add [r12+at], al
  [4, () => '0f c8 d1 c0'], // bswap eax; rol eax, 1
  [8, (at, random) => `48 8d bb ${word(at + random(4))} aa`], // lea rdi, [rbx+at]; stosb
  [14, (at) => `48 8d bb ${word(at)} b9 04 00 00 00 f3 aa`], // the same, rep, four times
  [4, () => '75 02 d1 c8'], // jnz over; ror eax, 1
];

/**
 * A program that changes itself twelve times round: it adds up immediates, and stores into the immediates of
 * instructions behind and ahead of it. It wants its own start in rbx, and in r12 another address of the same frames.
 */
export function selfModifyingProgram(seed: number): string {
  const random = numbers(seed);
  const kinds = Array.from({ length: 24 + random(40) }, (_, i) => (i % 3 === 0 ? 0 : random(PIECES.length)));
  const immediates: number[] = [];
  let at = 6;
  for (const kind of kinds) {
    if (kind === 0) immediates.push(at + 1);
    at += PIECES[kind]![0];
  }
  const body = kinds
    .map((kind) => PIECES[kind]![1](immediates[random(immediates.length)]!, random))
    .join(' ');
  // mov r15d, 12; body; dec r15d; jnz body; int3
  return `41 bf 0c 00 00 00 ${body} 41 ff cf 0f 85 ${word(-(lengthOf(body) + 9))} cc`;
}
