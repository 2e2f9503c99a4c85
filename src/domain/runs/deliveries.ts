/** How often one attempt of a task is delivered when its workers end under it. */

/** Deliveries of one attempt after which a task may be what ends its workers: from then on it runs alone. */
export const UNSUSPECTED_DELIVERIES = 3;
/** After so many it is given up, whoever is to blame. */
export const MAX_DELIVERIES = 10;
