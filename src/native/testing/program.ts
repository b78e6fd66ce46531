/**
 * Programs for the bare machine: the tiny guest's assembler with the system instructions, a console and a trap handler that
 * tells what it saw.
 *
 * A program is a transcript of experiments. Each says its name, does something, and whatever exception comes of it is
 * printed in one line; then the next one begins with a fresh stack:
 *
 *     # an unmapped page
 *     v=0e e=0000 cs=0010 ss=0018 fl=00010002 cr2=0000008000000000 ip=read+0
 *
 * What it prints does not depend on where it is loaded or on the machine's speed, so that the same program can be run on
 * another machine and compared.
 */
import { Assembler, at, Condition, R8, RAX, RCX, RDI, RDX, RSI, RSP } from '../../guest/tiny/assembler.ts';

/** Selectors of the program's GDT. */
export const Selector = {
  code: 0x10,
  data: 0x18,
  user32: 0x23,
  userData: 0x2b,
  user: 0x33,
  task: 0x38,
  local: 0x48,
  absent: 0x58,
  conforming: 0x60,
  code32: 0x68,
  busyTask: 0x70,
} as const;

/** Offsets of the state of the last trap, from the label `seen`. */
const PAGE = 4096;
/** A TSS, and 32 bytes behind it. */
const TSS_LIMIT = 0x87;
export const STACK_BYTES = 4096;
const EXCEPTIONS_WITH_CODE = [8, 10, 11, 12, 13, 14, 17];
const VECTORS = 256;
const STUB_BYTES = 16;

/** Gate types. */
export const INTERRUPT_GATE = 0x8e;
export const TRAP_GATE = 0x8f;

export class Program extends Assembler {
  private names = 0;

  /** Bytes in hex. */
  raw(hex: string): void {
    for (const text of hex.trim().split(/\s+/)) this.ascii(String.fromCharCode(Number.parseInt(text, 16)));
  }

  /** A label of its own. */
  fresh(): string {
    return `local${this.names++}`;
  }

  /* OUT DX, AL */
  out8(port: number, value: number): void {
    this.movImmediate(RDX, port);
    this.movImmediate(RAX, value);
    this.raw('ee');
  }
  /* IN AL, DX; the rest of RAX is zero */
  in8(port: number): void {
    this.movImmediate(RDX, port);
    this.clear(RAX);
    this.raw('ec');
  }
  /* WRMSR */
  writeMsr(msr: number, low: number, high = 0): void {
    this.movImmediate(RCX, msr | 0);
    this.movImmediate(RAX, low | 0);
    this.movImmediate(RDX, high | 0);
    this.raw('0f 30');
  }
  /* RDMSR, the whole value in RAX */
  readMsr(msr: number): void {
    this.movImmediate(RCX, msr | 0);
    this.raw('0f 32');
    this.shiftLeft(RDX, 32);
    this.raw('89 c0 48 09 d0'); // mov eax, eax; or rax, rdx
  }

  // -------------------------------------------------------------- printing

  /** Prints a text that is known when the program is assembled. */
  say(text: string): void {
    const over = this.fresh();
    const here = this.fresh();
    this.jump(over);
    this.label(here);
    this.ascii(`${text}\0`);
    this.label(over);
    this.lea(RSI, here);
    this.call('print');
  }

  /** Prints the low `digits` hexadecimal digits of RAX. */
  sayHex(digits: number): void {
    this.movImmediate(RCX, digits);
    this.call('print_hex');
  }

  /** Prints ` name=` and the value of RAX. */
  sayValue(name: string, digits = 16): void {
    this.push(RAX);
    this.say(` ${name}=`);
    this.pop(RAX);
    this.sayHex(digits);
  }

  newline(): void {
    this.say('\n');
  }

  /**
   * One experiment: its name, then what `body` does. An exception is printed and ends it; otherwise its last words are
   * `ok` and what it has printed.
   */
  experiment(name: string, body: () => void): void {
    const end = this.fresh();
    this.say(`# ${name}\n`);
    this.lea(RAX, end);
    this.store('resume', RAX);
    body();
    this.say(' ok\n');
    this.label(end);
    this.raw('fa'); // cli
    this.lea(RSP, 'stack_top');
    this.movImmediate(RAX, Selector.data);
    this.raw('8e d0 8e d8 8e c0'); // ss, ds, es
  }

  // -------------------------------------------------------------- tables

  /** Writes the gate of a vector: the handler at a label, by default the one that tells. */
  setGate(
    vector: number,
    { label = 'stubs', type = INTERRUPT_GATE, ist = 0, selector = Selector.code as number } = {},
  ): void {
    this.lea(RAX, label);
    if (label === 'stubs') this.addImmediate(RAX, vector * STUB_BYTES);
    this.lea(RDI, 'idt');
    this.addImmediate(RDI, vector * 16);
    this.movImmediate(RCX, selector);
    this.movImmediate(RDX, (type << 8) | ist);
    this.call('write_gate');
  }

  /** Enters ring 3 at a label with the user's stack; `flags` are RFLAGS. */
  enterUser(label: string, flags = 0x202, code: number = Selector.user): void {
    this.movImmediate(RAX, Selector.userData);
    this.push(RAX);
    this.lea(RAX, 'user_stack_top');
    this.push(RAX);
    this.movImmediate(RAX, flags);
    this.push(RAX);
    this.movImmediate(RAX, code);
    this.push(RAX);
    this.lea(RAX, label);
    this.push(RAX);
    this.raw('48 cf'); // iretq
  }

  /** Code that runs in ring 3; it ends in an exception. */
  user(body: () => void, flags?: number): void {
    const here = this.fresh();
    const over = this.fresh();
    this.enterUser(here, flags);
    this.label(here);
    body();
    this.raw('0f 0b');
    this.label(over);
  }

  // -------------------------------------------------------------- what every program begins and ends with

  /** From the boot protocol to tables of our own. */
  prologue(): void {
    this.label('start');
    this.raw('fc'); // cld
    this.lea(RSP, 'stack_top');
    this.store('boot_params', RSI);
    // Firmware may have left its timer running.
    this.out8(0x21, 0xff);
    this.out8(0xa1, 0xff);
    // The IDT: every vector to its stub.
    this.lea(RAX, 'stubs');
    this.lea(RDI, 'idt');
    this.movImmediate(R8, VECTORS);
    this.label('fill_idt');
    this.movImmediate(RCX, Selector.code);
    this.movImmediate(RDX, INTERRUPT_GATE << 8);
    this.call('write_gate');
    this.addImmediate(RAX, STUB_BYTES);
    this.subtractImmediate(R8, 1);
    this.jumpIf(Condition.notEqual, 'fill_idt');
    // Descriptors that hold addresses.
    this.lea(RAX, 'tss');
    this.lea(RDI, 'gdt');
    this.movImmediate(RDX, TSS_LIMIT);
    this.addImmediate(RDI, Selector.task);
    this.movImmediate(RCX, 0x89);
    this.call('write_system_descriptor');
    this.lea(RAX, 'ldt');
    this.lea(RDI, 'gdt');
    this.movImmediate(RDX, 15);
    this.addImmediate(RDI, Selector.local);
    this.movImmediate(RCX, 0x82);
    this.call('write_system_descriptor');
    this.lea(RAX, 'gdt');
    this.store('gdt_register_base', RAX);
    this.lea(RAX, 'idt');
    this.store('idt_register_base', RAX);
    this.lea(RDI, 'gdt_register');
    this.raw('0f 01 17'); // lgdt [rdi]
    this.lea(RDI, 'idt_register');
    this.raw('0f 01 1f'); // lidt [rdi]
    this.lea(RDI, 'tss');
    this.lea(RAX, 'trap_stack_top');
    this.store(at(RDI, 4), RAX);
    this.lea(RAX, 'ist_stack_top');
    this.store(at(RDI, 36), RAX);
    this.movImmediate(RAX, Selector.task);
    this.raw('0f 00 d8'); // ltr ax
    // The pages of the program are the user's, too.
    this.raw('0f 20 df'); // mov rdi, cr3
    for (let level = 0; level < 3; level++) {
      this.raw('48 81 e7 00 f0 ff ff'); // and rdi, -4096
      this.load(RAX, at(RDI));
      this.orImmediate(RAX, 4);
      this.store(at(RDI), RAX);
      this.mov(RDI, RAX);
    }
    this.raw('0f 20 d8 0f 22 d8'); // cr3 again
  }

  /** Routines, stubs and data; `powerOff` is where control ends. */
  epilogue(): void {
    this.label('power_off');
    this.movImmediate(RDX, 0x604);
    this.movImmediate(RAX, 0x2000);
    this.raw('66 ef'); // out dx, ax
    this.label('stop');
    this.raw('fa f4');
    this.jump('stop');
    this.routines();
    this.handler();
    this.align(STUB_BYTES);
    this.label('stubs');
    for (let vector = 0; vector < VECTORS; vector++) {
      this.align(STUB_BYTES, 0x90);
      if (!EXCEPTIONS_WITH_CODE.includes(vector)) this.pushImmediate(0);
      this.raw('68'); // push imm32
      this.raw([vector, 0, 0, 0].map((byte) => byte.toString(16)).join(' '));
      this.jump('trap');
    }
    this.align(STUB_BYTES);
    this.tables();
  }

  private routines(): void {
    // write_gate: RDI the gate, RAX the handler, RCX the selector, RDX type and IST (bits 32–47). RDI moves on.
    this.label('write_gate');
    this.raw('66 89 07'); // mov [rdi], ax
    this.raw('66 89 4f 02'); // mov [rdi+2], cx
    this.raw('66 89 57 04'); // mov [rdi+4], dx
    this.raw('49 89 c1 49 c1 e9 10'); // mov r9, rax; shr r9, 16
    this.raw('66 44 89 4f 06'); // mov [rdi+6], r9w
    this.raw('49 c1 e9 10 4c 89 4f 08'); // shr r9, 16; mov [rdi+8], r9
    this.raw('48 83 c7 10'); // add rdi, 16
    this.ret();

    // write_system_descriptor: RDI where, RAX the base, RDX the limit, CL access.
    this.label('write_system_descriptor');
    this.raw('66 89 17'); // mov [rdi], dx
    this.raw('66 89 47 02'); // mov [rdi+2], ax
    this.raw('49 89 c1 49 c1 e9 10'); // r9 = rax >> 16
    this.raw('44 88 4f 04'); // mov [rdi+4], r9b
    this.raw('88 4f 05'); // mov [rdi+5], cl
    this.raw('c6 47 06 00'); // mov byte [rdi+6], 0
    this.raw('49 c1 e9 08 44 88 4f 07'); // shr r9, 8; mov [rdi+7], r9b
    this.raw('49 c1 e9 08 4c 89 4f 08'); // shr r9, 8; mov [rdi+8], r9
    this.ret();

    // print: the text at RSI. RAX and RDX are lost.
    this.label('print');
    this.load8(RAX, at(RSI));
    this.compareImmediate(RAX, 0);
    this.jumpIf(Condition.equal, 'printed');
    this.call('put');
    this.addImmediate(RSI, 1);
    this.jump('print');
    this.label('printed');
    this.ret();

    // put: AL on the serial port, once it takes a byte.
    this.label('put');
    this.push(RAX);
    this.label('put_wait');
    this.movImmediate(RDX, 0x3fd);
    this.raw('ec a8 20'); // in al, dx; test al, 0x20
    this.jumpIf(Condition.equal, 'put_wait');
    this.pop(RAX);
    this.movImmediate(RDX, 0x3f8);
    this.raw('ee');
    this.ret();

    // print_hex: the low RCX digits of RAX.
    this.label('print_hex');
    this.mov(R8, RAX);
    this.raw('48 c1 e1 02'); // shl rcx, 2
    this.raw('49 d3 c8'); // ror r8, cl
    this.label('hex_digit');
    this.raw('49 c1 c0 04'); // rol r8, 4
    this.raw('44 89 c0 83 e0 0f'); // mov eax, r8d; and eax, 15
    this.raw('3c 0a 72 02 04 27 04 30'); // cmp al, 10; jb +2; add al, 39; add al, '0'
    this.call('put');
    this.subtractImmediate(RCX, 4);
    this.jumpIf(Condition.notEqual, 'hex_digit');
    this.ret();
  }

  /** Prints a trap and goes on at `resume`. On the stack: vector, error code, RIP, CS, RFLAGS, RSP, SS. */
  private handler(): void {
    this.label('trap');
    this.raw('fc'); // cld
    this.mov(15, RSP);
    const field = (name: string, words: number, digits: number): void => {
      this.load(RAX, at(15, words * 8));
      this.sayValue(name, digits);
    };
    field('v', 0, 2);
    field('e', 1, 4);
    field('cs', 3, 4);
    field('ss', 6, 4);
    field('fl', 4, 8);
    this.raw('0f 20 d0'); // mov rax, cr2
    this.sayValue('cr2');
    // Which stack we are on, as a distance from its top.
    for (const name of ['stack_top', 'trap_stack_top', 'ist_stack_top']) {
      const no = this.fresh();
      this.lea(RAX, name);
      this.subtract(RAX, 15);
      this.mov(RCX, RAX);
      this.shiftRight(RCX, 12);
      this.compareImmediate(RCX, 0);
      this.jumpIf(Condition.notEqual, no);
      this.sayValue(name.replace(/_top$/, ''), 3);
      this.label(no);
    }
    // Where, as a distance from the mark that the experiment left.
    this.load(RAX, at(15, 16));
    this.load(RCX, 'mark');
    this.subtract(RAX, RCX);
    this.sayValue('ip', 4);
    this.newline();
    this.load(RAX, 'resume');
    this.raw('ff e0'); // jmp rax
  }

  /** Remembers the next address, for the trap that it shall cause. */
  mark(): void {
    const here = this.fresh();
    this.push(RAX);
    this.lea(RAX, here);
    this.store('mark', RAX);
    this.pop(RAX);
    this.label(here);
  }

  /** The same without a stack. */
  mark0(): void {
    const here = this.fresh();
    this.lea(RDI, here);
    this.exchange('mark', RDI);
    this.label(here);
  }

  private tables(): void {
    const word = (low: number, high: number) => this.raw([low, high].flatMap(littleEndian).join(' '));
    this.align(16);
    this.label('gdt');
    word(0, 0);
    word(0, 0);
    word(0xffff, 0x00af9b00); // code
    word(0xffff, 0x00cf9300); // data
    word(0xffff, 0x00cffb00); // user32
    word(0xffff, 0x00cff300); // userData
    word(0xffff, 0x00affb00); // user
    word(0, 0); // task
    word(0, 0);
    word(0, 0); // local
    word(0, 0);
    word(0xffff, 0x00af1b00); // absent
    word(0xffff, 0x00af9f00); // conforming
    word(0xffff, 0x00cf9b00); // code32
    word(0x0067, 0x00008b00); // busyTask
    word(0, 0);
    this.label('gdt_end');
    this.label('ldt');
    word(0xffff, 0x00cff300);
    word(0xffff, 0x00cf9300);
    this.label('gdt_register');
    this.raw('7f 00');
    this.label('gdt_register_base');
    word(0, 0);
    this.label('idt_register');
    this.raw('ff 0f');
    this.label('idt_register_base');
    word(0, 0);
    this.align(16);
    this.label('mark');
    word(0, 0);
    this.label('resume');
    word(0, 0);
    this.label('boot_params');
    word(0, 0);
    this.label('scratch');
    for (let i = 0; i < 8; i++) word(0, 0);
    this.align(PAGE);
    this.label('idt');
    this.reserve(PAGE);
    this.label('tss');
    this.reserve(102);
    this.raw('88 00'); // the I/O map begins beyond the limit
    this.reserve(PAGE - 104);
    for (const name of ['stack', 'trap_stack', 'ist_stack', 'user_stack']) {
      this.reserve(STACK_BYTES);
      this.label(`${name}_top`);
      this.reserve(16);
      this.align(PAGE);
    }
  }
}

function littleEndian(value: number): string[] {
  return [0, 8, 16, 24].map((shift) => ((value >>> shift) & 0xff).toString(16));
}

/** A whole program: prologue, experiments, power-off. */
export function assembleProgram(experiments: (p: Program) => void): Program {
  const program = new Program();
  program.prologue();
  experiments(program);
  program.jump('power_off');
  program.epilogue();
  return program;
}
