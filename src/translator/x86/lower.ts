/**
 * A function of the intermediate form in x86-64 instructions, its values where the allocator has put them.
 *
 * Blocks come out in their order, and a jump to the next one is none. What stops the program stands behind the last
 * block, an UD2 for each reason, and has a name in the symbol table that says the reason.
 */
import { type Allocation, allocate, type Location } from '../ir/allocator.ts';
import { operationSymbol } from '../ir/imports.ts';
import {
  type Block,
  type Callee,
  type Condition,
  type Instruction,
  type IrFunction,
  negated,
  type Operand,
  type Register,
  type Terminator,
  type TrapKind,
} from '../ir/instruction.ts';
import { analyseLiveness, isLiveAtEntry } from '../ir/liveness.ts';
import { simplify } from '../ir/simplify.ts';
import { Alu, Assembler } from './assembler.ts';
import { compare } from './conditions.ts';
import type { Label } from './encoder.ts';
import { Frame } from './frame.ts';
import { ArithmeticLowering } from './lower-arithmetic.ts';
import type { CodeMark } from './marks.ts';
import { orderMoves } from './moves.ts';
import { Operands, sizeOf } from './operands.ts';
import { callShape, registerFile } from './register-file.ts';
import { Cc, type Gpr, RAX } from './registers.ts';
import { isRoutine, routineSymbol } from './routines.ts';
import { FUNCTION_TABLE, SEQUENCES } from './sequences.ts';
import { SCRATCH, type Target } from './target.ts';

/** Up to as many targets, a switch compares one after the other. */
const MOST_COMPARISONS = 3;
/** CALL m of an absolute address: FF 14 25 and four bytes. */
const OPERATION_CALL_BYTES = 7;

/** Compiles one function. `tableLength`: entries of the module's table. */
export function lowerFunction(ir: IrFunction, target: Target, tableLength: number): Assembler<CodeMark> {
  return new FunctionLowering(ir, target, tableLength).lower();
}

class FunctionLowering {
  private readonly a: Assembler<CodeMark>;
  private readonly ir: IrFunction;
  private readonly target: Target;
  private readonly tableLength: number;
  private readonly frame: Frame;
  private readonly operands: Operands;
  private readonly arithmetic: ArithmeticLowering;
  private readonly labels: ReadonlyMap<Block, Label>;
  /** The others' places may be somebody else's at the start. */
  private readonly liveParameters: ReadonlySet<Register>;
  private readonly traps = new Map<TrapKind, Label>();
  private readonly tables: { readonly label: Label; readonly targets: readonly Block[] }[] = [];

  constructor(ir: IrFunction, target: Target, tableLength: number) {
    const liveness = analyseLiveness(ir);
    const allocation = allocate(ir, liveness, registerFile(target));
    this.liveParameters = new Set(ir.parameters.filter((parameter) => isLiveAtEntry(liveness, parameter)));
    this.a = new Assembler(64);
    this.ir = withoutIdleCopies(ir, allocation);
    this.target = target;
    this.tableLength = tableLength;
    this.frame = new Frame(this.a, target, allocation, needsFrame(ir));
    this.operands = new Operands(this.a, target, allocation, this.frame);
    this.arithmetic = new ArithmeticLowering(this.a, this.operands);
    this.labels = new Map(this.ir.blocks.map((block) => [block, this.a.label()]));
  }

  lower(): Assembler<CodeMark> {
    this.frame.enter();
    this.takeParameters();
    for (const [i, block] of this.ir.blocks.entries()) {
      this.a.place(this.labels.get(block)!);
      for (const instruction of block.instructions) this.instruction(instruction);
      this.end(block.end, this.ir.blocks[i + 1]);
    }
    for (const [kind, label] of this.traps) {
      this.a.place(label);
      this.a.mark({ kind: 'symbol', name: `${this.ir.symbol}: ${kind}` });
      this.a.undefined();
    }
    for (const { label, targets } of this.tables) {
      this.a.place(label);
      for (const block of targets) this.a.addressOfLabel(this.labels.get(block)!);
    }
    return this.a;
  }

  /** From where the convention has them to where the allocator wants them. Those to memory first: they free registers. */
  private takeParameters(): void {
    const { a, operands, target } = this;
    const moves: { to: Gpr; from: Gpr }[] = [];
    const late: (() => void)[] = [];
    this.ir.parameters.forEach((parameter, i) => {
      const to = operands.place(parameter);
      const from = target.parameters[i];
      if (to === undefined || !this.liveParameters.has(parameter)) return;
      if (from === undefined) {
        const memory = this.frame.stackParameter(i - target.parameters.length);
        late.push(() => operands.result(parameter, RAX, (to) => a.load(sizeOf(parameter.type), to, memory)));
      } else if (typeof to === 'number') {
        moves.push({ to, from });
      } else {
        a.store(sizeOf(parameter.type), to, from);
      }
    });
    this.moveRegisters(moves);
    for (const load of late) load();
  }

  private moveRegisters(moves: readonly { to: Gpr; from: Gpr }[]): void {
    for (const move of orderMoves(moves)) {
      if (move.kind === 'move') this.a.load(8, move.to, move.from);
      else this.a.exchange(8, move.left, move.right);
    }
  }

  private instruction(instruction: Instruction): void {
    const { a, operands } = this;
    switch (instruction.op) {
      case 'copy':
        this.copy(instruction.to, instruction.from);
        return;
      case 'binary':
        this.arithmetic.binary(instruction);
        return;
      case 'unary':
        this.arithmetic.unary(instruction);
        return;
      case 'compare': {
        a.setIf(compare(a, operands, instruction.condition), RAX);
        operands.result(instruction.to, RAX, (register) => a.loadZeroExtended(1, register, RAX));
        return;
      }
      case 'select':
        this.select(instruction);
        return;
      case 'load': {
        const { to, place, signed } = instruction;
        const memory = operands.memory(place);
        operands.result(to, RAX, (register) => {
          if (signed) a.loadSignExtended(place.bytes, sizeOf(to.type), register, memory);
          else a.loadZeroExtended(place.bytes, register, memory);
        });
        return;
      }
      case 'store': {
        const { place, value } = instruction;
        const immediate = operands.immediate(value);
        if (immediate !== undefined) {
          a.storeImmediate(place.bytes, operands.memory(place), immediate);
          return;
        }
        const from = operands.inRegister(value, RAX);
        a.store(place.bytes, operands.memory(place), from);
        return;
      }
      case 'call':
        this.call(instruction);
        return;
    }
  }

  private copy(to: Register, from: Operand): void {
    const { a, operands } = this;
    const immediate = operands.immediate(from);
    const place = operands.place(to);
    if (place === undefined) return;
    if (immediate !== undefined && typeof place !== 'number') {
      a.storeImmediate(sizeOf(to.type), place, immediate);
      return;
    }
    if (typeof place === 'number') operands.bring(place, from);
    else operands.keep(to, operands.inRegister(from, RAX));
  }

  /** The flags are set first; nothing in between may change them. */
  private select({ to, condition, whenTrue, whenFalse }: Instruction & { op: 'select' }): void {
    const { a, operands } = this;
    const size = sizeOf(to.type);
    const code = compare(a, operands, condition);
    const own = operands.registerOf(to);
    const register = own === undefined || own === operands.registerOf(whenTrue) ? RAX : own;
    operands.bring(register, whenFalse, true);
    let from = operands.registerOf(whenTrue);
    if (from === undefined) {
      operands.bring(SCRATCH, whenTrue, true);
      from = SCRATCH;
    }
    a.moveIf(code, size, register, from);
    operands.keep(to, register);
  }

  // Calls

  private call({ callee, operands, to }: Instruction & { op: 'call' }): void {
    const { a } = this;
    const { registers } = callShape(callee, this.target);
    if (callee.kind === 'table') this.checkTable(callee);
    const inRegisters = operands.slice(0, registers.length);
    const onStack = operands.slice(registers.length);
    // The address of a table's function waits in R11, which no operand is in.
    for (const operand of [...onStack].reverse()) {
      a.push(this.operands.inRegister(operand, RAX));
      this.frame.notePush();
    }
    this.placeOperands(inRegisters, registers);
    this.transfer(callee);
    this.frame.dropPushed();
    if (to !== undefined) this.operands.keep(to, RAX);
  }

  /** Registers first, in an order that loses nothing; then what comes from memory or is constant. */
  private placeOperands(operands: readonly Operand[], registers: readonly Gpr[]): void {
    const moves: { to: Gpr; from: Gpr }[] = [];
    const late: (() => void)[] = [];
    operands.forEach((operand, i) => {
      const to = registers[i]!;
      const from = this.operands.registerOf(operand);
      if (from !== undefined) moves.push({ to, from });
      else late.push(() => this.operands.bring(to, operand));
    });
    this.moveRegisters(moves);
    for (const bring of late) bring();
  }

  private transfer(callee: Callee): void {
    const { a } = this;
    switch (callee.kind) {
      case 'function':
        a.call(callee.symbol);
        return;
      case 'table':
        a.callTo(SCRATCH);
        return;
      case 'machine':
        if (isRoutine(callee.name)) {
          a.call(routineSymbol(callee.name));
          return;
        }
        SEQUENCES[callee.name]!.emit(a, this.target);
        return;
      case 'operation': {
        const slot = operationSymbol(callee.name);
        const bytes = Math.max(callee.room, OPERATION_CALL_BYTES);
        const clobbers = this.target.callerSaved.reduce((mask, register) => mask | (1 << register), 0);
        a.mark({ kind: 'patchSite', slot, bytes, clobbers });
        a.callTo({ displacement: 0, symbol: slot });
        a.nops(bytes - OPERATION_CALL_BYTES);
        return;
      }
    }
  }

  /** Leaves the address of the function in R11, or stops the program. */
  private checkTable({ index, type }: Callee & { kind: 'table' }): void {
    const { a, operands } = this;
    operands.bring(SCRATCH, index);
    a.aluImmediate(Alu.cmp, 4, SCRATCH, this.tableLength);
    a.jumpIf(Cc.aboveOrEqual, this.trap('undefined table element'));
    const entry = (displacement: number) =>
      ({ index: SCRATCH, scale: 8, displacement, symbol: FUNCTION_TABLE }) as const;
    a.aluImmediate(Alu.cmp, 4, entry(0), type);
    a.jumpIf(Cc.notEqual, this.trap('indirect call of another type'));
    a.loadSignExtended(4, 8, SCRATCH, entry(4));
  }

  // Ends of blocks

  private end(end: Terminator, next: Block | undefined): void {
    switch (end.op) {
      case 'jump':
        this.jump(end.target, next);
        return;
      case 'branch':
        this.branch(end.condition, end.whenTrue, end.whenFalse, next);
        return;
      case 'switch':
        this.switch(end, next);
        return;
      case 'return':
        if (end.value !== undefined) this.operands.bring(RAX, end.value);
        this.frame.leave();
        return;
      case 'trap':
        this.a.jump(this.trap(end.trap));
        return;
    }
  }

  private jump(target: Block, next: Block | undefined): void {
    if (target !== next) this.a.jump(this.labels.get(target)!);
  }

  private branch(condition: Condition, whenTrue: Block, whenFalse: Block, next: Block | undefined): void {
    const inverted = whenTrue === next;
    const code = compare(this.a, this.operands, inverted ? negated(condition) : condition);
    this.a.jumpIf(code, this.labels.get(inverted ? whenFalse : whenTrue)!);
    if (!inverted) this.jump(whenFalse, next);
  }

  private switch(
    { index, targets, otherwise }: Terminator & { op: 'switch' },
    next: Block | undefined,
  ): void {
    const { a, operands } = this;
    const register = operands.inRegister(index, SCRATCH);
    if (targets.length <= MOST_COMPARISONS) {
      targets.forEach((target, i) => {
        a.aluImmediate(Alu.cmp, 4, register, i);
        a.jumpIf(Cc.equal, this.labels.get(target)!);
      });
      this.jump(otherwise, next);
      return;
    }
    a.aluImmediate(Alu.cmp, 4, register, targets.length);
    a.jumpIf(Cc.aboveOrEqual, this.labels.get(otherwise)!);
    const label = a.label();
    this.tables.push({ label, targets });
    a.jumpThroughTable(register, label);
  }

  private trap(kind: TrapKind): Label {
    const known = this.traps.get(kind);
    if (known !== undefined) return known;
    const label = this.a.label();
    this.traps.set(kind, label);
    return label;
  }
}

/** The function without copies from a place to itself, and without the blocks that had nothing else. */
function withoutIdleCopies(ir: IrFunction, { locations }: Allocation): IrFunction {
  for (const block of ir.blocks) {
    block.instructions = block.instructions.filter(
      (instruction) =>
        instruction.op !== 'copy' ||
        instruction.from.kind !== 'register' ||
        locations[instruction.from.id] === undefined ||
        !sameLocation(locations[instruction.from.id], locations[instruction.to.id]),
    );
  }
  return simplify(ir);
}

/** Whether a function needs a frame of its own: it calls somebody, which most functions of the machine are not, or asks for it. */
function needsFrame({ blocks }: IrFunction): boolean {
  return blocks.some(({ instructions }) =>
    instructions.some((instruction) => {
      if (instruction.op !== 'call') return false;
      const { callee } = instruction;
      return callee.kind !== 'machine' || isRoutine(callee.name) || callee.name === 'framePointer';
    }),
  );
}

function sameLocation(left: Location | undefined, right: Location | undefined): boolean {
  if (left?.kind === 'register') return right?.kind === 'register' && left.register === right.register;
  return left?.kind === 'slot' && right?.kind === 'slot' && left.slot === right.slot;
}
