/**
 * A process of its own that is one v86 machine, as a user of that package would start it: its serial port on standard
 * output. Plain JavaScript, so that nothing but v86 itself counts in the time to its guest's first word.
 *
 *     node v86-machine.mjs KERNEL INITRD COMMAND-LINE MEMORY-MIB BIOS VGA-BIOS
 *
 * It runs until it is killed: v86 has no power-off that ends a process.
 */
import { readFileSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { V86 } from 'v86';

const [kernel, initrd, cmdline, memoryMib, bios, vgaBios] = process.argv.slice(2);

function image(path) {
  const { buffer, byteOffset, byteLength } = readFileSync(path);
  return { buffer: buffer.slice(byteOffset, byteOffset + byteLength) };
}

const machine = new V86({
  wasm_path: fileURLToPath(new URL('v86.wasm', import.meta.resolve('v86'))),
  bios: image(bios),
  vga_bios: image(vgaBios),
  bzimage: image(kernel),
  initrd: image(initrd),
  cmdline,
  memory_size: Number(memoryMib) * 2 ** 20,
  vga_memory_size: 2 * 2 ** 20,
  autostart: true,
  disable_keyboard: true,
  disable_mouse: true,
  disable_speaker: true,
});

const NEWLINE = 10;
const line = [];
machine.add_listener('serial0-output-byte', (byte) => {
  line.push(byte);
  if (byte === NEWLINE) writeSync(1, Uint8Array.from(line.splice(0)));
});
