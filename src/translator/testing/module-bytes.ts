/** Pieces of WebAssembly's binary format for tests that make modules byte by byte (core specification, chapter 5). */
import { ByteWriter } from '../../wasm/bytes.ts';

export const I32 = 0x7f;
export const I64 = 0x7e;
export type Type = typeof I32 | typeof I64;

export function constant(w: ByteWriter, type: Type, value: number): void {
  w.byte(type === I32 ? 0x41 : 0x42);
  if (type === I32) w.signed(value | 0);
  else w.signed64(value | 0, Math.floor(value / 4294967296) | 0);
}

export function constantHalves(w: ByteWriter, low: number, high: number): void {
  w.byte(0x42);
  w.signed64(low, high);
}

/** The module's address as a machine's: a kernel's extends with its sign, and a program's has none. */
export function nativeAddress(w: ByteWriter, address: number): void {
  constant(w, I32, address);
  w.byte(0xac);
}

export function part(write: (w: ByteWriter) => void): Uint8Array {
  const w = new ByteWriter();
  write(w);
  return w.take();
}

export function unsigned(value: number): Uint8Array {
  return part((w) => w.unsigned(value));
}

export function section(to: ByteWriter, id: number, entries: readonly Uint8Array[]): void {
  const contents = part((w) => {
    w.unsigned(entries.length);
    for (const entry of entries) w.append(entry);
  });
  to.byte(id);
  to.unsigned(contents.length);
  to.append(contents);
}

export function signature(parameters: readonly Type[], results: readonly Type[]): Uint8Array {
  return Uint8Array.of(0x60, parameters.length, ...parameters, results.length, ...results);
}

export function imported(name: string, type: number): Uint8Array {
  return part((w) => {
    w.name('machine');
    w.name(name);
    w.byte(0);
    w.unsigned(type);
  });
}

export function exported(name: string, kind: number, index: number): Uint8Array {
  return part((w) => {
    w.name(name);
    w.byte(kind);
    w.unsigned(index);
  });
}

export function codeEntry(locals: readonly Type[], write: (w: ByteWriter) => void): Uint8Array {
  const body = part((w) => {
    w.unsigned(locals.length);
    for (const type of locals) {
      w.byte(1);
      w.byte(type);
    }
    write(w);
    w.byte(0x0b);
  });
  return part((w) => {
    w.unsigned(body.length);
    w.append(body);
  });
}
