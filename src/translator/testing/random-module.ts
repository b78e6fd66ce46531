/**
 * Random WebAssembly modules for differential tests: integers, nested control flow, memory, globals, calls direct and
 * through the table. They end, they do not trap, and what they print does not depend on where their memory lies, so
 * that one seed gives the same words in Node, on a processor and in our engine.
 *
 * Every function takes eight parameters and gives an i64. `main` calls each several times, mixes the results into a
 * hash, prints it in hexadecimal after each function, and exits. (WebAssembly core specification, chapter 5.)
 */
import { ByteWriter } from '../../wasm/bytes.ts';
import {
  codeEntry,
  constant,
  constantHalves,
  exported,
  I32,
  I64,
  imported,
  nativeAddress,
  part,
  section,
  signature,
  unsigned,
} from './module-bytes.ts';
import {
  BodyWriter,
  CORNERS,
  FIRST,
  FUEL_LEFT,
  FUNCTIONS,
  HASH,
  PARAMETERS,
  SCRATCH_BYTES,
} from './random-body.ts';
import { RandomNumbers } from './random-numbers.ts';

export interface RandomModuleOptions {
  readonly seed: number;
  /** Where the module's memory may be touched: SCRATCH_BYTES from here. */
  readonly dataBase: number;
  /** How `main` prints and ends: Linux's write and exit, or Xen's console_io and sched_op. */
  readonly host: 'linux' | 'xen';
}

/** Behind the scratch memory: a line of output and an argument. */
const LINE = SCRATCH_BYTES + 64;
const LINE_BYTES = 17;
const ARGUMENT = LINE + 32;
const DATA_BYTES = LINE + 64;

const CALLS_EACH = 3;
const FUEL = 4000;

/** Indices of the imports, and of the function that prints. */
const WRITE = 0;
const EXIT = 1;
const PRINT = 2;

/** The module's bytes. */
export function randomModule(options: RandomModuleOptions): Uint8Array {
  return new ModuleWriter(options).module();
}

class ModuleWriter {
  private readonly options: RandomModuleOptions;
  private readonly random: RandomNumbers;

  constructor(options: RandomModuleOptions) {
    this.options = options;
    this.random = new RandomNumbers(options.seed);
  }

  module(): Uint8Array {
    const { dataBase, host } = this.options;
    const bytes = new ByteWriter();
    bytes.append(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
    const systemCall = host === 'linux' ? 'systemCall' : 'hypercall';
    section(bytes, 1, [
      signature([I32, I64, I64, I64], [I64]),
      signature([I32, I64, I64], [I64]),
      signature([], []),
      signature(PARAMETERS, [I64]),
      signature([I64], []),
      signature([], [I32]),
    ]);
    section(bytes, 2, [imported(`${systemCall}3`, 0), imported(`${systemCall}2`, 1)]);
    section(
      bytes,
      3,
      [2, ...Array<number>(FUNCTIONS).fill(3), 4, 5].map((type) => unsigned(type)),
    );
    section(bytes, 4, [Uint8Array.of(0x70, 0, FUNCTIONS + 1)]);
    section(bytes, 5, [
      part((w) => {
        w.byte(0);
        w.unsigned(Math.ceil((dataBase + DATA_BYTES) / 65536));
      }),
    ]);
    section(bytes, 6, [Uint8Array.of(I64, 1, 0x42, 7, 0x0b), Uint8Array.of(I32, 1, 0x41, 0, 0x0b)]);
    const main = FIRST + FUNCTIONS;
    section(bytes, 7, [
      exported('main', 0, main),
      exported('__image_data_end', 0, main + 1),
      exported('memory', 2, 0),
    ]);
    section(bytes, 9, [
      part((w) => {
        w.append(Uint8Array.of(0, 0x41, 1, 0x0b));
        w.unsigned(FUNCTIONS);
        for (let i = 0; i < FUNCTIONS; i++) w.unsigned(FIRST + i);
      }),
    ]);
    const bodies = Array.from({ length: FUNCTIONS }, (_, i) =>
      new BodyWriter(this.random, dataBase, i).body(),
    );
    section(bytes, 10, [this.print(), ...bodies, this.main(), this.dataEnd()]);
    return bytes.take();
  }

  /** Prints the hash as 16 digits and a new line. */
  private print(): Uint8Array {
    const { dataBase, host } = this.options;
    return codeEntry([I32, I32], (w) => {
      w.append(Uint8Array.of(0x03, 0x40)); // loop
      // store8(dataBase + LINE + i, digit) where digit = (hash >> (60 - 4 i)) & 15, plus 48, or plus 87 from ten on
      constant(w, I32, dataBase + LINE);
      w.append(Uint8Array.of(0x20, 0, 0x6a));
      w.append(
        Uint8Array.of(0x23, HASH, 0x42, 60, 0x20, 0, 0x41, 2, 0x74, 0xad, 0x7d, 0x88, 0x42, 15, 0x83, 0xa7),
      );
      w.append(Uint8Array.of(0x22, 1, 0x41, 48, 0x6a)); // tee; + 48
      w.append(Uint8Array.of(0x41, 39, 0x41, 0, 0x20, 1, 0x41, 9, 0x4b, 0x1b, 0x6a)); // + (digit > 9 ? 39 : 0)
      w.append(Uint8Array.of(0x3a, 0, 0)); // i32.store8
      w.append(Uint8Array.of(0x20, 0, 0x41, 1, 0x6a, 0x22, 0, 0x41, 16, 0x48, 0x0d, 0, 0x0b)); // ++i < 16
      constant(w, I32, dataBase + LINE + 16);
      w.append(Uint8Array.of(0x41, 10, 0x3a, 0, 0));
      if (host === 'linux') {
        w.append(Uint8Array.of(0x41, 1, 0x42, 1)); // write(1, …)
        nativeAddress(w, dataBase + LINE);
        constant(w, I64, LINE_BYTES);
      } else {
        w.append(Uint8Array.of(0x41, 18, 0x42, 0)); // console_io(CONSOLEIO_write, …)
        constant(w, I64, LINE_BYTES);
        nativeAddress(w, dataBase + LINE);
      }
      w.append(Uint8Array.of(0x10, WRITE, 0x1a));
    });
  }

  private main(): Uint8Array {
    const { random } = this;
    const { dataBase, host } = this.options;
    return codeEntry([], (w) => {
      for (let i = 0; i < FUNCTIONS; i++) {
        for (let k = 0; k < CALLS_EACH; k++) {
          constant(w, I32, FUEL);
          w.append(Uint8Array.of(0x24, FUEL_LEFT));
          w.append(Uint8Array.of(0x23, HASH, 0x42, 9, 0x89)); // hash rotated by 9
          for (const type of PARAMETERS) constant(w, type, random.pick([...CORNERS, random.next()]));
          w.byte(0x10);
          w.unsigned(FIRST + i);
          w.append(Uint8Array.of(0x85)); // xor
          constantHalves(w, 0x07bb0142, 0x6c62272e);
          w.append(Uint8Array.of(0x7e, 0x24, HASH)); // times
        }
        w.append(Uint8Array.of(0x10, PRINT));
      }
      if (host === 'linux') {
        w.append(Uint8Array.of(0x41, (231 & 0x7f) | 0x80, 1, 0x42, 0, 0x42, 0)); // exit_group(0)
      } else {
        w.append(Uint8Array.of(0x41, 29, 0x42, 2)); // sched_op(SCHEDOP_shutdown, &SHUTDOWN_poweroff)
        nativeAddress(w, dataBase + ARGUMENT);
      }
      w.append(Uint8Array.of(0x10, EXIT, 0x1a));
    });
  }

  private dataEnd(): Uint8Array {
    return codeEntry([], (w) => constant(w, I32, this.options.dataBase + DATA_BYTES));
  }
}
