/**
 * What a live host shows of the back end only in part: both word sizes, clocks of any speed, events and failures as Xen may
 * report them, resumes, and gates and descriptors one by one.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as abi from '../../abi/xen/structures/index.ts';
import { loadGuest, type TestMachine, type TestMachineOptions } from '../testing/index.ts';

const PAGE = 4096;
const SCHED_OP = 29;
const EVENT_CHANNEL_OP = 32;
const VCPU_OP = 24;

/** When the timer was set to go off last. */
function timerSet(machine: TestMachine, calls: readonly (readonly bigint[])[]): bigint {
  const call = calls.filter(([number, command]) => number === 24n && command === 8n).at(-1);
  return machine.read(call![3]!, 8);
}

async function backend(wordBits: 32 | 64, options: TestMachineOptions = {}) {
  const calls: bigint[][] = [];
  const guest = await loadGuest('src/guest/xen/testing/backend.ts', {
    wordBits,
    hypercall: (number, operands) => {
      calls.push([BigInt(number), ...operands]);
      return options.hypercall?.(number, operands) ?? 0;
    },
    on: options.on,
  });
  const { exports } = guest;
  const pages = exports.pages!() as number;
  exports.setSharedInfo!(pages);
  const heard = () =>
    Array.from({ length: Number(exports.heardCount!()) }, (_, i) => exports.heardAt!(i) as number);
  const word = (value: number | bigint): number | bigint =>
    wordBits === 64 ? BigInt.asIntN(64, BigInt(value)) : Number(BigInt.asIntN(32, BigInt(value)));
  return {
    ...guest,
    calls,
    pages,
    heard,
    word,
    layout: wordBits === 64 ? ('x64' as const) : ('x32' as const),
  };
}

for (const wordBits of [64, 32] as const) {
  const width = `${wordBits} bits`;

  test(`an upcall delivers each pending port once, and masks one that nobody wants (${width})`, async () => {
    const { exports, machine, pages, heard, layout } = await backend(wordBits);
    const shared = abi.shared_info[layout].offset;
    const info = abi.vcpu_info[layout].offset;
    const bit = (base: number, port: number) => BigInt(pages + base + (port >> 3));
    const set = (base: number, port: number) =>
      machine.write(bit(base, port), 1, machine.read(bit(base, port), 1) | (1n << BigInt(port & 7)));
    const isSet = (base: number, port: number) =>
      ((machine.read(bit(base, port), 1) >> BigInt(port & 7)) & 1n) === 1n;
    const ports = [1, 31, 32, 200, 1000];
    for (const port of ports) exports.listenToPort!(port);
    for (const port of [...ports, 77]) {
      set(shared.evtchn_pending, port);
      set(info.evtchn_pending_sel, Math.floor(port / wordBits));
    }
    set(shared.evtchn_mask, 200);
    machine.write(BigInt(pages + info.evtchn_upcall_pending), 1, 1n);
    exports.xenEventUpcall!(0);
    assert.deepEqual(heard(), [1, 31, 32, 1000]);
    assert.equal(machine.read(BigInt(pages + info.evtchn_upcall_pending), 1), 0n);
    assert.equal(machine.read(BigInt(pages + info.evtchn_pending_sel), wordBits / 8), 0n);
    assert.ok(isSet(shared.evtchn_pending, 200) && !isSet(shared.evtchn_pending, 1000));
    assert.ok(isSet(shared.evtchn_mask, 77) && !isSet(shared.evtchn_pending, 77));
    // Unmasking makes the flags say what Xen would have made them say, but the call has to come from Xen.
    exports.unmaskPort!(200);
    assert.equal(machine.read(BigInt(pages + info.evtchn_upcall_pending), 1), 1n);
    exports.xenEventUpcall!(0);
    assert.deepEqual(heard().slice(4), [200]);
  });

  test(`the clock counts on from what Xen published, at any speed of the TSC (${width})`, async () => {
    const { exports, machine, pages, layout } = await backend(wordBits, { on: { rdtsc: () => tsc } });
    let tsc = 0n;
    const time = pages + abi.vcpu_info[layout].offset.time;
    const { version, tsc_timestamp, system_time, tsc_to_system_mul, tsc_shift } =
      abi.vcpu_time_info[layout].offset;
    const publish = (mul: bigint, shift: number) => {
      machine.write(BigInt(time + version), 4, 2n);
      machine.write(BigInt(time + tsc_timestamp), 8, 1_000_000n);
      machine.write(BigInt(time + system_time), 8, 5_000_000_000n);
      machine.write(BigInt(time + tsc_to_system_mul), 4, mul);
      machine.write(BigInt(time + tsc_shift), 1, BigInt(shift));
    };
    for (const [khz, mul, shift] of [
      [1_000_000, 0x80000000n, 1],
      [2_000_000, 0x80000000n, 0],
      [4_000_000, 0x80000000n, -1],
      [500_000, 0x80000000n, 2],
    ] as const) {
      publish(mul, shift);
      tsc = 1_000_000n + BigInt(khz) * 1000n;
      assert.equal(exports.xenSchedClock!(), 6_000_000_000n, `${khz} kHz`);
      assert.equal(exports.xenGetTscKhz!(), khz);
    }
    // The date: seconds in two halves, which stand apart.
    const wall = abi.shared_info[layout].offset;
    machine.write(BigInt(pages + wall.wc_sec), 4, 7n);
    const high =
      layout === 'x64' ? abi.shared_info.x64.offset.wc_sec_hi : abi.shared_info.x32.offset.arch_wc_sec_hi;
    machine.write(BigInt(pages + high), 4, 1n);
    machine.write(BigInt(pages + wall.wc_nsec), 4, 9n);
    assert.equal(exports.xenGetWallclock!(), (0x1_0000_0007n + 6n) * 1_000_000_000n + 9n);
  });

  test(`a reader of the clock waits until Xen has written all of it (${width})`, async () => {
    const { exports, machine, pages, layout } = await backend(wordBits, {
      on: {
        rdtsc: () => {
          // The first look falls into an update: the version is odd, and even again afterwards.
          if (looks++ === 0) machine.write(BigInt(time + version), 4, 4n);
          return 0n;
        },
      },
    });
    let looks = 0;
    const time = pages + abi.vcpu_info[layout].offset.time;
    const { version, system_time } = abi.vcpu_time_info[layout].offset;
    machine.write(BigInt(time + version), 4, 3n);
    machine.write(BigInt(time + system_time), 8, 42n);
    assert.equal(exports.xenSchedClock!(), 42n);
    assert.equal(looks, 2);
  });

  test(`a gate becomes an entry of the trap table, or none (${width})`, async () => {
    const { exports, machine, pages, layout } = await backend(wordBits);
    const { vector, flags, cs, address } = abi.trap_info[layout].offset;
    const at = pages + PAGE;
    const gate = (type: bigint, dpl: bigint, present = 1n) =>
      BigInt.asIntN(
        64,
        (0x8122n << 48n) | (present << 47n) | (dpl << 45n) | (type << 40n) | (0xe033n << 16n) | 0x3344n,
      );
    const entry = () => [
      machine.read(BigInt(at + vector), 1),
      machine.read(BigInt(at + flags), 1),
      machine.read(BigInt(at + cs), 2),
      machine.read(BigInt(at + address), wordBits / 8),
    ];
    const handler = wordBits === 64 ? 0xffffffff81223344n : 0x81223344n;
    assert.equal(exports.gateToTrap!(14, gate(14n, 0n), 0xffffffffn, at), 1);
    assert.deepEqual(entry(), [14n, 4n, 0xe033n, handler]);
    assert.equal(exports.gateToTrap!(128, gate(15n, 3n), 0xffffffffn, at), 1);
    assert.deepEqual(entry(), [128n, 3n, 0xe033n, handler]);
    assert.equal(exports.gateToTrap!(8, gate(5n, 0n), 0n, at), 0, 'a task gate');
    assert.equal(exports.gateToTrap!(8, gate(14n, 0n, 0n), 0n, at), 0, 'not present');
  });

  test(`a gate that is taken away, or not in the next table, is none of Xen's any more (${width})`, async () => {
    // What Xen keeps: a table sets the vectors that it lists, up to an entry without an address; no table clears all.
    const kept = new Map<number, bigint>();
    const { exports, machine, pages, layout } = await backend(wordBits, {
      hypercall: (number, [table]) => {
        if (number !== 0) return 0;
        if (table === 0n) kept.clear();
        const { offset, size } = abi.trap_info[layout];
        for (let at = table!; table !== 0n; at += BigInt(size)) {
          const address = machine.read(at + BigInt(offset.address), wordBits / 8);
          if (address === 0n) break;
          kept.set(Number(machine.read(at + BigInt(offset.vector), 1)), address & 0xffffn);
        }
        return 0;
      },
    });
    const low = (handler: number) =>
      BigInt.asIntN(64, (0x8000en << 40n) | (0xe033n << 16n) | BigInt(handler)) | (1n << 47n);
    const bytes = wordBits / 4;
    const [first, second] = [pages + PAGE, pages + 2 * PAGE];
    for (const [table, vector] of [
      [first, 3],
      [first, 6],
      [second, 6],
      [second, 14],
    ] as const)
      machine.write(BigInt(table + vector * bytes), 8, low(0x100 + vector));
    exports.xenLoadIdt!(first, 256);
    assert.deepEqual(
      [...kept],
      [
        [3, 0x103n],
        [6, 0x106n],
      ],
    );
    exports.xenWriteIdtEntry!(first, 4, low(0x104), 0n);
    exports.xenWriteIdtEntry!(first, 3, 0n, 0n);
    exports.xenWriteIdtEntry!(second, 7, low(0x107), 0n);
    assert.deepEqual([...kept].sort(), [
      [4, 0x104n],
      [6, 0x106n],
    ]);
    exports.xenLoadIdt!(second, 256);
    assert.deepEqual([...kept].sort(), [
      [14, 0x10en],
      [6, 0x106n],
      [7, 0x107n],
    ]);
  });

  test(`a table has 256 gates at most, and what it is told of ends where it ends (${width})`, async () => {
    const told: number[][] = [];
    const { exports, machine, pages, layout } = await backend(wordBits, {
      hypercall: (number, [table]) => {
        if (number !== 0 || table === 0n) return 0;
        const { offset, size } = abi.trap_info[layout];
        const vectors: number[] = [];
        for (
          let at = table!;
          machine.read(at + BigInt(offset.address), wordBits / 8) !== 0n;
          at += BigInt(size)
        )
          vectors.push(Number(machine.read(at + BigInt(offset.vector), 1)));
        told.push(vectors);
        return 0;
      },
    });
    const gate = BigInt.asIntN(64, (0x8e00n << 32n) | (0xe033n << 16n) | 0x100n);
    const table = pages + PAGE;
    const bytes = wordBits / 4;
    for (const vector of [3, 6, 255, 256]) machine.write(BigInt(table + vector * bytes), 8, gate);
    exports.xenLoadIdt!(table, 300);
    exports.xenWriteIdtEntry!(table, 6, gate, 0n);
    assert.deepEqual(told, [[3, 6, 255], [6]]);
  });

  test(`a port is asked for with all that belongs to it, and a closed one is masked and nobody's (${width})`, async () => {
    const asked: bigint[][] = [];
    const { exports, machine, pages, heard, layout } = await backend(wordBits, {
      hypercall: (_, [command, argument]) => {
        asked.push([command!, machine.read(argument!, 8)]);
        return 0;
      },
    });
    /** The command asked for last, and its structure's first 8 bytes as far as they count. */
    const last = (counting: bigint) => {
      const [command, first] = asked.splice(0).at(-1)!;
      return [command, first! & counting];
    };
    const ONE_WORD = 0xffffffffn;
    exports.bindVirq!(3, 7);
    assert.deepEqual(last(0xffffffff_ffffffffn), [1n, (7n << 32n) | 3n]);
    exports.bindIpi!(5);
    assert.deepEqual(last(ONE_WORD), [7n, 5n]);
    exports.allocateUnbound!(9);
    assert.deepEqual(last(ONE_WORD), [6n, (9n << 16n) | 0x7ff0n]);
    exports.bindInterdomain!(9, 33);
    assert.deepEqual(last(0xffffffff_0000ffffn), [0n, (33n << 32n) | 9n]);
    exports.notifyPort!(12);
    assert.deepEqual(last(ONE_WORD), [4n, 12n]);
    exports.listenToPort!(12);
    exports.closePort!(12);
    assert.deepEqual(last(ONE_WORD), [3n, 12n]);
    const mask = () => machine.read(BigInt(pages + abi.shared_info[layout].offset.evtchn_mask), 2);
    assert.equal(mask(), 1n << 12n);
    exports.deliverEvent!(12);
    assert.deepEqual(heard(), []);
  });

  test(`a grant is for reading or for both, and lasts while it is in use (${width})`, async () => {
    const { exports, machine, pages, word } = await backend(wordBits);
    const table = pages + PAGE;
    assert.equal(exports.setupGrants!(table), 1);
    const entry = (reference: number) => machine.read(BigInt(table + 8 * reference), 8);
    assert.equal(exports.grantAccess!(7, word(0x1234), 1), 8);
    assert.equal(entry(8), (0x1234n << 32n) | (7n << 16n) | 5n);
    assert.equal(exports.grantAccess!(7, word(0x1235), 0), 9);
    assert.equal(entry(9), (0x1235n << 32n) | (7n << 16n) | 1n);
    for (const inUse of [8n, 16n]) {
      machine.write(BigInt(table + 8 * 9), 2, 1n | inUse);
      assert.equal(exports.endAccess!(9), 0);
      assert.equal(entry(9) & 0xffffn, 1n | inUse);
    }
    machine.write(BigInt(table + 8 * 9), 2, 1n);
    assert.equal(exports.endAccess!(9), 1);
    assert.equal(entry(9) & 0xffffn, 0n);
    for (let i = 9; i < 512; i++) assert.equal(exports.grantAccess!(7, word(1), 0), i);
    assert.equal((exports.grantAccess!(7, word(1), 0) as number) >>> 0, 0xffffffff, 'there are no more');
  });

  test(`there is no grant table where Xen says so, in the call or in its structure (${width})`, async () => {
    for (const [result, status, found] of [
      [-38, 0n, 0],
      [0, 0xffffn, 0],
      [0, 0n, 1],
    ] as const) {
      const { exports, machine, pages, layout } = await backend(wordBits, {
        hypercall: (number, [, argument]) => {
          if (number !== 20) return 0;
          machine.write(argument! + BigInt(abi.gnttab_setup_table[layout].offset.status), 2, status);
          return result;
        },
      });
      assert.equal(exports.setupGrants!(pages + PAGE), found);
    }
  });

  test(`a timer that was stopped, or has come, is not set again by a resume (${width})`, async () => {
    const { exports, machine, calls, layout } = await backend(wordBits, {
      hypercall: (number, [, argument]) => {
        if (number === EVENT_CHANNEL_OP)
          machine.write(argument! + BigInt(abi.evtchn_bind_virq[layout].offset.port), 4, 5n);
        return 0;
      },
    });
    exports.xenTimeInit!();
    exports.listenToTimerAndConsole!();
    const setByResume = () => {
      exports.callBefore!();
      calls.length = 0;
      exports.callAfter!(0);
      return calls.some(([number, command]) => number === 24n && command === 8n);
    };
    assert.equal(setByResume(), false, 'nobody wanted one');
    exports.xenSetNextEvent!(1000n);
    assert.equal(setByResume(), true);
    exports.xenStopTimer!();
    assert.equal(setByResume(), false, 'stopped');
    exports.xenSetNextEvent!(1000n);
    exports.deliverEvent!(5);
    assert.equal(setByResume(), false, 'come');
  });

  test(`a timer that was due while the domain was away comes at once (${width})`, async () => {
    let tsc = 0n;
    const { exports, machine, calls, pages, layout } = await backend(wordBits, {
      on: { rdtsc: () => tsc },
      hypercall: (number, [, argument]) => {
        if (number === EVENT_CHANNEL_OP)
          machine.write(argument! + BigInt(abi.evtchn_bind_virq[layout].offset.port), 4, 5n);
        return 0;
      },
    });
    const { tsc_to_system_mul, tsc_shift } = abi.vcpu_time_info[layout].offset;
    const time = pages + abi.vcpu_info[layout].offset.time;
    machine.write(BigInt(time + tsc_to_system_mul), 4, 0x80000000n);
    machine.write(BigInt(time + tsc_shift), 1, 1n);
    exports.xenTimeInit!();
    exports.xenSetNextEvent!(1000n);
    tsc = 5000n;
    exports.callBefore!();
    exports.callAfter!(0);
    assert.equal(timerSet(machine, calls), 5000n);
  });

  test(`nobody takes a clock or a date that is written meanwhile (${width})`, async () => {
    /** What happens at the fences to come. */
    const events: (() => void)[] = [];
    const { exports, machine, pages, layout } = await backend(wordBits, {
      on: { rdtsc: () => 0n, fence: () => events.shift()?.() },
    });
    assert.equal(exports.xenGetTscKhz!(), 0, 'nothing is published yet');
    const clock = abi.vcpu_time_info[layout].offset;
    const date = abi.shared_info[layout].offset;
    const time = pages + abi.vcpu_info[layout].offset.time;
    const write = (at: number, bytes: number, value: bigint) => () => machine.write(BigInt(at), bytes, value);
    // All of an update falls between the second fence and the next look, which finds another even version.
    const update = (version: number, value: number, bytes: number, next: bigint) => [
      () => {},
      () => {
        write(version, 4, 2n)();
        write(value, bytes, next)();
      },
    ];
    events.push(...update(time + clock.version, time + clock.system_time, 8, 42n));
    assert.equal(exports.xenSchedClock!(), 42n);
    events.push(...update(pages + date.wc_version, pages + date.wc_sec, 4, 7n));
    assert.equal(exports.xenGetWallclock!(), 7_000_000_042n);
    // An odd version, which is the same at the end: the writer stands in the midst of it.
    write(pages + date.wc_version, 4, 3n)();
    events.push(
      () => {},
      () => {},
      ...update(pages + date.wc_version, pages + date.wc_sec, 4, 8n),
    );
    assert.equal(exports.xenGetWallclock!(), 8_000_000_042n);
  });

  for (const cancelled of [true, false]) {
    const what = cancelled
      ? 'a suspend that was called off leaves all as it was'
      : 'a resume connects anew, and each part is what it was';
    test(`${what} (${width})`, async () => {
      const SHARED = 235 * PAGE;
      const info = PAGE * 200;
      const suspended: bigint[] = [];
      /** The ports that Xen will give. */
      let nextPort = 5;
      let tsc = 0n;
      const host: Readonly<Record<number, (operands: readonly bigint[]) => number | undefined>> = {
        [EVENT_CHANNEL_OP]: ([, argument]) =>
          machine.write(
            argument! + BigInt(abi.evtchn_bind_virq[layout].offset.port),
            4,
            BigInt(nextPort++),
          ) as undefined,
        [VCPU_OP]: ([command, , argument]) => {
          if (command !== 10n) return undefined;
          const { mfn, offset } = abi.vcpu_register_vcpu_info[layout].offset;
          const frame = machine.read(argument! + BigInt(mfn), 8) - 0x1000n;
          const at = frame * BigInt(PAGE) + machine.read(argument! + BigInt(offset), 4);
          for (let i = 0n; i < BigInt(abi.vcpu_info[layout].size); i++)
            machine.write(at + i, 1, machine.read(BigInt(SHARED) + i, 1));
          return undefined;
        },
        [SCHED_OP]: () => {
          suspended.push(read(start.store_mfn), read(start.console_domU_mfn));
          if (cancelled) return 1;
          // Another host, which has just begun to count, gives other ports and other frames.
          for (let at = 0; at < PAGE; at += 8) machine.write(BigInt(SHARED + at), 8, 0n);
          machine.write(BigInt(SHARED + time), 4, 2n);
          setClock(7_000_000n);
          nextPort = 9;
          machine.write(BigInt(info + start.console_domU_evtchn), 4, 12n);
          machine.write(BigInt(info + start.console_domU_mfn), bytes, 0x1000n + 222n);
          return 0;
        },
      };
      const guest = await backend(wordBits, {
        hypercall: (number, operands) => host[Number(number)]?.(operands) ?? 0,
        on: { rdtsc: () => tsc },
      });
      const { exports, machine, heard, word, calls, layout } = guest;
      const start = abi.start_info[layout].offset;
      const shared = abi.shared_info[layout].offset;
      const vcpu = abi.vcpu_info[layout].offset;
      const time = vcpu.time;
      const bytes = wordBits / 8;
      const read = (field: number) => machine.read(BigInt(info + field), bytes);
      const setClock = (nanoseconds: bigint) => {
        const { system_time, tsc_timestamp, tsc_to_system_mul, tsc_shift } =
          abi.vcpu_time_info[layout].offset;
        tsc = 0n;
        machine.write(BigInt(SHARED + time + system_time), 8, nanoseconds);
        machine.write(BigInt(SHARED + time + tsc_timestamp), 8, 0n);
        machine.write(BigInt(SHARED + time + tsc_to_system_mul), 4, 0x80000000n);
        machine.write(BigInt(SHARED + time + tsc_shift), 1, 1n);
      };
      // A domain of 256 pages whose frames are 0x1000 and up.
      const m2p = wordBits === 64 ? 0xffff_8000_0000_0000n : 0xf580_0000n;
      machine.map(m2p + BigInt(0x1000 * bytes), 0x200 * bytes);
      for (let pfn = 0; pfn < 256; pfn++) {
        machine.write(BigInt(PAGE * 150 + pfn * bytes), bytes, BigInt(0x1000 + pfn));
        machine.write(m2p + BigInt((0x1000 + pfn) * bytes), bytes, BigInt(pfn));
      }
      exports.reserveBrk!(20 * PAGE);
      exports.openBrk!(PAGE * 210);
      exports.buildPhysToMachine!(PAGE * 150, word(256));
      exports.setMaxPfn!(word(256));
      machine.write(BigInt(info + start.store_mfn), bytes, 0x1000n + 220n);
      machine.write(BigInt(info + start.console_domU_mfn), bytes, 0x1000n + 221n);
      machine.write(BigInt(info + start.console_domU_evtchn), 4, 2n);
      machine.write(BigInt(info + start.shared_info), bytes, 0x7777n << 12n);
      exports.setSharedInfo!(SHARED);
      setClock(5_000_000_000n);
      // As a kernel starts: what startXen does, and then the operations.
      exports.startEvents!();
      exports.startCallbacks!();
      exports.startDescriptions!(info);
      exports.xenConsoleSetup!();
      exports.xenTimeInit!();
      exports.xenEnableSystemCalls!();
      assert.equal(exports.setupGrants!(240 * PAGE), 1);
      const granted = exports.grantAccess!(0, word(0x1005), 0);
      exports.listenToTimerAndConsole!();
      exports.listenToSuspend!();
      const PLACE = 245 * PAGE + 128;
      assert.equal(exports.placeVcpuInfo!(PLACE), 1);
      exports.xenEnableInterrupts!();
      exports.xenSetNextEvent!(50_000_000n);
      tsc = 1_000_000n;
      const before = exports.xenSchedClock!() as bigint;
      calls.length = 0;

      assert.equal(exports.suspendDomain!(info), cancelled ? 1 : 0);
      // The toolstack is given our frame numbers, for frames are what changes.
      assert.deepEqual(suspended, [220n, 221n]);
      assert.deepEqual(heard(), cancelled ? [2, 1, 101, 102] : [2, 1, 201, 202]);
      const seen = calls.map(([number, first, second]) => {
        if (number === 14n) return `map ${Number(first) / PAGE} ${(second! >> 12n).toString(16)}`;
        return `${number} ${number === 29n || number === 24n || number === 32n || number === 30n ? first : ''}`.trim();
      });
      const unmapping = ['map 240 0', 'map 235 0', '29 2', 'map 235 7777'];
      const mappingTable = ['20', 'map 240 0'];
      assert.equal(calls[2]![3], 0x1000n + 200n);
      assert.equal(exports.xenSaveInterrupts!(), 0x200n);
      if (cancelled) {
        assert.deepEqual(seen, [...unmapping, ...mappingTable]);
        assert.deepEqual([read(start.store_mfn), read(start.console_domU_mfn)], [0x10dcn, 0x10ddn]);
        assert.notEqual(exports.grantAccess!(0, word(0x1006), 0), granted);
        return;
      }
      assert.deepEqual(seen, [
        ...unmapping,
        // The callbacks, and SYSCALL's with events masked; the timer's virtual interrupt and what it was set to;
        '4',
        '30 0',
        '24 7',
        '32 1',
        '24 8',
        // the table of grants; where the vcpu_info is.
        ...mappingTable,
        '24 10',
      ]);
      assert.equal(exports.grantAccess!(0, word(0x1006), 0), granted);
      assert.equal(machine.read(BigInt(SHARED + shared.arch_max_pfn), bytes), 256n);
      // The clock goes on, and the timer comes when it was to come: 49 ms from when we stopped.
      assert.ok((exports.xenSchedClock!() as bigint) >= before);
      assert.ok((exports.xenSchedClock!() as bigint) < before + 1_000_000n);
      assert.equal(timerSet(guest.machine, calls), 7_000_000n + 49_000_000n);
      // Nobody listens at the old ports any more; the timer and the console do at the new ones.
      const isMasked = (port: number) =>
        ((machine.read(BigInt(SHARED + shared.evtchn_mask), 8) >> BigInt(port)) & 1n) === 1n;
      assert.deepEqual([2, 5, 9, 12].map(isMasked), [true, true, false, false]);
      for (const port of [2, 5, 9, 12]) exports.deliverEvent!(port);
      assert.deepEqual(heard().slice(4), [1001, 1002]);
    });
  }
}

test('the failsafe upcall makes null what could not be loaded, and leaves the rest', async () => {
  const loaded: [string, number][] = [];
  const on = Object.fromEntries(
    ['loadDs', 'loadEs', 'loadFs', 'loadGs'].map((name) => [
      name,
      (value: number) => void loaded.push([name, value]),
    ]),
  );
  const { exports, machine, pages } = await backend(64, { on });
  const frame = pages + PAGE;
  machine.write(BigInt(frame + 16 * 8), 8, (0x33n << 48n) | (0n << 32n) | (0x2bn << 16n) | 0n);
  exports.xenFailsafeUpcall!(frame);
  assert.deepEqual(loaded, [
    ['loadEs', 0],
    ['loadGs', 0],
  ]);
});

test('a descriptor is brought to the ring of the kernel, and the system has none', async () => {
  const { exports } = await backend(64);
  const dpl = (descriptor: bigint) => (descriptor >> 45n) & 3n;
  const code = 0x00af9a000000ffffn;
  for (const ring of [1, 3]) {
    exports.setPlatform!(2, 1, ring);
    assert.equal(dpl(exports.descriptorForXen!(code) as bigint), BigInt(ring));
    assert.equal(exports.descriptorForXen!(code | (3n << 45n)), code | (3n << 45n));
  }
  assert.equal(exports.descriptorForXen!(0n), 0n);
  assert.equal(exports.descriptorForXen!(0x0000890000000067n), 0n, 'a task state');
  assert.equal(
    exports.descriptorForXen!(0x0000090000000067n),
    0x0000090000000067n,
    'one that is not present',
  );
});
