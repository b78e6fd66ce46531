/**
 * The "machine" module of guest sources, for tests: what a processor does is done in TypeScript, on the memory of the
 * guest's module and, for far addresses, on pages that a test maps.
 *
 * Registers, ports and MSRs are plain fields; what only makes sense on a processor (a switch of stacks, entry stubs)
 * raises an error or has a made-up address. A test replaces any instruction through `on`, by its import's name.
 */

/** A value that crosses between a guest and JavaScript: i32 as number, i64 as bigint. */
type Value = number | bigint;
// biome-ignore lint/suspicious/noConfusingVoidType: an import that gives nothing
type Instruction = (...operands: never[]) => Value | void;

const PAGE_BYTES = 4096;
/** Where the operation table's slots lie in a guest under test, below its data. */
const OPERATION_SLOTS = 0x8000;
/** Made-up machine addresses of entry stubs. */
const FIRST_STUB = 0xffffffffe0000000n;
const FLAG_INTERRUPT = 0x200n;

/** An access to an address at which nothing is mapped. */
export class MachineFault extends Error {
  override readonly name = 'MachineFault';
  readonly address: bigint;

  constructor(address: bigint) {
    super(`expected mapped memory at 0x${BigInt.asUintN(64, address).toString(16)}, found nothing`);
    this.address = address;
  }
}

export interface TestMachineOptions {
  readonly wordBits?: 32 | 64 | undefined;
  /** What a hypercall does; without it a hypercall is an error. Arguments as unsigned numbers. */
  readonly hypercall?: ((number: number, operands: readonly bigint[]) => bigint | number) | undefined;
  /** Replacements by the name of the import, such as `hlt` or `inb`. */
  readonly on?: Readonly<Record<string, Instruction>> | undefined;
}

export class TestMachine {
  /** The guest's memory; there once it is instantiated. */
  memory!: WebAssembly.Memory;
  /** The guest's table of functions. */
  table: WebAssembly.Table | undefined;
  /** Names of the privileged instructions that the guest executed, in order, such as `cli` or `writeCr3`. */
  readonly executed: string[] = [];
  readonly ports = new Map<number, number>();
  readonly msrs = new Map<number, bigint>();
  /** cr0, cr2, cr3, cr4. */
  readonly control = new Map<string, bigint>();
  flags = FLAG_INTERRUPT;
  /** What RDTSC gives next; it counts its reads. */
  tsc = 0n;

  private readonly options: TestMachineOptions;
  /** Far memory by its page number. */
  private readonly pages = new Map<bigint, Uint8Array>();
  private readonly operations: string[] = [];
  private readonly stubs = new Map<string, bigint>();

  constructor(options: TestMachineOptions = {}) {
    this.options = options;
  }

  /** Maps zeroed pages at a far address, so that `load64` and its like reach them. */
  map(address: bigint, bytes = PAGE_BYTES): void {
    const first = BigInt.asUintN(64, address) / BigInt(PAGE_BYTES);
    for (let i = 0n; i < BigInt(Math.ceil(bytes / PAGE_BYTES)); i++) {
      if (!this.pages.has(first + i)) this.pages.set(first + i, new Uint8Array(PAGE_BYTES));
    }
  }

  /** Takes far pages away again. */
  unmap(address: bigint): void {
    this.pages.delete(BigInt.asUintN(64, address) / BigInt(PAGE_BYTES));
  }

  /** Reads `bytes` bytes at any address, little-endian. Raises MachineFault where nothing is mapped. */
  read(address: bigint, bytes: number): bigint {
    let value = 0n;
    for (let i = bytes - 1; i >= 0; i--) {
      const { memory, offset } = this.place(address + BigInt(i));
      value = (value << 8n) | BigInt(memory[offset]!);
    }
    return value;
  }

  /** Writes `bytes` bytes at any address. Raises MachineFault, and writes nothing, where nothing is mapped. */
  write(address: bigint, bytes: number, value: bigint): void {
    const places = Array.from({ length: bytes }, (_, i) => this.place(address + BigInt(i)));
    places.forEach(({ memory, offset }, i) => {
      memory[offset] = Number((value >> BigInt(8 * i)) & 0xffn);
    });
  }

  /** The address of an operation's slot in the guest's memory: a machine word with a function's index. */
  slotOf(operation: string): number {
    let index = this.operations.indexOf(operation);
    if (index < 0) index = this.operations.push(operation) - 1;
    return OPERATION_SLOTS + 8 * index;
  }

  /** What a module imports, each import by what it is. */
  importsFor(module: WebAssembly.Module): WebAssembly.Imports {
    const imports: Record<string, Record<string, Instruction>> = {};
    for (const { module: from, name } of WebAssembly.Module.imports(module)) {
      imports[from] ??= {};
      imports[from][name] = this.importOf(from, name);
    }
    return imports;
  }

  private importOf(from: string, name: string): Instruction {
    if (from === 'machine') return this.instruction(name);
    if (from === 'operation.slot') return () => this.slotOf(name);
    if (/^operation(\.room\d+)?$/.test(from)) return (...operands) => this.callOperation(name, operands);
    if (from.startsWith('entry.')) return () => this.stub(`${from} ${name}`);
    // Parts that a guest under test does not have are empty; what is read of them lies on the first, unused page.
    if (from === 'image') return () => this.options.on?.[`image.${name}`]?.() ?? 0;
    throw new Error(
      `expected an import from "machine", "operation", "entry" or "image", found ${from}.${name}`,
    );
  }

  private callOperation(name: string, operands: readonly never[]): Value | undefined {
    const index = Number(this.read(BigInt(this.slotOf(name)), 4));
    if (index === 0) throw new Error(`expected operation ${name} to be set before it is called`);
    return this.table!.get(index)(...operands);
  }

  private stub(name: string): bigint {
    let address = this.stubs.get(name);
    if (address === undefined) {
      address = FIRST_STUB + BigInt(this.stubs.size) * 0x1000n;
      this.stubs.set(name, address);
    }
    return address;
  }

  private instruction(name: string): Instruction {
    const given = this.options.on?.[name] ?? this.memoryInstructions[name] ?? this.plainInstructions[name];
    if (given !== undefined) return given;
    const found = this.privileged[name];
    return (...operands) => {
      this.executed.push(name);
      if (found === undefined)
        throw new Error(`expected the test to say what ${name} does (option "on"), found nothing`);
      return found(...operands);
    };
  }

  private place(address: bigint): { memory: Uint8Array; offset: number } {
    const width = this.options.wordBits ?? 64;
    const far = BigInt.asUintN(width, address);
    if (far < this.memory.buffer.byteLength) {
      return { memory: new Uint8Array(this.memory.buffer), offset: Number(far) };
    }
    const memory = this.pages.get(far / BigInt(PAGE_BYTES));
    if (memory === undefined) throw new MachineFault(address);
    return { memory, offset: Number(far % BigInt(PAGE_BYTES)) };
  }

  /** 0, or 1 if `access` faults. */
  private probe(access: () => void): number {
    try {
      access();
      return 0;
    } catch (error) {
      if (error instanceof MachineFault) return 1;
      throw error;
    }
  }

  private exchange(address: bigint, bytes: number, change: (old: bigint) => bigint): bigint {
    const old = this.read(address, bytes);
    this.write(address, bytes, BigInt.asUintN(8 * bytes, change(old)));
    return old;
  }

  private bit(address: bigint, bit: number, value: bigint): number {
    const at = BigInt(bit & 7);
    const old = this.exchange(address + BigInt(bit >>> 3), 1, (byte) => (byte & ~(1n << at)) | (value << at));
    return Number((old >> at) & 1n);
  }

  private copyBytes(to: bigint, from: bigint, bytes: bigint): void {
    for (let i = 0n; i < bytes; i++) this.write(to + i, 1, this.read(from + i, 1));
  }

  private readonly memoryInstructions: Readonly<Record<string, Instruction>> = {
    load8: (address: bigint) => Number(this.read(address, 1)),
    load16: (address: bigint) => Number(this.read(address, 2)),
    load32: (address: bigint) => Number(this.read(address, 4)) | 0,
    load64: (address: bigint) => this.read(address, 8),
    store8: (address: bigint, value: number) => this.write(address, 1, BigInt(value)),
    store16: (address: bigint, value: number) => this.write(address, 2, BigInt(value)),
    store32: (address: bigint, value: number) => this.write(address, 4, BigInt(value)),
    store64: (address: bigint, value: bigint) => this.write(address, 8, value),
    probeLoad32: (address: bigint, into: number) =>
      this.probe(() => this.write(BigInt(into >>> 0), 4, this.read(address, 4))),
    probeLoad64: (address: bigint, into: number) =>
      this.probe(() => this.write(BigInt(into >>> 0), 8, this.read(address, 8))),
    probeStore64: (address: bigint, value: bigint) => this.probe(() => this.write(address, 8, value)),
    probeCopy: (to: bigint, from: bigint, bytes: bigint) => {
      let left = bytes;
      this.probe(() => {
        for (; left > 0n; left--) this.copyBytes(to + bytes - left, from + bytes - left, 1n);
      });
      return left;
    },
    copy: (to: bigint, from: bigint, bytes: bigint) => this.copyBytes(to, from, bytes),
    fill: (to: bigint, value: number, bytes: bigint) => {
      for (let i = 0n; i < bytes; i++) this.write(to + i, 1, BigInt(value & 0xff));
    },
    compareExchange64: (address: bigint, expected: bigint, desired: bigint) =>
      this.exchange(address, 8, (old) => (old === BigInt.asUintN(64, expected) ? desired : old)),
    compareExchange32: (address: bigint, expected: number, desired: number) =>
      Number(this.exchange(address, 4, (old) => (old === BigInt(expected >>> 0) ? BigInt(desired) : old))) |
      0,
    exchange8: (address: bigint, value: number) => Number(this.exchange(address, 1, () => BigInt(value))),
    exchange32: (address: bigint, value: number) =>
      Number(this.exchange(address, 4, () => BigInt(value))) | 0,
    exchange64: (address: bigint, value: bigint) => this.exchange(address, 8, () => value),
    lockOr8: (address: bigint, value: number) => {
      this.exchange(address, 1, (old) => old | BigInt(value & 0xff));
    },
    lockAnd8: (address: bigint, value: number) => {
      this.exchange(address, 1, (old) => old & BigInt(value & 0xff));
    },
    lockSetBit: (address: bigint, bit: number) => this.bit(address, bit, 1n),
    lockClearBit: (address: bigint, bit: number) => this.bit(address, bit, 0n),
    increment64: (pointer: number) => {
      this.exchange(BigInt(pointer >>> 0), 8, (old) => old + 1n);
    },
    fence: () => {},
  };

  /** What a program in ring 3 might do as well. */
  private readonly plainInstructions: Readonly<Record<string, Instruction>> = {
    functionAddress: (index: number) => BigInt(index),
    taskEntry: () => this.stub('taskEntry'),
    xenInterruptReturn: () => this.stub('xenInterruptReturn'),
    nativeInterruptReturn: () => this.stub('nativeInterruptReturn'),
    pause: () => {},
    rdtsc: () => this.tsc++,
    multiplyHigh: (a: bigint, b: bigint) => (BigInt.asUintN(64, a) * BigInt.asUintN(64, b)) >> 64n,
    divideWide: (high: bigint, low: bigint, divisor: bigint) =>
      ((BigInt.asUintN(64, high) << 64n) | BigInt.asUintN(64, low)) / BigInt.asUintN(64, divisor),
    ...Object.fromEntries(
      [0, 1, 2, 3, 4, 5].map((count): [string, Instruction] => [
        `hypercall${count}`,
        (number: number, ...operands: bigint[]) => this.hypercall(number, operands),
      ]),
    ),
  };

  private hypercall(number: number, operands: readonly bigint[]): bigint {
    const { hypercall, wordBits = 64 } = this.options;
    if (hypercall === undefined)
      throw new Error(`expected the test to answer hypercalls, found number ${number}`);
    return BigInt(
      hypercall(
        number,
        operands.map((operand) => BigInt.asUintN(wordBits, operand)),
      ),
    );
  }

  private readonly privileged: Readonly<Record<string, Instruction>> = {
    ...Object.fromEntries(
      ['Cr0', 'Cr2', 'Cr3', 'Cr4'].flatMap((name): [string, Instruction][] => [
        [`read${name}`, () => this.control.get(name.toLowerCase()) ?? 0n],
        [
          `write${name}`,
          (value: bigint) => void this.control.set(name.toLowerCase(), BigInt.asUintN(64, value)),
        ],
      ]),
    ),
    ...Object.fromEntries(
      ['b', 'w', 'l'].flatMap((size): [string, Instruction][] => [
        [`in${size}`, (port: number) => this.ports.get(port) ?? 0xff],
        [`out${size}`, (port: number, value: number) => void this.ports.set(port, value)],
      ]),
    ),
    rdmsr: (register: number) => this.msrs.get(register >>> 0) ?? 0n,
    wrmsr: (register: number, value: bigint) => void this.msrs.set(register >>> 0, BigInt.asUintN(64, value)),
    cli: () => {
      this.flags &= ~FLAG_INTERRUPT;
    },
    sti: () => {
      this.flags |= FLAG_INTERRUPT;
    },
    readFlags: () => this.flags,
    writeFlags: (value: bigint) => {
      this.flags = BigInt.asUintN(64, value);
    },
    ...Object.fromEntries(
      ['clts', 'invlpg', 'wbinvd', 'lgdt', 'lidt', 'ltr', 'lldt', 'swapgs', 'fninit'].map(
        (name): [string, Instruction] => [name, () => {}],
      ),
    ),
  };
}
