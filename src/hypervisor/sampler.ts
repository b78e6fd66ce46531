/**
 * Looks at guests at fixed distances in retired instructions: what a profiler needs. The run loop cuts a vCPU's run where
 * `left` says, so that under a virtual clock the same run is sampled at the same instructions each time. A guest cannot tell.
 */
import type { Vcpu } from './domain.ts';

export interface Sampler {
  /** Instructions until the next sample; the run loop counts it down. */
  left: number;
  /** Called with the vCPU that ran when `left` is used up; adds the distance to the next sample to it. */
  sample(vcpu: Vcpu): void;
}
