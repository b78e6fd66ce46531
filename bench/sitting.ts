/** A sitting: every peer runs all its rows in turn, as often as asked, so that a machine's moods meet them alike. */

import { addBootParts } from './boot.ts';
import { prepareNative } from './peers/native.ts';
import { MissingPeer, type PeerName, type PreparedPeer, type Setting } from './peers/peer.ts';
import { prepareQemu } from './peers/qemu.ts';
import { prepareRingone } from './peers/ringone.ts';
import { prepareV86 } from './peers/v86.ts';
import { addFigure, differingAnswers, type Figure, type PeerInfo, type RowResult } from './results.ts';
import { BOOT, BOOT_TITLE } from './rows.ts';
import { MachineError, timeMachine } from './stopwatch.ts';

const PREPARE: Readonly<Record<PeerName, (setting: Setting) => Promise<PreparedPeer>>> = {
  auto: (setting) => prepareRingone(setting, 'auto'),
  compiler: (setting) => prepareRingone(setting, 'compiler'),
  interpreter: (setting) => prepareRingone(setting, 'interpreter'),
  qemu: prepareQemu,
  v86: prepareV86,
  native: prepareNative,
};

const MIB = 2 ** 20;

export interface SittingOptions {
  readonly peers: readonly PeerName[];
  readonly rounds: number;
  /** For one run of one peer. */
  readonly timeoutSeconds: number;
}

export interface Sitting {
  readonly peers: PeerInfo[];
  readonly rows: RowResult[];
  readonly boot: Figure[];
  readonly notes: string[];
}

/** Measures. A peer that is missing or fails is noted and passed over. */
export async function sit(setting: Setting, options: SittingOptions): Promise<Sitting> {
  const notes: string[] = [];
  const peers: PreparedPeer[] = [];
  for (const name of options.peers) {
    try {
      const peer = await PREPARE[name](setting);
      notes.push(...peer.leftOut.map((row) => `${peer.title} leaves out ${row}`));
      peers.push(peer);
    } catch (error) {
      if (!(error instanceof MissingPeer)) throw error;
      notes.push(`${name} is left out: ${error.message}`);
    }
  }
  const bootRow = { name: BOOT, title: BOOT_TITLE, headline: true };
  const work = setting.work.map(({ name, title, headline }) => ({ name, title, headline }));
  const rows: RowResult[] = [...(setting.boot ? [bootRow] : []), ...work].map((row) => ({
    ...row,
    samples: {},
  }));
  const boot: Figure[] = [];
  for (let round = 1; round <= options.rounds; round++) {
    for (const peer of peers) {
      setting.say(`${setting.fill ? 'memory' : `round ${round} of ${options.rounds}`}: ${peer.title}`);
      await runOnce(peer, setting, rows, boot, options.timeoutSeconds).catch((error: unknown) => {
        if (!(error instanceof MachineError)) throw error;
        notes.push(`${peer.title} failed in round ${round}: ${error.message}`);
      });
    }
  }
  notes.push(...differingAnswers(rows));
  const measured = peers.filter(({ name }) => rows.some(({ samples }) => samples[name] !== undefined));
  const infos = measured.map(({ name, title, description }) => ({ name, title, description }));
  return { peers: infos, rows, boot, notes };
}

/**
 * What each guest's host holds beyond the guest's own memory, row by row: one more run of all peers, with guests
 * that touch what they were given. Its times do not count.
 */
export async function weigh(
  setting: Setting,
  options: SittingOptions,
): Promise<{ memory: Figure[]; notes: string[] }> {
  const filling: Setting = { ...setting, fill: true, boot: false };
  const guests = options.peers.filter((name) => name !== 'native');
  const { rows, notes } = await sit(filling, { ...options, peers: guests, rounds: 1 });
  const memory: Figure[] = [];
  for (const { title, samples } of rows) {
    for (const [peer, [sample]] of Object.entries(samples)) {
      if (sample?.residentBytes === undefined) continue;
      const value = sample.residentBytes / MIB - setting.memoryMib;
      addFigure(memory, peer as PeerName, { what: title, unit: 'MiB', value });
    }
  }
  return { memory, notes };
}

async function runOnce(
  peer: PreparedPeer,
  { kernel, memoryMib }: Setting,
  rows: readonly RowResult[],
  parts: Figure[],
  timeoutSeconds: number,
): Promise<void> {
  for (const machine of peer.processes) {
    const run = await timeMachine(machine, timeoutSeconds);
    for (const { name, samples } of rows) {
      const sample = run.get(name);
      if (sample !== undefined) (samples[peer.name] ??= []).push(sample);
    }
    const boot = run.get(BOOT);
    if (boot !== undefined && peer.bootStatistics !== undefined) {
      const { name, bootStatistics: statistics } = peer;
      await addBootParts(parts, { peer: name, statistics, initSeconds: boot.seconds, kernel, memoryMib });
    }
  }
}
