/** All groups of experiments, by name: each is a program of its own, and has its transcript. */
import { breakpoints } from './breakpoints.ts';
import { delivery } from './delivery.ts';
import { devices } from './devices.ts';
import { exceptions } from './exceptions.ts';
import { forbidden } from './forbidden.ts';
import { gates } from './gates.ts';
import type { Experiments } from './group.ts';
import { pages } from './pages.ts';
import { registers } from './registers.ts';
import { segments } from './segments.ts';
import { systemCalls } from './system-calls.ts';
import { user } from './user.ts';

export const GROUPS: Readonly<Record<string, Experiments>> = {
  exceptions,
  breakpoints,
  gates,
  delivery,
  user,
  pages,
  registers,
  forbidden,
  segments,
  'system-calls': systemCalls,
  devices,
};
