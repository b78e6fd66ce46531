/** The list of hypercalls and commands from which traces and the coverage table take their names. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandName, HYPERCALLS, hypercallName } from './hypercall-table.ts';
import * as numbers from './numbers/index.ts';

test('the table holds every hypercall number of the headers once', () => {
  const inHeaders = Object.entries(numbers).filter(([name]) => name.startsWith('__HYPERVISOR_'));
  assert.deepEqual(
    HYPERCALLS.map((hypercall) => [`__HYPERVISOR_${hypercall.name}`, hypercall.number]).sort(),
    inHeaders.sort(),
  );
  assert.equal(new Set(HYPERCALLS.map((hypercall) => hypercall.number)).size, HYPERCALLS.length);
});

test('no hypercall has two commands of one number', () => {
  for (const { name, commands } of HYPERCALLS) {
    const known = new Set<number>();
    for (const command of commands) {
      assert.ok(!known.has(command.number), `${name}: ${command.name}`);
      known.add(command.number);
    }
  }
});

test('every command that the headers number belongs to a hypercall', () => {
  const listed = new Set(HYPERCALLS.flatMap(({ commands }) => commands.map((command) => command.name)));
  const families =
    /^(MMU|MMUEXT|XENMEM|XENVER|CONSOLEIO|VMASST_CMD|SEGBASE|XENNMI|KEXEC_CMD|XENPF|XENPMU|[A-Z]+OP)_/;
  // Arguments of a command, not commands.
  const values = /^(XENMEM_resource_|PHYSDEVOP_DBGP_)/;
  const missing = Object.keys({ ...numbers, ...numbers.x86_64 }).filter(
    (name) => families.test(name) && !values.test(name) && !listed.has(name),
  );
  assert.deepEqual(missing, []);
});

test('sched_op is number 29 and the form that takes its argument by value is number 6', () => {
  assert.equal(hypercallName(29), 'sched_op');
  assert.equal(hypercallName(6), 'sched_op_compat');
  const old = HYPERCALLS.find((hypercall) => hypercall.number === 6);
  assert.deepEqual(
    old?.commands.map((command) => command.name),
    ['SCHEDOP_yield', 'SCHEDOP_block', 'SCHEDOP_shutdown'],
  );
});

test('names come back for numbers, and numbers for what nobody has named', () => {
  assert.equal(commandName(numbers.__HYPERVISOR_mmuext_op, 3), 'MMUEXT_PIN_L4_TABLE');
  assert.equal(commandName(numbers.__HYPERVISOR_mmuext_op, 14), '14');
  assert.equal(hypercallName(11), 'hypercall_11');
});

test('what an ordinary domain may not use is marked, its commands included', () => {
  const audience = (name: string) =>
    HYPERCALLS.flatMap((hypercall) => [hypercall, ...hypercall.commands]).find((item) => item.name === name)
      ?.audience;
  assert.equal(audience('mmu_update'), 'guest');
  assert.equal(audience('XENPF_settime64'), 'control');
  assert.equal(audience('XENMEM_set_memory_map'), 'control');
  assert.equal(audience('XENMEM_memory_map'), 'guest');
  assert.equal(audience('tmem_op'), 'nobody');
});
