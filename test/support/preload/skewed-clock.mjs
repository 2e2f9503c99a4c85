// Preloaded by `node --import`: the wall clock of this process is CLOCK_SKEW_MS ahead (or behind); others go right.
const skewMs = Number(process.env.CLOCK_SKEW_MS ?? 0);
const Real = globalThis.Date;

globalThis.Date = class SkewedDate extends Real {
  constructor(...values) {
    if (values.length === 0) super(Real.now() + skewMs);
    else super(...values);
  }
  static now() {
    return Real.now() + skewMs;
  }
};
