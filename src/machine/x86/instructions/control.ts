/** Near control transfer: JMP, Jcc, CALL, RET, LOOP, JRCXZ. Far transfers are in `system.ts`. */
import {
  add,
  and,
  type Expression,
  eqz,
  extendU,
  geU,
  i64,
  nez,
  sub,
  wrap,
} from '../../../wasm/expression.ts';
import type { InstructionSet } from '../definition.ts';
import { CONDITION_NAMES, type Emitter, type Semantics } from '../emitter.ts';
import { RCX, VECTOR_GP } from '../registers.ts';

/**
 * An instruction pointer value of the operand size, as an address. #GP(0) if it is not canonical: the fault is this
 * instruction's, not that of the next one's fetch.
 */
function asTarget(c: Emitter, value: Expression): Expression {
  if (c.size !== 8) return extendU(value);
  const target = c.f.let(value);
  c.raiseIf(geU(add(target, i64(2 ** 47)), i64(2 ** 48)), VECTOR_GP);
  return target;
}
function returnAddress(c: Emitter): Expression {
  const next = c.nextRip();
  return c.size === 8 ? next : c.truncated(wrap(next));
}

/** Where a relative branch leads; with a 16-bit operand size the upper half of EIP is lost. */
function relativeTarget(c: Emitter): Expression {
  const target = c.branchTarget();
  return c.size === 2 ? and(target, i64(0xffff)) : target;
}
function goToTarget(c: Emitter): void {
  if (c.size === 2) c.jumpTo(relativeTarget(c));
  else c.jumpToTarget();
}

const jump: Semantics = goToTarget;
const jumpIf =
  (n: number): Semantics =>
  (c) =>
    c.f.if(c.condition(n), () => goToTarget(c));
const jumpIndirect: Semantics = (c) => c.jumpTo(asTarget(c, c.load()));

/** In checked code both the stack and the target must be right before anything is pushed; processors look in this order. */
function checkCall(c: Emitter, target: () => Expression): void {
  if (!c.checked) return;
  const top = c.movedStackPointer(i64(-c.size));
  c.checkAccess(c.segmented('stack', top), c.size, true);
  c.checkTarget(target);
}

const call: Semantics = (c) => {
  checkCall(c, () => relativeTarget(c));
  c.push(returnAddress(c));
  c.noteCall();
  goToTarget(c);
};
const callIndirect: Semantics = (c) => {
  const target = asTarget(c, c.load());
  checkCall(c, () => target);
  c.push(returnAddress(c));
  c.noteCall();
  c.jumpTo(target);
};
const returnNear: Semantics = (c) => {
  const target = asTarget(c, c.peek());
  c.checkTarget(() => target);
  c.drop(c.size);
  c.returnTo(target);
};
const returnAndDrop: Semantics = (c) => {
  const target = asTarget(c, c.peek());
  c.checkTarget(() => target);
  c.setStackPointer(c.movedStackPointer(add(extendU(c.immediate(2)), i64(c.size))));
  c.returnTo(target);
};

function counter(c: Emitter): Expression {
  const { addressSize } = c.shape;
  return addressSize === 8 ? c.gpr(RCX, 8) : extendU(c.gpr(RCX, addressSize));
}
/** LOOP, LOOPE, LOOPNE: rCX counts down at the address size; flags stay. */
function loop(condition?: (c: Emitter) => Expression): Semantics {
  return (c) => {
    const { f } = c;
    const { addressSize } = c.shape;
    const left = f.let(sub(counter(c), i64(1)));
    const commit = (): void =>
      c.setGpr(RCX, addressSize === 8 ? left : c.truncated(wrap(left), addressSize), addressSize);
    if (c.checked) {
      const mask = addressSize === 8 ? i64(-1) : i64(addressSize === 4 ? 0xffffffff : 0xffff);
      const taken = nez(and(left, mask));
      const bound = f.let(condition === undefined ? taken : and(taken, condition(c)));
      f.if(bound, () => c.checkTarget(() => relativeTarget(c)));
      commit();
      f.if(bound, () => goToTarget(c));
      return;
    }
    commit();
    const taken = nez(addressSize === 8 ? left : f.let(counter(c)));
    f.if(condition === undefined ? taken : and(taken, condition(c)), () => goToTarget(c));
  };
}
const jumpIfZeroCount: Semantics = (c) => c.f.if(eqz(counter(c)), () => goToTarget(c));

export function defineControl(set: InstructionSet): void {
  const near = { force64: true, modal: true, ends: true, sizes: [2, 4, 8], hot: [8] };
  set.define('JMP', 'EB', 'Jb', jump, { ...near, branch: true });
  set.define('JMP', 'E9', 'Jz', jump, { ...near, branch: true });
  set.define('CALL', 'E8', 'Jz', call, { ...near, branch: true });
  set.define('JMP', 'FF /4', 'Ev', jumpIndirect, near);
  set.define('CALL', 'FF /2', 'Ev', callIndirect, near);
  set.define('RET', 'C3', '', returnNear, near);
  set.define('RET', 'C2', 'Iw', returnAndDrop, near);
  for (let n = 0; n < 16; n++) {
    const hex = n.toString(16).toUpperCase();
    const options = { ...near, ends: false, branch: true };
    set.define(`J${CONDITION_NAMES[n]}`, `7${hex}`, 'Jb', jumpIf(n), options);
    set.define(`J${CONDITION_NAMES[n]}`, `0F 8${hex}`, 'Jz', jumpIf(n), options);
  }
  const counted = { ...near, ends: false, branch: true, addressed: true };
  set.define(
    'LOOPNE',
    'E0',
    'Jb',
    loop((c) => eqz(c.zeroFlag())),
    counted,
  );
  set.define(
    'LOOPE',
    'E1',
    'Jb',
    loop((c) => c.zeroFlag()),
    counted,
  );
  set.define('LOOP', 'E2', 'Jb', loop(), counted);
  set.define('JRCXZ', 'E3', 'Jb', jumpIfZeroCount, counted);
}
