/** The table of arguments, from which traces know what of the registers belongs to a call. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ARGUMENT_STRUCTURES, argumentKinds } from './hypercall-arguments.ts';
import { HYPERCALLS } from './hypercall-table.ts';

test('every hypercall that somebody may use has its arguments, and a command first where it has one', () => {
  for (const { name, audience, commandMask, commands } of HYPERCALLS) {
    const kinds = argumentKinds(name, 'x64');
    if (audience !== 'nobody') assert.ok(kinds !== undefined, name);
    if (kinds === undefined) continue;
    assert.match(kinds, /^[cpnd]{0,5}$/, name);
    assert.equal(kinds.startsWith('c'), commands.length > 0 && commandMask !== 0, name);
    // What is longer is only what 32-bit registers are too small for.
    assert.ok(argumentKinds(name, 'x32')!.length >= kinds.length, name);
  }
});

test('a command that takes less than its hypercall has less', () => {
  assert.equal(argumentKinds('sched_op', 'x64', 1), 'c');
  assert.equal(argumentKinds('sched_op', 'x64', 2), 'cp');
  assert.equal(argumentKinds('vcpu_op', 'x64', 3), 'cn');
  assert.equal(argumentKinds('vcpu_op', 'x64', 8), 'cnp');
  assert.equal(argumentKinds('xen_version', 'x64', 0), 'c');
  // Its pointer must be null, so what is there matters.
  assert.equal(argumentKinds('xen_version', 'x64', 7), 'cp');
  assert.equal(argumentKinds('memory_op', 'x64', 2 | (7 << 6)), 'c');
  assert.equal(argumentKinds('update_descriptor', 'x32', 0), 'pppp');
  assert.equal(argumentKinds('hypercall_60', 'x64', 0), undefined);
});

test('every structure belongs to a command, is small, and has the fields that are shown', () => {
  const commands = new Set(HYPERCALLS.flatMap((hypercall) => hypercall.commands.map(({ name }) => name)));
  for (const [command, { structure, fields }] of Object.entries(ARGUMENT_STRUCTURES)) {
    assert.ok(commands.has(command), command);
    assert.ok(fields.length > 0, command);
    assert.ok(structure.x64.size <= 64, command);
    for (const { field } of fields) {
      const found = [structure.x64, structure.x32].map((layout) => layout.fields.get(field)?.integer);
      assert.ok(found.includes(true), `${command}: ${field}`);
    }
  }
});
