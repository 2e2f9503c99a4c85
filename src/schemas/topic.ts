/** What external tasks are leased by: a name that reads well in paths, logs and metrics. */
export const TOPIC = /^[A-Za-z0-9][\w.:/-]{0,254}$/;
