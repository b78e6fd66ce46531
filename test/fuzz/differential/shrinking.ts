/**
 * Makes a failing program small: leaves out pieces, events and whatever else it still fails without, then says in words
 * what is left: the seed, the code, and where the two states differ.
 */
import { Decoder, DecoderOptions, Formatter, FormatterSyntax } from 'iced-x86';
import { type Contender, compare, type Difference, reference } from './comparison.ts';
import { observe, type Schedule } from './observation.ts';
import { assemble, type Program } from './program.ts';

type Fails = (program: Program) => Promise<boolean>;

/** The smallest program found that still fails. */
export async function reduce(program: Program, fails: Fails): Promise<Program> {
  let current = program;
  for (let size = -1; size !== current.pieces.length + current.events.length; ) {
    size = current.pieces.length + current.events.length;
    current = await without(current, 'events', fails);
    current = await without(current, 'pieces', fails);
    for (const simpler of simplifications(current)) if (await fails(simpler)) current = simpler;
  }
  return current;
}

/** The smallest program found that still differs in some way, and how. */
export async function shrink(
  program: Program,
  list: readonly Contender[],
  first: Difference,
): Promise<{ readonly program: Program; readonly difference: Difference }> {
  // The measure itself is not compared again.
  const narrowed = [
    { ...list[0]!, cuts: first.contender === list[0] ? 4 : 0 },
    { ...first.contender, cuts: 4 },
  ];
  let difference = first;
  // One run is enough at best; else those before it, which leave code decoded and compiled, belong to it.
  let cuts = first.history.slice(-1);
  const fails: Fails = async (candidate) => {
    const found = await compare(candidate, narrowed, cuts);
    if (found !== undefined) difference = found;
    return found !== undefined;
  };
  if (!(await fails(program))) cuts = [...first.history];
  if (!(await fails(program))) return { program, difference: first };
  const current = await reduce(program, fails);
  await fails(current);
  return { program: current, difference };
}

/** Leaves out pieces or events, many at once at first. */
async function without(program: Program, what: 'pieces' | 'events', fails: Fails): Promise<Program> {
  let current = program;
  for (let chunk = Math.ceil(current[what].length / 2); chunk >= 1; chunk = Math.floor(chunk / 2)) {
    for (let from = 0; from < current[what].length; ) {
      const rest = [...current[what].slice(0, from), ...current[what].slice(from + chunk)];
      const candidate: Program = { ...current, [what]: rest };
      if ((what === 'events' || rest.length > 0) && (await fails(candidate))) current = candidate;
      else from += chunk;
    }
  }
  return current;
}

function simplifications(program: Program): readonly Program[] {
  return [
    { ...program, inTwin: false },
    { ...program, flags: 0x202 },
    { ...program, mxcsr: 0x1f80 },
    { ...program, control: 0x37f },
    { ...program, offset: 0 },
    { ...program, entry: 0 },
    { ...program, mode: 'long' },
    { ...program, limit: Math.ceil(program.limit / 2) },
    { ...program, limit: program.limit - 1 },
  ];
}

// -------------------------------------------------------------------- in words

/** A failing program for a person. */
export async function report(
  program: Program,
  list: readonly Contender[],
  { contender, history, where, expected, found }: Difference,
): Promise<string> {
  const lines = [
    `${contender.name}, cut ${history.map(({ name, most }) => `${name} (${most})`).join(', then ')}, differs at ${where}:`,
    `  expected ${expected}`,
    `  found    ${found}`,
    ...(await stateDifferences(program, list, contender, history, where)),
    describeProgram(program),
  ];
  return lines.join('\n');
}

/** A program for a person. */
export function describeProgram(program: Program): string {
  const image = assemble(program);
  const { mode, seed, flags, mxcsr, control, limit, offset, entry, inTwin, events } = program;
  const lines = [
    `seed ${seed}, mode ${mode}, offset ${offset}, entry ${entry}${inTwin ? ' in the second mapping' : ''}, ` +
      `flags ${flags.toString(16)}, mxcsr ${mxcsr.toString(16)}, control ${control.toString(16)}, limit ${limit}`,
    ...events.map(({ at, action }) => `  event ${action} after ${at}`),
  ];
  for (const piece of program.pieces) {
    const address = image.addresses.get(piece.number);
    if (address === undefined) continue;
    const part = piece.other ? image.other : image.code;
    const at = address & (piece.other ? 0xfff : 0xffff);
    lines.push(...disassemble(part.subarray(at, at + piece.bytes.length), address, mode, piece.number));
  }
  return lines.join('\n');
}

async function stateDifferences(
  program: Program,
  list: readonly Contender[],
  contender: Contender,
  history: readonly Schedule[],
  where: string,
): Promise<readonly string[]> {
  const image = assemble(program);
  const expected = (await observe(list[0]!.machine, program, image, reference, where)).shown.split(' ');
  let found: string[] = [];
  contender.machine.forget();
  for (const schedule of history) {
    found = (await observe(contender.machine, program, image, schedule, where)).shown.split(' ');
  }
  const known = new Set(expected);
  const names = new Set(found.filter((word) => !known.has(word)).map((word) => word.split('=')[0]!));
  const value = (words: readonly string[], name: string): string =>
    words.find((word) => word.startsWith(`${name}=`))?.split('=')[1] ?? 'nothing';
  return [...names].map(
    (name) => `  ${name}: ${value(expected, name)} expected, ${value(found, name)} found`,
  );
}

function disassemble(bytes: Uint8Array, address: number, mode: string, number: number): string[] {
  const decoder = new Decoder(mode === 'compatibility' ? 32 : 64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  decoder.ip = BigInt(address);
  const lines: string[] = [];
  for (let at = 0; decoder.canDecode; ) {
    const instruction = decoder.decode();
    const hex = Buffer.from(bytes.subarray(at, at + instruction.length)).toString('hex');
    const label = at === 0 ? String(number).padStart(4) : '    ';
    lines.push(
      `${label}  ${(address + at).toString(16)}  ${hex.padEnd(24)} ${formatter.format(instruction)}`,
    );
    at += instruction.length;
    instruction.free();
  }
  decoder.free();
  formatter.free();
  return lines;
}
