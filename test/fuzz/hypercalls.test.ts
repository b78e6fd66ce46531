/**
 * Every hypercall with every subcommand, from the registers of a running vCPU through the dispatcher. Nothing but a
 * result may come out of it; it ends soon; and the attacker harms nobody but itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RAX } from '../../src/machine/x86/registers.ts';
import { Attacker } from './attacker.ts';
import { LENGTH, Random, SEED } from './random.ts';
import { anyMulticall, anyRequest } from './requests.ts';
import { Arena, VIRT_BASE } from './victims.ts';

const CALLS = 12_000 * LENGTH;
const AUDIT_EVERY = 400;
const LOOK_EVERY = 40;
/** A hypercall that is preempted so often has had its turn. */
const CONTINUATIONS = 3;
/** Instructions' worth of work that one hypercall may do before it stops halfway; see `preemptionDue`. */
const WORK_LIMIT = 200_000;
/** A guest that has talked itself into a corner, where most is refused, makes room for a fresh one. */
const CALLS_OF_ONE_LIFE = 1500;

test('hypercalls with hostile arguments give a result, soon, and harm nobody else', async () => {
  const arena = await Arena.create();
  const random = new Random(SEED);
  const attacker = new Attacker(arena, random);
  const succeeded = new Set<number>();
  let lives = 0;
  const begin = () => {
    arena.spawn();
    attacker.look();
    lives++;
  };
  begin();
  let age = 0;
  for (let call = 0; call < CALLS; call++) {
    if (++age > CALLS_OF_ONE_LIFE || !arena.domain.live) {
      arena.bury(`call ${call}`);
      begin();
      age = 0;
    }
    const { vcpu, host, domain } = arena;
    const { state } = vcpu;
    // Back to its kernel, awake and on line, whatever the last call did.
    vcpu.setOnline(true);
    if (vcpu.blocked) vcpu.wake();
    host.schedule(vcpu);
    if (!vcpu.kernelMode) vcpu.toggleMode();
    if (call % LOOK_EVERY === 0) attacker.look();
    const [number, ...args] = random.once(6) ? anyMulticall(attacker) : anyRequest(attacker);
    const name = `call ${call}, hypercall ${number}(${args.map((value) => (typeof value === 'number' ? value : `${value.high}:${value.low}`)).join(', ')})`;
    attacker.load(number, ...args);
    for (let turn = 0; turn <= CONTINUATIONS; turn++) {
      state.rip = VIRT_BASE + 0x100;
      vcpu.work = 0;
      try {
        domain.hypercalls.dispatch(vcpu);
      } catch (error) {
        throw new Error(`${name} raised ${error instanceof Error ? error.stack : error}`);
      }
      assert.ok(vcpu.work < WORK_LIMIT, `${name} did ${vcpu.work} instructions' worth of work`);
      if (state.rip !== VIRT_BASE + 0xfe) break;
    }
    if (state.regHigh(RAX) === 0) succeeded.add(number);
    host.timers.fireDue(host.clock.nowNs());
    if (call % AUDIT_EVERY === 0) arena.check(name);
  }
  arena.bury('the last call');
  assert.ok(succeeded.size > 20, `only ${succeeded.size} hypercalls ever succeeded`);
  assert.ok(lives > CALLS / 2000, `${lives} lives`);
});
