/**
 * Runs the records of a form through the engine and hashes what comes out, word by word in the order of `generate.c`.
 */

import {
  CPU,
  CPU_EFER,
  CPU_FPU_CONTROL,
  CPU_FPU_EMPTY,
  CPU_FPU_STATUS,
  CPU_FPU_TOP,
  CPU_MXCSR,
  CPU_PAGING,
  CPU_REGS,
  CPU_X87,
  CPU_XMM,
  PAGING_LONG,
  PAGING_NX,
  PAGING_ON,
  PAGING_WRITE_PROTECT,
  PF_PRESENT,
  PF_USER,
  PF_WRITE,
  PTE_PRESENT,
  PTE_USER,
  PTE_WRITE,
} from '../../layout.ts';
import { MachineMemory } from '../../memory.ts';
import { parseDescriptor } from '../descriptor.ts';
import { Engine, type EngineKind } from '../engine.ts';
import { Exit } from '../exits.ts';
import { CS, RSP, VECTOR_PF } from '../registers.ts';
import {
  CODE,
  CODE_LIMIT,
  CODE_PAGE,
  codeTemplate,
  definedFlags,
  drawInputs,
  type Form,
  forgetPointers,
  formLine,
  Hash,
  MIDDLE,
  Registers,
  WINDOW,
  WINDOW_WORDS,
} from './inputs.ts';
import { seed } from './random.ts';
import { readDescriptor } from './segments.ts';

export const RECORDS = 200;
export const SHOWN = 2;
const GROUP = 10;
/** No instruction of a vector retires more; a `rep` counts each of its iterations. */
const BUDGET = 200;

/** What the processor answered to a form's records. */
export interface Answer {
  /** Over all records. */
  readonly hash: string;
  /** Four digits for each ten records. */
  readonly groups: string;
  /** The words of the first outcomes that differ from the inputs: ` name=hex …`. */
  readonly shown: readonly string[];
}

/**
 * How memory is mapped while records run. `flat`: no paging. `absent` and `read-only`: the two pages of the data window
 * are so at first; a page fault mends the page at fault and the instruction is tried again, as a kernel would do it.
 */
export type Mapping = 'flat' | 'absent' | 'read-only';

const FIRST_PAGE = MIDDLE - 4096;
const ROOT_FRAME = 1000;
const TABLE_FRAME = ROOT_FRAME + 3;
const PAGE_SIZE = 4096;
const READ_ONLY = PTE_PRESENT | PTE_USER;
const WRITABLE = READ_ONLY | PTE_WRITE;

type Visit = (name: string, index: number, now: number, before: number) => void;

/** Maps a page to the frame of the same number. */
function setEntry(engine: Engine, page: number, rights: number): void {
  engine.memory.write64(TABLE_FRAME * PAGE_SIZE + (page / PAGE_SIZE) * 8, page | rights, 0);
  engine.invalidatePage(page);
}

export class Replay {
  private readonly engine: Engine;
  private readonly memory: MachineMemory;
  private readonly inputs = new Registers();
  private readonly outputs = new Registers();
  private readonly mapping: Mapping;
  private outcome = 0;
  private rip = 0;
  private error = 0;
  /** RIP at the start of a record: the code lies at a fixed linear address. */
  private codeOffset = CODE;
  /** Page faults that were mended. */
  faults = 0;

  private constructor(engine: Engine, mapping: Mapping) {
    this.engine = engine;
    this.memory = engine.memory;
    this.mapping = mapping;
  }

  static async create(mapping: Mapping = 'flat', kind: EngineKind = 'interpreter'): Promise<Replay> {
    const memory = new MachineMemory({ frames: 1024 });
    const engine = await Engine.create(memory, { kind, hooks: { readDescriptor } });
    memory.fill(CODE_PAGE, 0xcc, 4096);
    engine.cpu.cr0 = 0x50033;
    engine.cpu.cr4 = 0x6b0;
    engine.cpu.set(CPU_EFER, 0xd01, 0);
    engine.cpu.cpl = 3;
    if (mapping !== 'flat') {
      for (let i = 0; i < 3; i++) {
        memory.write64((ROOT_FRAME + i) * PAGE_SIZE, ((ROOT_FRAME + i + 1) * PAGE_SIZE) | WRITABLE, 0);
      }
      memory.u32[(CPU + CPU_PAGING) >> 2] = PAGING_ON | PAGING_LONG | PAGING_NX | PAGING_WRITE_PROTECT;
      engine.loadRoot(ROOT_FRAME * PAGE_SIZE);
      for (let page = 0; page < 512; page++) setEntry(engine, page * PAGE_SIZE, WRITABLE);
    }
    return new Replay(engine, mapping);
  }

  /** Runs a form's records. `see`, if given, gets the differences between each record's outcome and its inputs. */
  run(form: Form, records = RECORDS, see?: (record: number, text: string) => void): Answer {
    const total = new Hash();
    let group = new Hash();
    let groups = '';
    const shown: string[] = [];
    const template = codeTemplate(form);
    seed(formLine(form));
    this.inputs.general.fill(0);
    const fixedCode = !template.includes(-1);
    for (let record = 0; record < records; record++) {
      drawInputs(form, template, this.inputs);
      const { segments, selectors } = this.inputs;
      segments.set(selectors);
      if (record === 0 || form.fixups.startsWith('G') || form.limits !== undefined) this.loadSegments();
      this.load(form, !fixedCode || record === 0);
      this.execute(form);
      this.eachWord(form, (_name, _index, now) => {
        total.word(now);
        group.word(now);
      });
      if (record < SHOWN || see !== undefined) {
        let text = '';
        this.eachWord(form, (name, index, now, before) => {
          if ((now | 0) !== (before | 0))
            text += ` ${name}${index < 0 ? '' : index}=${(now >>> 0).toString(16)}`;
        });
        if (record < SHOWN) shown.push(text);
        see?.(record, text);
      }
      if (record % GROUP === GROUP - 1) {
        groups += (group.a & 0xffff).toString(16).padStart(4, '0');
        group = new Hash();
      }
    }
    return { hash: total.text, groups, shown };
  }

  /** The inputs of a record in words, for a person. */
  describe(form: Form, record: number): string {
    seed(formLine(form));
    this.inputs.general.fill(0);
    const template = codeTemplate(form);
    for (let i = 0; i <= record; i++) drawInputs(form, template, this.inputs);
    const { general, flags, code, codeLength, mxcsr, control, status, tags } = this.inputs;
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    const names = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
    const registers = names.map((n, i) => `${n}=${hex(general[i * 2 + 1]!)}${hex(general[i * 2]!)}`);
    const bytes = [...code.subarray(0, codeLength)].map((b) => b.toString(16).padStart(2, '0')).join(' ');
    const fpu =
      form.fpu === '--' ? '' : ` mxcsr=${hex(mxcsr)} fcw=${hex(control)} fsw=${hex(status)} ftw=${hex(tags)}`;
    return `code ${bytes}; ${registers.join(' ')} flags=${hex(flags)}${fpu}`;
  }

  /** The segments that the record asks for: null, or as a descriptor of `segments.ts` says. */
  private loadSegments(): void {
    const { cpu } = this.engine;
    for (let segment = 0; segment < 6; segment++) {
      const selector = this.inputs.selectors[segment]!;
      const words = readDescriptor(selector);
      if ((selector & 0xfffc) === 0 || words === undefined) cpu.setSegment(segment, 0, 0, 0, 0);
      else {
        const { attributes, limit, base } = parseDescriptor(words.low, words.high);
        cpu.setSegment(segment, selector, attributes, limit, base);
      }
    }
    this.codeOffset = CODE - cpu.segmentBase(CS);
  }

  private load(form: Form, withCode: boolean): void {
    const { inputs, memory, engine } = this;
    const { i32, u8, view } = memory;
    if (withCode) {
      const bytes = new Uint8Array(CODE_LIMIT + 16).fill(0xcc);
      bytes.set(inputs.code.subarray(0, inputs.codeLength));
      memory.writeBytes(CODE, bytes);
    }
    i32.set(inputs.general, (CPU + CPU_REGS) >> 2);
    engine.cpu.rflags = inputs.flags | 0x202;
    engine.cpu.rip = this.codeOffset;
    i32.set(inputs.memory, (memory.framesBase + WINDOW) >> 2);
    if (this.mapping !== 'flat') {
      for (const page of [FIRST_PAGE, MIDDLE])
        setEntry(engine, page, this.mapping === 'absent' ? 0 : READ_ONLY);
    }
    if (form.fpu[0] !== '-') {
      i32.set(inputs.xmm, (CPU + CPU_XMM) >> 2);
      i32[(CPU + CPU_MXCSR) >> 2] = inputs.mxcsr;
    }
    if (form.fpu[1] === '-') return;
    const top = (inputs.status >> 11) & 7;
    view.setUint16(CPU + CPU_FPU_CONTROL, inputs.control, true);
    view.setUint16(CPU + CPU_FPU_STATUS, inputs.status & ~0x3800, true);
    view.setUint32(CPU + CPU_FPU_TOP, top, true);
    u8[CPU + CPU_FPU_EMPTY] = ~inputs.tags;
    for (let i = 0; i < 8; i++) {
      const at = CPU + CPU_X87 + ((top + i) & 7) * 16;
      view.setInt32(at, inputs.x87[3 * i]!, true);
      view.setInt32(at + 4, inputs.x87[3 * i + 1]!, true);
      view.setUint16(at + 8, inputs.x87[3 * i + 2]!, true);
    }
  }

  /** Makes the page at fault what the access wants; false if it is not of the window, or was so already. */
  private mend(): boolean {
    const { cpu } = this.engine;
    const page = Math.floor(cpu.exitAddress / PAGE_SIZE) * PAGE_SIZE;
    if (page !== FIRST_PAGE && page !== MIDDLE) return false;
    const wanted = this.mapping === 'absent' ? PF_USER : PF_USER | PF_PRESENT | PF_WRITE;
    if ((cpu.exitError & ~(this.mapping === 'absent' ? PF_WRITE : 0)) !== wanted) return false;
    this.faults++;
    setEntry(this.engine, page, WRITABLE);
    return true;
  }

  private execute(form: Form): void {
    const { engine, outputs, memory, inputs } = this;
    const { cpu } = engine;
    const { i32, u8, view } = memory;
    let exit = engine.run(BUDGET);
    while (exit === Exit.Exception && cpu.exitVector === VECTOR_PF && this.mend()) exit = engine.run(BUDGET);
    this.outcome = exit === Exit.Exception || exit === Exit.Interrupt ? cpu.exitVector : 0x100 + exit;
    this.error = exit === Exit.Exception ? cpu.exitError : 0;
    this.rip = (cpu.rip - this.codeOffset) | 0;
    outputs.general.set(i32.subarray((CPU + CPU_REGS) >> 2, ((CPU + CPU_REGS) >> 2) + 32));
    if (form.fixups.startsWith('G')) this.takeSegments(form, exit);
    outputs.flags = cpu.rflags & definedFlags(form, inputs);
    const window = (memory.framesBase + WINDOW) >> 2;
    outputs.memory.set(i32.subarray(window, window + WINDOW_WORDS));
    forgetPointers(form, outputs.memory);
    if (form.fpu[0] !== '-') {
      outputs.xmm.set(i32.subarray((CPU + CPU_XMM) >> 2, ((CPU + CPU_XMM) >> 2) + 64));
      outputs.mxcsr = i32[(CPU + CPU_MXCSR) >> 2]!;
    }
    if (form.fpu[1] === '-') return;
    const top = view.getUint32(CPU + CPU_FPU_TOP, true) & 7;
    outputs.control = view.getUint16(CPU + CPU_FPU_CONTROL, true);
    outputs.status = ((view.getUint16(CPU + CPU_FPU_STATUS, true) & ~0x3800) | (top << 11)) & form.status;
    outputs.tags = ~u8[CPU + CPU_FPU_EMPTY]! & 0xff;
    for (let i = 0; i < 8; i++) {
      const at = CPU + CPU_X87 + ((top + i) & 7) * 16;
      outputs.x87[3 * i] = view.getInt32(at, true);
      outputs.x87[3 * i + 1] = view.getInt32(at + 4, true);
      outputs.x87[3 * i + 2] = view.getUint16(at + 8, true);
    }
  }

  /** Selectors and the error code, as a signal's context shows them. */
  private takeSegments(form: Form, exit: Exit): void {
    const { engine, outputs } = this;
    const { cpu } = engine;
    // A return from the kernel leaves null selectors zero.
    for (let segment = 0; segment < 6; segment++) {
      const selector = cpu.selector(segment);
      outputs.segments[segment] = (selector & 0xfffc) === 0 ? 0 : selector;
    }
    outputs.segments[6] = exit === Exit.Exception ? cpu.exitError : 0;
    // What compatibility mode leaves in the upper half of RSP is lost when a signal is delivered.
    if (form.long && cpu.selector(CS) !== 0x33) outputs.general[2 * RSP + 1] = 0;
  }

  private eachWord(form: Form, visit: Visit): void {
    const { inputs, outputs } = this;
    visit('outcome', -1, this.outcome, 3);
    visit('rip', -1, this.rip, 0);
    if (form.limits !== undefined) visit('error', -1, this.error, 0);
    for (let n = 0; n < (form.long ? 16 : 8); n++) {
      visit('r', 2 * n, outputs.general[2 * n]!, inputs.general[2 * n]!);
      if (form.long) visit('r', 2 * n + 1, outputs.general[2 * n + 1]!, inputs.general[2 * n + 1]!);
    }
    visit('flags', -1, outputs.flags, inputs.flags & definedFlags(form, inputs));
    for (let i = 0; i < WINDOW_WORDS; i++) visit('m', i, outputs.memory[i]!, inputs.memory[i]!);
    if (form.fixups.startsWith('G')) {
      for (let i = 0; i < 7; i++) visit('seg', i, outputs.segments[i]!, inputs.segments[i]!);
    }
    if (form.fpu[0] !== '-') {
      for (let i = 0; i < (form.long ? 64 : 32); i++) visit('x', i, outputs.xmm[i]!, inputs.xmm[i]!);
      visit('mxcsr', -1, outputs.mxcsr, inputs.mxcsr);
    }
    if (form.fpu[1] === '-') return;
    for (let i = 0; i < 24; i++) visit('st', i, outputs.x87[i]!, inputs.x87[i]!);
    visit('fcw', -1, outputs.control, inputs.control);
    visit('fsw', -1, outputs.status, inputs.status & form.status);
    visit('ftw', -1, outputs.tags, inputs.tags);
  }
}
