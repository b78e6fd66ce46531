/** The board: interrupt controllers, timer, serial port; and the instructions that reach it. */
import { Condition, RAX, RBX, RCX, RDI, RDX, RSI } from '../../../guest/tiny/assembler.ts';
import type { Program } from '../program.ts';
import type { Experiments } from './group.ts';

/** Masks all but one IRQ of the first controller, with vectors from 0x20. */
function startControllers(p: Program, mask: number): void {
  for (const [port, value] of [
    [0x20, 0x11],
    [0x21, 0x20],
    [0x21, 0x04],
    [0x21, 0x01],
    [0xa0, 0x11],
    [0xa1, 0x28],
    [0xa1, 0x02],
    [0xa1, 0x01],
    [0x21, mask],
    [0xa1, 0xff],
  ] as const) {
    p.out8(port, value);
  }
}

export const devices: Experiments = (p) => {
  p.experiment('the interrupt controllers keep their masks', () => {
    startControllers(p, 0xff);
    p.in8(0x21);
    p.sayValue('first', 2);
    p.in8(0xa1);
    p.sayValue('second', 2);
    p.out8(0x21, 0x5a);
    p.in8(0x21);
    p.sayValue('first', 2);
    p.out8(0x21, 0xff);
  });
  p.experiment('the timer wakes HLT, three times', () => {
    p.setGate(0x20, { label: 'tick' });
    p.clear(RAX);
    p.store('scratch', RAX);
    startControllers(p, 0xfe);
    p.out8(0x43, 0x34); // counter 0, both bytes, mode 2
    p.out8(0x40, 0x9c);
    p.out8(0x40, 0x2e); // 10 ms
    p.label('wait_tick');
    p.raw('fb f4'); // sti; hlt
    p.load(RAX, 'scratch');
    p.compareImmediate(RAX, 3);
    p.jumpIf(Condition.notEqual, 'wait_tick');
    p.raw('fa');
    p.out8(0x21, 0xff);
    p.load(RAX, 'scratch');
    p.sayValue('ticks', 1);
  });
  p.experiment(
    'a timer of one shot, while interrupts are off, waits for STI and one instruction more',
    () => {
      p.clear(RAX);
      p.store('scratch', RAX);
      startControllers(p, 0xfe);
      p.out8(0x43, 0x30); // mode 0
      p.out8(0x40, 0x10);
      p.out8(0x40, 0x00);
      p.label('wait_request');
      p.out8(0x20, 0x0a); // read IRR
      p.in8(0x20);
      p.andImmediate(RAX, 1);
      p.compareImmediate(RAX, 0);
      p.jumpIf(Condition.equal, 'wait_request');
      p.clear(RBX);
      p.lea(RDI, 'scratch');
      p.raw('fb 48 8b 1f 90 48 8b 0f fa'); // sti; mov rbx, [rdi]; nop; mov rcx, [rdi]; cli
      p.push(RCX);
      p.mov(RAX, RBX);
      p.sayValue('behind', 1);
      p.pop(RAX);
      p.sayValue('then', 1);
    },
  );
  p.experiment('POPF opens the window, too', () => {
    p.clear(RAX);
    p.store('scratch', RAX);
    p.out8(0x43, 0x30);
    p.out8(0x40, 0x10);
    p.out8(0x40, 0x00);
    p.label('wait_again');
    p.out8(0x20, 0x0a);
    p.in8(0x20);
    p.andImmediate(RAX, 1);
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_again');
    p.lea(RDI, 'scratch');
    p.movImmediate(RAX, 0x202);
    p.push(RAX);
    p.raw('9d 48 8b 1f fa'); // popf; mov rbx, [rdi]; cli
    p.mov(RAX, RBX);
    p.sayValue('behind', 1);
  });
  p.experiment('the timer is quiet again', () => p.out8(0x21, 0xff));
  p.experiment('the serial port keeps what is written', () => {
    p.out8(0x3ff, 0xa5);
    p.in8(0x3ff);
    p.sayValue('scr', 2);
    p.out8(0x3fb, 0x83);
    p.out8(0x3f8, 0x01);
    p.out8(0x3f9, 0x02);
    p.in8(0x3f9);
    p.store('scratch', RAX); // what is printed now would go to the divisor
    p.out8(0x3f9, 0x00);
    p.out8(0x3fb, 0x03);
    p.load(RAX, 'scratch');
    p.sayValue('dlm', 2);
    p.in8(0x3fb);
    p.sayValue('lcr', 2);
    p.in8(0x3f9);
    p.sayValue('ier', 2);
    p.in8(0x3fd);
    p.sayValue('lsr', 2);
    p.in8(0x3fa);
    p.sayValue('iir', 2);
  });
  p.experiment('the serial port talks to itself', () => {
    p.out8(0x3fa, 0x07);
    p.out8(0x3fc, 0x1a); // loop, OUT2, RTS
    p.in8(0x3fe);
    p.andImmediate(RAX, 0xf0);
    p.store('scratch', RAX);
    p.out8(0x3f8, 0x41);
    p.label('wait_loop');
    p.in8(0x3fd);
    p.andImmediate(RAX, 1);
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_loop');
    p.in8(0x3f8);
    p.mov(RBX, RAX);
    p.out8(0x3fc, 0x03);
    p.load(RAX, 'scratch');
    p.push(RBX);
    p.sayValue('msr', 2);
    p.pop(RAX);
    p.sayValue('data', 2);
    p.out8(0x3fa, 0x00);
  });
  p.experiment('an empty transmitter interrupts', () => {
    p.setGate(0x24, { label: 'serial_interrupt' });
    p.clear(RAX);
    p.store('scratch', RAX);
    startControllers(p, 0xef);
    p.out8(0x3fc, 0x0b); // OUT2
    p.out8(0x3f9, 0x02);
    p.raw('fb 90 90 90');
    p.label('wait_serial');
    p.load(RAX, 'scratch');
    p.compareImmediate(RAX, 0);
    p.jumpIf(Condition.equal, 'wait_serial');
    p.raw('fa');
    p.out8(0x3f9, 0x00);
    p.out8(0x21, 0xff);
    p.load(RAX, 'scratch');
    p.sayValue('iir', 2);
  });
  p.experiment('a string for the debug port, byte by byte', () => {
    p.lea(RSI, 'start');
    p.movImmediate(RCX, 3);
    p.movImmediate(RDX, 0x80);
    p.raw('f3 6e'); // rep outsb
    p.mov(RAX, RCX);
    p.sayValue('left', 1);
    p.lea(RCX, 'start');
    p.mov(RAX, RSI);
  });
  p.experiment('INS fills memory', () => {
    p.out8(0x3ff, 0x5a);
    p.lea(RDI, 'scratch');
    p.movImmediate(RCX, 4);
    p.movImmediate(RDX, 0x3ff);
    p.raw('f3 6c'); // rep insb
    p.load32(RAX, 'scratch');
    p.sayValue('data', 8);
  });
  p.experiment('a port where nothing is', () => {
    p.movImmediate(RDX, 0x5000);
    p.raw('ed'); // in eax, dx
    p.sayValue('eax', 8);
  });
  // The handlers.
  const over = p.fresh();
  p.jump(over);
  p.label('tick');
  p.push(RAX);
  p.push(RDX);
  p.load(RAX, 'scratch');
  p.addImmediate(RAX, 1);
  p.store('scratch', RAX);
  p.out8(0x20, 0x20);
  p.pop(RDX);
  p.pop(RAX);
  p.raw('48 cf');
  p.label('serial_interrupt');
  p.push(RAX);
  p.push(RDX);
  p.in8(0x3fa);
  p.store('scratch', RAX);
  p.out8(0x20, 0x20);
  p.pop(RDX);
  p.pop(RAX);
  p.raw('48 cf');
  p.label(over);
};
