/**
 * C structures, described once and laid out twice.
 *
 * A paravirtualized guest and its hypervisor share memory, so both must agree on where every field stands. A
 * 32-bit guest sees other offsets than a 64-bit one: `unsigned long` and pointers shrink to four bytes, and
 * the i386 ABI aligns a 64-bit integer to four bytes only. Each structure of `structures/` is therefore one
 * description, and this file computes both layouts from it, by the rules of the System V ABI for i386 (`x32`)
 * and AMD64 (`x64`):
 *
 *     export const mmu_update = struct('mmu_update', { ptr: u64, val: u64 });
 *     mmu_update.x64.size          // 16
 *     mmu_update.x32.align         // 4
 *     mmu_update.x64.offset.val    // 8
 *
 * Offsets reach into nested structures by joining the names with `_`: `vcpu_info.x64.offset.arch_cr2`. A name
 * that does not exist is a compile error. Offsets are plain numbers: hot code hoists them into constants and
 * adds. Cold code may use the field accessors of `view.ts` instead.
 */

/** The two data models of x86: `x32` is i386 (ILP32; not the "x32 ABI" of Linux), `x64` is AMD64 (LP64). */
export type Abi = 'x32' | 'x64';

/**
 * How one type lies in memory under one ABI. `Path` is the union of the names of its fields, nested ones
 * included.
 */
export interface Layout<Path extends string> {
  /** Bytes, trailing padding included: the stride of an array of these. */
  readonly size: number;
  /** Bytes. */
  readonly align: number;
  /** Whether it is one integer, and whether that is signed. */
  readonly integer: boolean;
  readonly signed: boolean;
  /** Byte offset of each field from the start of the structure. */
  readonly offset: { readonly [P in Path]: number };
  /** Bytes that each field occupies. */
  readonly width: { readonly [P in Path]: number };
  /** The same fields, as the verifier and the accessors want them: with their path as C spells it. */
  readonly fields: ReadonlyMap<string, Field>;
}

/** One field of a structure, at whatever depth. */
export interface Field {
  /** The designator as C spells it, such as `arch.cr2`. */
  readonly path: string;
  /** Bytes from the start of the structure. */
  readonly offset: number;
  /** Bytes. */
  readonly width: number;
  readonly integer: boolean;
  readonly signed: boolean;
}

/** A C type with its layouts. `In` names the ABIs under which a field of this type exists at all. */
export interface CType<P32 extends string = never, P64 extends string = never, In extends Abi = Abi> {
  readonly abis: readonly In[];
  readonly x32: Layout<P32>;
  readonly x64: Layout<P64>;
}

type AnyType = CType<never, never, Abi> | CType<never, never, 'x32'> | CType<never, never, 'x64'>;
type Members = { readonly [name: string]: AnyType };

/** The field names of a structure under ABI `A`: its own, and those of nested structures behind `name_`. */
type Paths<M extends Members, A extends Abi> = {
  [K in keyof M & string]: A extends M[K]['abis'][number]
    ? K | `${K}_${keyof M[K][A]['offset'] & string}`
    : never;
}[keyof M & string];

/** A structure or union, with the tag that the C headers give it. */
export interface Structure<P32 extends string = never, P64 extends string = never> extends CType<P32, P64> {
  readonly kind: 'struct' | 'union';
  /** The C tag, or the empty string for one that is only part of another. */
  readonly name: string;
}

type StructureOf<M extends Members> = Structure<Paths<M, 'x32'>, Paths<M, 'x64'>>;

const BOTH: readonly Abi[] = ['x32', 'x64'];
const NO_FIELDS: ReadonlyMap<string, Field> = new Map();

function opaque(size: number, align: number): Layout<never> {
  return { size, align, integer: false, signed: false, offset: {}, width: {}, fields: NO_FIELDS };
}

function integer(bytes32: number, bytes64: number, signed: boolean): CType {
  const of = (size: number, align: number) => ({ ...opaque(size, align), integer: true, signed });
  return { abis: BOTH, x32: of(bytes32, Math.min(bytes32, 4)), x64: of(bytes64, bytes64) };
}

export const u8 = integer(1, 1, false);
export const u16 = integer(2, 2, false);
export const u32 = integer(4, 4, false);
export const u64 = integer(8, 8, false);
export const i8 = integer(1, 1, true);
export const i16 = integer(2, 2, true);
export const i32 = integer(4, 4, true);

/** `unsigned long`, `xen_ulong_t`, `xen_pfn_t`: a machine word. */
export const ulong = integer(4, 8, false);

/** `XEN_GUEST_HANDLE(...)` or a C pointer: a guest virtual address. */
export const ptr = ulong;

/**
 * `element[length]`. Index it by hand: `offset.x + i * element.x64.size`; paths do not reach into elements.
 */
export function array(element: CType, length: number): CType {
  const times = (one: Layout<never>): Layout<never> => opaque(one.size * length, one.align);
  return { abis: BOTH, x32: times(element.x32), x64: times(element.x64) };
}

/** A type that the headers define differently for each ABI, such as `cpu_user_regs`. */
export function perAbi<P32 extends string, P64 extends string>(
  on32: { readonly x32: Layout<P32> },
  on64: { readonly x64: Layout<P64> },
): CType<P32, P64> {
  return { abis: BOTH, x32: on32.x32, x64: on64.x64 };
}

/** The same for a structure with a tag. */
export function structPerAbi<P32 extends string, P64 extends string>(
  name: string,
  on32: { readonly x32: Layout<P32> },
  on64: { readonly x64: Layout<P64> },
): Structure<P32, P64> {
  return { kind: 'struct', name, ...perAbi(on32, on64) };
}

/** A field that only the 32-bit structure has. */
export function only32<P32 extends string>(type: { readonly x32: Layout<P32> }): CType<P32, never, 'x32'> {
  return { abis: ['x32'], x32: type.x32, x64: opaque(0, 1) };
}

/** A field that only the 64-bit structure has. */
export function only64<P64 extends string>(type: { readonly x64: Layout<P64> }): CType<never, P64, 'x64'> {
  return { abis: ['x64'], x32: opaque(0, 1), x64: type.x64 };
}

/** A C `struct`, with its tag in the headers; without a tag, an anonymous one to be nested in another. */
export function struct<M extends Members>(name: string, members: M): StructureOf<M>;
export function struct<M extends Members>(members: M): StructureOf<M>;
export function struct<M extends Members>(nameOrMembers: string | M, members?: M): StructureOf<M> {
  return describe('struct', nameOrMembers, members, false);
}

/** A C `union`: every member at offset 0. */
export function union<M extends Members>(name: string, members: M): StructureOf<M>;
export function union<M extends Members>(members: M): StructureOf<M>;
export function union<M extends Members>(nameOrMembers: string | M, members?: M): StructureOf<M> {
  return describe('union', nameOrMembers, members, false);
}

/** A C `struct` with `__attribute__((packed))`: no padding at all. */
export function packed<M extends Members>(name: string, members: M): StructureOf<M> {
  return describe('struct', name, members, true);
}

function describe<M extends Members>(
  kind: 'struct' | 'union',
  nameOrMembers: string | M,
  given: M | undefined,
  isPacked: boolean,
): StructureOf<M> {
  const name = typeof nameOrMembers === 'string' ? nameOrMembers : '';
  const members = typeof nameOrMembers === 'string' ? given : nameOrMembers;
  if (members === undefined) throw new LayoutError(`${kind} ${name}: expected a list of members, found none`);
  return {
    kind,
    name,
    abis: BOTH,
    x32: place(kind, name, members, isPacked, 'x32') as Layout<Paths<M, 'x32'>>,
    x64: place(kind, name, members, isPacked, 'x64') as Layout<Paths<M, 'x64'>>,
  };
}

function place(
  kind: 'struct' | 'union',
  name: string,
  members: Members,
  isPacked: boolean,
  abi: Abi,
): Layout<string> {
  const fields = new Map<string, Field>();
  const put = (key: string, field: Field) => {
    // `a_b` could mean the field `a_b` or the field `b` of `a`; no header needs both.
    if (fields.has(key))
      throw new LayoutError(`${kind} ${name}: expected one field called ${key}, found two`);
    fields.set(key, field);
  };
  let end = 0;
  let align = 1;
  let size = 0;
  for (const [key, member] of Object.entries(members)) {
    const abis: readonly Abi[] = member.abis;
    if (!abis.includes(abi)) continue;
    const inner = member[abi];
    const innerAlign = isPacked ? 1 : inner.align;
    const offset = kind === 'union' ? 0 : roundUp(end, innerAlign);
    end = offset + inner.size;
    size = Math.max(size, end);
    align = Math.max(align, innerAlign);
    put(key, { path: key, offset, width: inner.size, integer: inner.integer, signed: inner.signed });
    for (const [innerKey, field] of inner.fields) {
      put(`${key}_${innerKey}`, { ...field, path: `${key}.${field.path}`, offset: offset + field.offset });
    }
  }
  const offset: Record<string, number> = {};
  const width: Record<string, number> = {};
  for (const [key, field] of fields) {
    offset[key] = field.offset;
    width[key] = field.width;
  }
  return { ...opaque(roundUp(size, align), align), offset, width, fields };
}

function roundUp(bytes: number, align: number): number {
  return Math.ceil(bytes / align) * align;
}

/** A description that cannot be laid out; raised while the description is being read, never later. */
export class LayoutError extends Error {
  override readonly name = 'LayoutError';
}
