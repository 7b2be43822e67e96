/**
 * The file beside the database that holds what the status page knows about the last days, so that a restart need not read the
 * journal again.
 */
export const pastFile = (databasePath: string): string => `${databasePath}-history`

/** The same file while it is being written. */
export const unfinishedPastFile = (databasePath: string): string => `${pastFile(databasePath)}.new`
