import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MachineError, timeMachine } from './stopwatch.ts';

/** A machine that says these lines with a program of Node's own. */
function machine(program: string, more: { counts?: boolean; endsItself?: boolean; bootRow?: string } = {}) {
  return { command: process.execPath, args: ['-e', program], ...more };
}

const say = (...lines: string[]) => `process.stdout.write(${JSON.stringify(`${lines.join('\n')}\n`)});`;
const word = (text: string) => `ringone-bench: ${text}`;

test('a row is what lies between its words, and the boot what lies before the first', async () => {
  const script = say(word('init'), word('begin a'), '42', word('end a'), word('done'));
  const run = await timeMachine(machine(script, { bootRow: 'boot' }), 60);
  assert.deepEqual([...run.keys()], ['boot', 'a']);
  assert.equal(run.get('a')!.answer, '42');
  assert.ok(run.get('boot')!.seconds > 0 && run.get('a')!.seconds >= 0);
});

test('a machine that does not end by itself is ended when its script is done', async () => {
  const script = `${say(word('begin a'), word('end a'), word('done'))} setInterval(() => {}, 1000);`;
  const run = await timeMachine(machine(script), 60);
  assert.deepEqual([...run.keys()], ['a']);
});

test('counts of instructions are taken from row to row', async () => {
  const counts = "require('node:fs').writeSync(3, '100\\n250\\n1000\\n1000\\n');";
  const script = counts + say(word('init'), word('begin a'), word('end a'), word('done'));
  const run = await timeMachine(machine(script, { counts: true, endsItself: true, bootRow: 'boot' }), 60);
  assert.equal(run.get('boot')!.instructions, 100);
  assert.equal(run.get('a')!.instructions, 750);
});

test('a machine that ends before its script is done is an error that shows its last line', async () => {
  const script = `${say('some line', 'Kernel panic - not syncing')} process.exitCode = 3;`;
  await assert.rejects(timeMachine(machine(script), 60), (error: unknown) => {
    assert.ok(error instanceof MachineError);
    assert.match(error.message, /status 3: Kernel panic - not syncing$/);
    return true;
  });
});

test('a program that is not there is an error that names it', async () => {
  await assert.rejects(timeMachine({ command: '/no/such/program', args: [] }, 60), /\/no\/such\/program/);
});
