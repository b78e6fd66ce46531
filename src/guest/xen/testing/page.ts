/** The conversions and what they stand on, for their test. */
export * from '../brk';
export * from '../features';
export * from '../machine-to-phys';
export * from '../p2m';
export * from '../p2m-identity';
export * from '../p2m-tree';
export * from '../page';
export * from '../page-entry';
export * from '../page-walk';
export * from '../vcpu-info';
