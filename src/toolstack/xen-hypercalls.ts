/** All hypercalls of the Xen interface that this host has. `docs/coverage.md` is the list for people. */
import { handlers as consoleIo } from '../xen/hypercalls/console-io.ts';
import { HypercallTable } from '../xen/hypercalls/dispatch.ts';
import { handlers as eventChannel } from '../xen/hypercalls/event-channel.ts';
import { handlers as grantTable } from '../xen/hypercalls/grant-table.ts';
import { handlers as iret } from '../xen/hypercalls/iret.ts';
import { handlers as misc } from '../xen/hypercalls/misc.ts';
import { handlers as multicall } from '../xen/hypercalls/multicall.ts';
import { handlers as physdev } from '../xen/hypercalls/physdev.ts';
import { handlers as registers } from '../xen/hypercalls/registers.ts';
import { handlers as sched } from '../xen/hypercalls/sched.ts';
import { handlers as segments } from '../xen/hypercalls/segments.ts';
import { handlers as traps } from '../xen/hypercalls/traps.ts';
import { handlers as vcpu } from '../xen/hypercalls/vcpu.ts';
import { handlers as version } from '../xen/hypercalls/version.ts';
import { handlers as vmAssist } from '../xen/hypercalls/vm-assist.ts';
import { handlers as memory } from '../xen/mm/index.ts';

export function xenHypercalls(): HypercallTable {
  return new HypercallTable([
    memory,
    traps,
    segments,
    registers,
    iret,
    multicall,
    eventChannel,
    grantTable,
    sched,
    vcpu,
    version,
    vmAssist,
    consoleIo,
    physdev,
    misc,
  ]);
}
