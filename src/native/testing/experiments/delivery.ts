/** The way to a handler: what it finds there, and where tables and limits end. */
import { at, RAX, RCX, RDI, RDX } from '../../../guest/tiny/assembler.ts';
import { type Program, Selector } from '../program.ts';
import type { Experiments } from './group.ts';

/** A gate that ring 3 may use. */
const USER_GATE = 0xee;

/** The program's handler of vector 0x51; it is jumped over. */
function handler(p: Program, label: string, body: () => void): void {
  const over = p.fresh();
  p.jump(over);
  p.label(label);
  body();
  p.raw('48 cf'); // iretq
  p.label(over);
}

/** Loads the task register with a limit of the program's TSS. */
function limitTask(p: Program, limit: number): void {
  p.lea(RDI, 'gdt');
  p.raw(`66 c7 47 38 ${limit.toString(16)} 00 c6 47 3d 89`); // mov word [rdi+38h], limit; mov byte [rdi+3dh], 89h
  p.movImmediate(RAX, Selector.task);
  p.raw('0f 00 d8'); // ltr ax
}

export const delivery: Experiments = (p) => {
  handler(p, 'show_ss', () => {
    p.raw('31 c0 8c d0'); // mov eax, ss
    p.sayValue('ss', 4);
  });
  handler(p, 'show_nt', () => {
    p.raw('9c'); // pushf
    p.pop(RAX);
    p.andImmediate(RAX, 0x4000);
    p.sayValue('nt', 4);
  });
  handler(p, 'show_access', () => {
    p.lea(RDI, 'gdt');
    p.raw('0f b6 47 15'); // movzx eax, byte [rdi+15h]
    p.sayValue('access', 2);
  });
  p.experiment('a division by zero on a stack that is not mapped: a page fault, not a double fault', () => {
    p.lea(RDI, 'tss');
    p.movImmediate64(RAX, 0x8000000800);
    p.store(at(RDI, 44), RAX);
    p.setGate(0, { ist: 2 });
    p.movImmediate(RDX, 0);
    p.movImmediate(RCX, 0);
    p.mark();
    p.raw('f7 f1'); // div ecx
  });
  p.experiment('and on one that is', () => {
    p.setGate(0);
    p.movImmediate(RDX, 0);
    p.movImmediate(RCX, 0);
    p.mark();
    p.raw('f7 f1');
  });
  p.experiment('SS stays where the privilege does', () => {
    p.setGate(0x51, { label: 'show_ss' });
    p.raw('cd 51');
  });
  p.experiment('NT is clear in a handler, and set again behind it', () => {
    p.setGate(0x51, { label: 'show_nt' });
    p.raw('68 02 40 00 00 9d cd 51 9c'); // push 4002h; popf; int 51h; pushf
    p.raw('6a 02 9d'); // push 2; popf
    p.pop(RAX);
    p.sayValue('fl', 8);
  });
  p.experiment('the code segment of a handler is marked as accessed', () => {
    p.setGate(0x51, { label: 'show_access' });
    p.lea(RDI, 'gdt');
    p.raw('c6 47 15 9a'); // mov byte [rdi+15h], 9ah
    p.raw('cd 51');
  });
  p.experiment('a gate to conforming code keeps the privilege', () => {
    const here = p.fresh();
    p.setGate(0x51, { label: here, type: USER_GATE, selector: Selector.conforming });
    p.user(() => {
      p.mark();
      p.raw('cd 51');
    });
    p.label(here);
    p.undefined();
  });
  p.experiment('a handler whose address is not canonical', () => {
    p.setGate(0x51);
    p.lea(RDI, 'idt');
    p.raw('c7 87 18 05 00 00 00 80 00 00'); // mov dword [rdi+518h], 8000h
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate that the limit of the IDT cuts', () => {
    p.setGate(0x51);
    p.lea(RDI, 'idt_register');
    p.raw('66 c7 07 1e 05 0f 01 1f'); // limit: one byte too few; lidt [rdi]
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a gate that it does not', () => {
    p.lea(RDI, 'idt_register');
    p.raw('66 c7 07 1f 05 0f 01 1f');
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('the IDT is whole again', () => {
    p.lea(RDI, 'idt_register');
    p.raw('66 c7 07 ff 0f 0f 01 1f');
  });
  p.experiment('a TSS that ends behind the stack that a gate names', () => {
    limitTask(p, 0x2b);
    p.setGate(0x51, { ist: 1 });
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('a TSS that ends in it', () => {
    limitTask(p, 0x2a);
    p.mark();
    p.raw('cd 51');
  });
  p.experiment('the TSS is whole again', () => limitTask(p, 0x87));
  p.experiment('an LDT whose limit counts pages', () => {
    p.lea(RDI, 'gdt');
    p.raw('66 c7 47 48 00 00 c6 47 4e 80'); // limit 0, granular
    p.movImmediate(RAX, Selector.local);
    p.raw('0f 00 d0'); // lldt ax
    p.movImmediate(RAX, 0x0c);
    p.raw('8e c0 8c c0'); // mov es, eax; mov eax, es
    p.sayValue('es', 4);
  });
};
